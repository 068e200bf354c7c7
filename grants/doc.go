// Package grants adds further grants to package tokenexchange: tickets for impersonators,
// assertions of trusted issuers and of clients (RFC 7523), act_as in the grants that a server
// already has, and tokens embedded in tokens. Each grant reads its own input and then calls
// Exchanger.Run. Subject resolution, the authorizer, the policy, the issuer and the audit trail are
// those of an exchange.
//
// The host gives each kind of input a token type of its own and names the type in
// Rule.SubjectTypes. So a rule for one grant never matches another by accident, and a client cannot
// present such a token at the exchange unless the host adds the type to Exchanger.Verify. Zero
// values refuse everything.
package grants

import (
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/refusal"
)

// The grants in Facts.Grant, and so in the audit trail.
const (
	GrantTicket    = "subject_ticket"                              // clients cannot request it
	GrantEmbedded  = "embedded_token"                              // clients cannot request it
	GrantJWTBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer" // RFC 7523 §2.1
)

// isOwnType reports whether the host may use a token type for one of these grants. A standard type
// has a meaning in every grant, so it cannot be used.
func isOwnType(t tokenexchange.TokenType) bool {
	switch t {
	case "", tokenexchange.TypeAccessToken, tokenexchange.TypeRefreshToken,
		tokenexchange.TypeIDToken, tokenexchange.TypeJWT,
		tokenexchange.TypeSAML1, tokenexchange.TypeSAML2:
		return false
	}
	return true
}

// decider is the type of Exchanger.Decide.
type decider = func(tokenexchange.Facts) (tokenexchange.Decision, error)

// limitExpiry returns a decider whose decisions expire at latest or before. The policy does not
// limit them, because a token that was presented as evidence does not limit the expiry (D25). The
// issuer would be too late to limit it, since the event states the expiry of the decision. check
// may refuse a decision; it may be nil.
func limitExpiry(latest time.Time, decide decider,
	check func(tokenexchange.Decision) error) decider {
	if decide == nil {
		return nil // an Exchanger without Decide refuses (I01)
	}
	latest = latest.Truncate(time.Second)
	return func(f tokenexchange.Facts) (tokenexchange.Decision, error) {
		d, err := decide(f)
		if err == nil && check != nil {
			err = check(d)
		}
		if err != nil {
			return tokenexchange.Decision{}, err
		}
		if !d.Expires.After(latest) {
			return d, nil
		}
		d.Expires = latest
		if d.Expires.Sub(d.Issued) < time.Second {
			return tokenexchange.Decision{}, refusal.New(tokenexchange.InvalidRequest,
				"lifetime_too_short", "less than a second is left until %s (D25)",
				latest.UTC().Format(time.RFC3339))
		}
		return d, nil
	}
}
