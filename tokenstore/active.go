package tokenstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/go-tokenexchange/tokenexchange"
)

// VerifyActive is VerifyToken for an API in the same process, and fits in
// resourceserver.API.Verify: it also asks Subjects about the subject and the current actor of the
// token, as introspection does. Without Subjects it is an error. Where an exchange verifies,
// VerifyToken is enough: the Exchanger asks its own Subjects.
func (t *Tokens) VerifyActive(ctx context.Context, c tokenexchange.Credential) (
	tokenexchange.Token, error) {
	if t.Subjects == nil {
		return tokenexchange.Token{}, errors.New("tokenstore: VerifyActive without Subjects")
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

// resolve asks the host whether the subject of a token and its current actor are active (D07). Nil
// means that they are, or that there is no resolver.
func (t *Tokens) resolve(ctx context.Context, tok tokenexchange.Token) error {
	if t.Subjects == nil {
		return nil
	}
	if err := t.resolveParty(ctx, tok); err != nil {
		return fmt.Errorf("tokenstore: SubjectResolver about the subject: %w", err)
	}
	if tok.Actor == nil {
		return nil
	}
	current := tokenexchange.Token{Issuer: cmp.Or(tok.Actor.Issuer, tok.Issuer),
		Subject: tok.Actor.Subject, ClientID: tok.Actor.ClientID}
	if err := t.resolveParty(ctx, current); err != nil {
		return fmt.Errorf("tokenstore: SubjectResolver about the current actor: %w", err)
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
	return no("an answer without issuer, kind or id", nil)
}
