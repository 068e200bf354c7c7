// Package reserved knows the claims that no hook of a host can set.
package reserved

import "slices"

var claims = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope", "client_id", "act", "act_as", "cnf",
	"azp", "auth_time", "acr", "amr", "nonce", "at_hash", "c_hash", "s_hash", "lineage",
}

// Claim reports whether a claim follows from the decision, from a login or from another token. A
// JWTIssuer drops it from what its hook returns, whether or not the token has such a claim.
func Claim(name string) bool { return slices.Contains(claims, name) }
