package server

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

// The paths of the endpoints, below the issuer.
const (
	pathAuthorize  = "/authorize"
	pathLogin      = "/login"
	pathConsent    = "/consent"
	pathStyle      = "/style.css"
	pathToken      = "/token"
	pathIntrospect = "/introspect"
	pathRevoke     = "/revoke"
	pathJWKS       = "/jwks"
)

// metadata is one document for RFC 8414 and OpenID Connect Discovery. The last three members are
// extensions: the token types that an exchange takes and gives.
func (s *Server) metadata(w *world.World) ([]byte, error) {
	methods := append(slices.Clone(world.AllMethods), "none")
	// the default of a Trust
	signed := []string{"ES256", "EdDSA", "PS256", "RS256"}
	return json.Marshal(map[string]any{
		"issuer":                   s.Issuer,
		"authorization_endpoint":   s.Issuer + pathAuthorize,
		"token_endpoint":           s.Issuer + pathToken,
		"introspection_endpoint":   s.Issuer + pathIntrospect,
		"revocation_endpoint":      s.Issuer + pathRevoke,
		"jwks_uri":                 s.Issuer + pathJWKS,
		"grant_types_supported":    world.AllGrants,
		"response_types_supported": world.AllResponseTypes,
		"response_modes_supported": []string{modeQuery, modeFragment,
			modeFormPost},
		"code_challenge_methods_supported": []string{"S256"},
		"prompt_values_supported": []string{promptNone, promptLogin,
			promptConsent},
		"request_parameter_supported":                    false,
		"request_uri_parameter_supported":                false,
		"authorization_response_iss_parameter_supported": true,
		"scopes_supported":                               scopes(w),
		"subject_types_supported":                        []string{"public"},
		"id_token_signing_alg_values_supported":          s.algorithms,
		"claims_supported": []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "acr", "amr",
			"azp", "nonce", "at_hash",
			"act", "may_act", "name", "preferred_username", "email", "tenant"},
		"token_endpoint_auth_methods_supported":                    methods,
		"token_endpoint_auth_signing_alg_values_supported":         signed,
		"introspection_endpoint_auth_methods_supported":            world.AllMethods,
		"introspection_endpoint_auth_signing_alg_values_supported": signed,
		"revocation_endpoint_auth_methods_supported":               methods,
		"revocation_endpoint_auth_signing_alg_values_supported":    signed,
		"subject_token_types_supported": slices.Sorted(
			maps.Keys(s.Exchanger.Verify)),
		"actor_token_types_supported": []tokenexchange.TokenType{tokenexchange.TypeAccessToken,
			tokenexchange.TypeIDToken, tokenexchange.TypeJWT},
		"requested_token_types_supported": []tokenexchange.TokenType{tokenexchange.TypeAccessToken,
			tokenexchange.TypeJWT, tokenexchange.TypeIDToken},
	})
}

// signingAlgorithms reads the algorithms of the published keys.
func signingAlgorithms(jwks []byte) (list []string, err error) {
	var set struct {
		Keys []struct {
			Algorithm string `json:"alg"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(jwks, &set); err != nil {
		return nil, err
	}
	for _, key := range set.Keys {
		list = append(list, key.Algorithm)
	}
	return list, nil
}

// scopes returns the scopes that clients are registered for.
func scopes(w *world.World) []string {
	all := map[string]bool{}
	for _, c := range w.Clients {
		for _, token := range c.Scope {
			all[token] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}
