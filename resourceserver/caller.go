package resourceserver

import (
	"context"

	"github.com/go-tokenexchange/tokenexchange"
)

// Party is the subject or the actor of a request. Two parties are the same if both fields are
// equal, byte for byte. The zero Party is no party. A Party does not say whether it is a user or a
// client; the authorization server ensures that their names differ.
type Party struct {
	Issuer  string `json:"iss,omitempty"`
	Subject string `json:"sub,omitempty"`
}

// SubjectFrom returns the subject of the token of the request, in either claim shape. ok is false
// if ctx is not the context of a request that Protect passed on.
func SubjectFrom(ctx context.Context) (subject Party, ok bool) {
	t, ok := TokenFrom(ctx)
	return subjectOf(t), ok
}

// ActorFrom returns the current actor, who acts on behalf of the subject. acted is false if there
// is none, and if ctx is not the context of a request that Protect passed on. Prior actors are
// history and must not influence access; they are in Token.Actor.
func ActorFrom(ctx context.Context) (actor Party, acted bool) {
	t, _ := TokenFrom(ctx)
	return actorOf(t), t.Actor != nil
}

// TokenFrom returns the token of the request, with scope and client_id. ok is false if ctx is not
// the context of a request that Protect passed on.
func TokenFrom(ctx context.Context) (t tokenexchange.Token, ok bool) {
	t, ok = ctx.Value(tokenKey{}).(tokenexchange.Token)
	return t, ok
}

// tokenKey is the key of the token in a context.
type tokenKey struct{}

func subjectOf(t tokenexchange.Token) Party { return Party{t.Issuer, t.Subject} }

// actorOf returns the current actor, or zero. An actor without an issuer has that of the token
// (D06).
func actorOf(t tokenexchange.Token) Party {
	actor, _ := t.CurrentActor()
	return subjectOf(actor)
}
