package tokenstore

import (
	"context"
	"errors"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/refusal"
)

// VerifyActive is VerifyToken for an API in the same process, and fits in
// resourceserver.API.Verify. Like introspection, it also checks with Subjects that the subject and
// the current actor of the token are active. It is an error if Subjects is nil. An exchange needs
// only VerifyToken, because the Exchanger asks its own Subjects.
func (t *Tokens) VerifyActive(ctx context.Context, c tokenexchange.Credential) (
	tokenexchange.Token, error) {
	if t.Subjects == nil {
		return tokenexchange.Token{}, errors.New("tokenstore: VerifyActive needs Subjects")
	}
	tok, err := t.VerifyToken(ctx, c)
	if err == nil {
		err = t.resolve(ctx, tok)
	}
	if err != nil {
		return tokenexchange.Token{}, err
	}
	return tok, nil
}

// resolve checks with the host that the subject of a token and its current actor are active (D07).
// It returns nil if there is no resolver.
func (t *Tokens) resolve(ctx context.Context, tok tokenexchange.Token) error {
	if t.Subjects == nil {
		return nil
	}
	if err := t.resolveParty(ctx, tok); err != nil {
		return refusal.Wrap(err, tokenexchange.AsError(err).Code, "subject_not_resolved",
			"SubjectResolver did not resolve the subject %q (D07)", tok.Subject)
	}
	current, ok := tok.CurrentActor()
	if !ok {
		return nil
	}
	if err := t.resolveParty(ctx, current); err != nil {
		return refusal.Wrap(err, tokenexchange.AsError(err).Code, "current_actor_not_resolved",
			"SubjectResolver did not resolve the current actor %q (D07)", current.Subject)
	}
	return nil
}

func (t *Tokens) resolveParty(ctx context.Context, tok tokenexchange.Token) error {
	s, err := t.Subjects.ResolveSubject(ctx, tok)
	if err != nil {
		return err
	}
	switch s.Kind {
	case tokenexchange.KindUser, tokenexchange.KindClient, tokenexchange.KindWorkload:
		if s.Issuer != "" && s.ID != "" {
			return nil
		}
	}
	return refusal.New(tokenexchange.InvalidRequest, "party_unresolved",
		"SubjectResolver returned no complete identity for %q (D07)", tok.Subject)
}
