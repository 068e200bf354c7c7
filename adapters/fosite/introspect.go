package fositeexchange

import (
	"cmp"
	"context"
	"errors"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"

	"github.com/go-tokenexchange/tokenexchange"
)

// IntrospectToken refuses a token that was made from a revoked one, one whose subject or current
// actor Exchanger.Resolver refuses, and one about which it cannot find out. It leaves any other
// token to the other introspectors. The cause is text, as in answer. A failure is an ErrServerError
// too.
func (h *handler) IntrospectToken(
	ctx context.Context, token string, _ fosite.TokenUse, _ fosite.AccessRequester, _ []string,
) (fosite.TokenUse, error) {
	record, err := h.accessRecord(ctx, token, h.AccessTokenSignature(ctx, token))
	storage, keeps := h.AccessTokenStorage.(oauth2.RefreshTokenStorage)
	strategy, makes := h.AccessTokenStrategy.(oauth2.RefreshTokenStrategy)
	if errors.Is(err, errNotOurs) && keeps && makes {
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

// checkParties asks the host about the subject of a token and its current actor. Prior actors are
// history.
func (h *handler) checkParties(ctx context.Context, record fosite.Requester) error {
	t, err := tokenOf(record, h.Exchanger.Issuer)
	if err != nil {
		return err
	}
	parties := []tokenexchange.Token{t}
	if act := t.Actor; act != nil {
		parties = append(parties, tokenexchange.Token{Issuer: cmp.Or(act.Issuer, t.Issuer),
			Subject: act.Subject, ClientID: act.ClientID})
	}
	for _, party := range parties {
		s, err := h.Exchanger.Resolver.ResolveSubject(ctx, party)
		if err != nil {
			return err
		}
		if s.Issuer == "" || s.Kind == "" || s.ID == "" {
			return refuse("D07: the directory gave an empty answer")
		}
	}
	return nil
}
