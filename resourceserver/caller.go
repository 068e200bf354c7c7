package resourceserver

import (
	"cmp"
	"context"

	"github.com/go-tokenexchange/tokenexchange"
)

// Party is whom a request is about, or who acts in it. Two are the same if both fields are, byte for byte. The zero Party
// is nobody. Whether it is a user or a client is the business of the authorization server, which keeps their names apart.
type Party struct {
	Issuer  string `json:"iss,omitempty"`
	Subject string `json:"sub,omitempty"`
}

// SubjectFrom returns whom the token of the request is about, in either claim shape. It is false if the context is not
// one that Protect gave to a handler.
func SubjectFrom(ctx context.Context) (subject Party, ok bool) {
	t, ok := TokenFrom(ctx)
	return subjectOf(t), ok
}

// ActorFrom returns the current actor: who acts now on behalf of the subject. It is false if nobody does, and in a context
// that is not one that Protect gave to a handler, where SubjectFrom is false too. Actors before the current one are history
// and no reason to allow or refuse anything; they are in Token.Actor.
func ActorFrom(ctx context.Context) (actor Party, acted bool) {
	t, _ := TokenFrom(ctx)
	return actorOf(t), t.Actor != nil
}

// TokenFrom returns all that the token says, scope and client_id among it. It is false if the context is not one that
// Protect gave to a handler.
func TokenFrom(ctx context.Context) (t tokenexchange.Token, ok bool) {
	t, ok = ctx.Value(tokenKey{}).(tokenexchange.Token)
	return t, ok
}

// tokenKey is where the token is in a context.
type tokenKey struct{}

func subjectOf(t tokenexchange.Token) Party { return Party{t.Issuer, t.Subject} }

// actorOf is the current actor or nobody. One without an issuer is of the token's (D06).
func actorOf(t tokenexchange.Token) Party {
	if t.Actor == nil {
		return Party{}
	}
	return Party{cmp.Or(t.Actor.Issuer, t.Issuer), t.Actor.Subject}
}
