package tokenstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/go-tokenexchange/tokenexchange"
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
		return fmt.Errorf("tokenstore: SubjectResolver refused the subject: %w", err)
	}
	if tok.Actor == nil {
		return nil
	}
	current := tokenexchange.Token{Issuer: cmp.Or(tok.Actor.Issuer, tok.Issuer),
		Subject: tok.Actor.Subject, ClientID: tok.Actor.ClientID}
	if err := t.resolveParty(ctx, current); err != nil {
		return fmt.Errorf("tokenstore: SubjectResolver refused the current actor: %w", err)
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
	return invalidRequest("the subject has no issuer, kind or ID", nil)
}
