package fositeexchange

import (
	"context"
	"errors"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/refusal"
)

// IntrospectToken refuses a token that was made from a revoked token, a token whose subject or
// current actor Exchanger.Resolver refuses, and, with an ErrServerError, every token if a lookup
// fails. Other tokens are left to the other introspectors. The cause is text, as in asFositeError.
func (h *handler) IntrospectToken(ctx context.Context, token string,
	_ fosite.TokenUse, _ fosite.AccessRequester, _ []string) (fosite.TokenUse, error) {
	record, err := h.accessRecord(ctx, token, h.AccessTokenSignature(ctx, token))
	storage, stores := h.AccessTokenStorage.(oauth2.RefreshTokenStorage)
	strategy, refreshes := h.AccessTokenStrategy.(oauth2.RefreshTokenStrategy)
	if errors.Is(err, errNotOurs) && stores && refreshes {
		signature := strategy.RefreshTokenSignature(ctx, token)
		record, err = h.stored(ctx, storage.GetRefreshTokenSession, signature, errNotOurs)
	}
	if err == nil && h.Exchanger.Resolver != nil {
		err = h.checkParties(ctx, record)
	}
	if err == nil || errors.Is(err, errNotOurs) {
		return "", fosite.ErrUnknownRequest
	}
	cause := errors.New(err.Error())
	if tokenexchange.AsError(err).Code.Status() >= 500 {
		cause = fosite.ErrServerError.WithWrap(cause)
	}
	return "", fosite.ErrInactiveToken.WithWrap(cause)
}

// checkParties resolves the subject of a token and its current actor. Prior actors are not checked.
func (h *handler) checkParties(ctx context.Context, record fosite.Requester) error {
	t, err := tokenOf(record, h.Exchanger.Issuer)
	if err != nil {
		return err
	}
	parties := []tokenexchange.Token{t}
	if current, ok := t.CurrentActor(); ok {
		parties = append(parties, current)
	}
	for _, party := range parties {
		s, err := h.Exchanger.Resolver.ResolveSubject(ctx, party)
		if err != nil {
			return err
		}
		if s.Issuer == "" || s.Kind == "" || s.ID == "" {
			return refusal.New(tokenexchange.InvalidRequest, "party_unresolved",
				"SubjectResolver returned no complete identity for %q (D07)", party.Subject)
		}
	}
	return nil
}
