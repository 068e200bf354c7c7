package fositeexchange

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/ory/fosite"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/jose"
	"github.com/go-tokenexchange/tokenexchange/internal/refusal"
)

var errKind = refusal.New(tokenexchange.InvalidRequest, "access_token_as_other_type",
	"an access token of this server is declared as another type (R07)")

// idTokenSignature returns the key of an exchanged ID token in the storage of access tokens. The
// signature of an access token contains no dot, since fosite splits tokens at their dots.
func idTokenSignature(id string) string { return "exchange.id_token." + id }

type verifier = func(context.Context, tokenexchange.Credential) (tokenexchange.Token, error)

// guard wraps a verifier of the host. Fosite signs ID tokens and access tokens with the same key
// and often with the same typ, so the verifier may take one for the other.
func (t *tokens) guard(verify verifier) verifier {
	return func(ctx context.Context, c tokenexchange.Credential) (tokenexchange.Token, error) {
		switch _, err := t.record(ctx, t.AccessTokenSignature(ctx, c.Token)); {
		case err == nil:
			return tokenexchange.Token{}, errKind
		case !errors.Is(err, errNotOurs):
			return tokenexchange.Token{}, err
		}
		found, err := verify(ctx, c)
		if err == nil && found.Issuer == c.Issuer {
			err = t.checkOwn(ctx, c.Token, &found)
		}
		return found, err
	}
}

// checkOwn refuses a token of this server that is of another kind than the host's verifier states.
// An access token that the storage no longer has is recognised by its claims. An ID token of a
// login has no record; an exchanged ID token has one, which names its origins.
func (t *tokens) checkOwn(ctx context.Context, token string, found *tokenexchange.Token) error {
	parsed, err := parse(token)
	var claims map[string]any
	_ = json.Unmarshal(parsed.Claims, &claims)
	has := func(name string) bool { return claims[name] != nil }
	isText := func(name string) bool { text, _ := claims[name].(string); return text != "" }
	switch {
	case found.Type == tokenexchange.TypeAccessToken:
		return errNotOurs
	case has("scp") || has("token_introspection"):
		return errKind
	case found.Type != tokenexchange.TypeIDToken:
		return nil
	case err != nil:
		return refusal.WithCause(err, tokenexchange.InvalidRequest, "claims_malformed",
			"the ID token is not a JWT with well-formed claims (R08)")
	case !slices.ContainsFunc([]string{"azp", "nonce", "at_hash", "c_hash", "s_hash"}, isText):
		return refusal.New(tokenexchange.InvalidRequest, "not_an_id_token",
			"the token has none of azp, nonce, at_hash, c_hash and s_hash (R07)")
	}
	signature := idTokenSignature(parsed.ID)
	record, err := t.record(ctx, signature)
	exchanged := []string{"act", "act_as", "client_id", "lineage"}
	switch wasExchanged := slices.ContainsFunc(exchanged, has); {
	case errors.Is(err, errNotOurs) && !wasExchanged:
		return nil
	case errors.Is(err, errNotOurs):
		return refusal.New(tokenexchange.InvalidRequest, "id_token_unknown",
			"the storage has no record of the ID token %q, which an exchange made (D07)", parsed.ID)
	case err != nil:
		return err
	}
	t.origins = append(append(t.origins, signature), record.GetRequestForm()[formOrigins]...)
	_, found.Kind, err = party(record)
	return err
}

// parse returns the claims of a JWT in its canonical form. It verifies nothing.
func parse(token string) (tokenexchange.Token, error) {
	message, err := jose.Parse(token)
	if err != nil {
		return tokenexchange.Token{}, err
	}
	return tokenexchange.ParseToken(message.Payload)
}

// addIDToken adds the record of a new ID token and returns its jti. The record has no scope, no
// audience and no claims: its existence shows that the token is live.
func (t *tokens) addIDToken(d tokenexchange.Decision) (id string, err error) {
	r, err := t.newRecord(d)
	if err != nil {
		return "", err
	}
	id = r.GetID()
	r.Form.Set(formIDToken, id)
	r.Session.SetExpiresAt(fosite.AccessToken, d.Expires)
	t.records[idTokenSignature(id)] = r
	return id, nil
}
