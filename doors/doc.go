// Package doors has further ways into the one decision of package tokenexchange, beside the exchange itself: tickets for
// impersonators, assertions of trusted issuers and of clients (RFC 7523), act_as in the grants that a server has anyway,
// and tokens inside of tokens. Each reads what its grant brings and goes through Exchanger.Run, so the subject's state, the
// authorizer, the policy, the issuer and the audit trail are those of every exchange, and no door has a decision, an
// event or a way to mint of its own.
//
// A door gives what it brings a token type of its own, which the host chooses and names in Rule.SubjectTypes. No rule that
// was written for another door then matches by accident, and no client can present such a token at the exchange unless the
// host has put the type into Exchanger.Verify. Zero values refuse.
package doors

import (
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

// What the doors are called in Facts.Grant, and so in the audit trail.
const (
	GrantTicket    = "subject_ticket"                              // no grant that a client can ask for
	GrantEmbedded  = "embedded_token"                              // nor is this
	GrantJWTBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer" // RFC 7523 §2.1
)

// refuse is a refusal with a reason for the audit trail. The reason is a constant of this package, never input.
func refuse(code tokenexchange.Code, reason string) error {
	return &tokenexchange.Error{Code: code, Reason: reason}
}

// isOfItsOwn reports whether a type can be a door's own: what has a meaning everywhere cannot.
func isOfItsOwn(t tokenexchange.TokenType) bool {
	switch t {
	case "", tokenexchange.TypeAccessToken, tokenexchange.TypeRefreshToken, tokenexchange.TypeIDToken, tokenexchange.TypeJWT,
		tokenexchange.TypeSAML1, tokenexchange.TypeSAML2:
		return false
	}
	return true
}

// decider is what Exchanger.Decide is.
type decider = func(tokenexchange.Facts) (tokenexchange.Decision, error)

// until has a decision end no later than what a door has brought, which is evidence and so limits nothing by itself (D25). It
// is done where things are decided and not where they are issued, so that the event says when the token ends. Check may refuse.
func until(latest time.Time, decide decider, check func(tokenexchange.Decision) error) decider {
	if decide == nil {
		return nil // an Exchanger that refuses (I01)
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
		if d.Expires = latest; d.Expires.Sub(d.Issued) < time.Second {
			return tokenexchange.Decision{}, refuse(tokenexchange.InvalidRequest, "D25: nothing is left of the lifetime")
		}
		return d, nil
	}
}
