package fositeexchange

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/ory/fosite"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/jose"
)

var errKind = refuse("R07: an access token of this server, declared as another type")

// idTokenSignature is the key under which the storage keeps the record of an exchanged ID token.
// The signature of an access token has no dot in it, since fosite splits tokens at their dots.
func idTokenSignature(id string) string { return "exchange.id_token." + id }

type verifier = func(context.Context, tokenexchange.Credential) (tokenexchange.Token, error)

// guard wraps a verifier of the host's. Fosite signs ID tokens and access tokens with one key, and
// often with the same typ, so that verifier may take one for the other.
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

// checkOwn objects to a token of this server that is of another kind than the host's verifier says.
// An access token that the storage no longer has is known by its claims only. An ID token of a
// login has no record; an exchanged ID token has one, which names its origins.
func (t *tokens) checkOwn(ctx context.Context, token string, found *tokenexchange.Token) error {
	said, err := read(token)
	var claims map[string]any
	_ = json.Unmarshal(said.Claims, &claims)
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
		return refuse("R08: an ID token that is not a JWT with good claims: %w", err)
	case !slices.ContainsFunc([]string{"azp", "nonce", "at_hash", "c_hash", "s_hash"}, isText):
		return refuse("R07: an ID token of this server has azp, nonce, at_hash, c_hash or s_hash")
	}
	signature := idTokenSignature(said.ID)
	record, err := t.record(ctx, signature)
	exchanged := []string{"act", "act_as", "client_id", "lineage"}
	switch wasExchanged := slices.ContainsFunc(exchanged, has); {
	case errors.Is(err, errNotOurs) && !wasExchanged:
		return nil
	case errors.Is(err, errNotOurs):
		return refuse("D07: an ID token with act, client_id or lineage has a record in the storage")
	case err != nil:
		return err
	}
	t.origins = append(append(t.origins, signature), record.GetRequestForm()[formOrigins]...)
	_, found.Kind, err = party(record)
	return err
}

// read returns what a JWT in its canonical form says. It verifies nothing.
func read(token string) (tokenexchange.Token, error) {
	message, err := jose.Parse(token)
	if err != nil {
		return tokenexchange.Token{}, err
	}
	return tokenexchange.ParseToken(message.Payload)
}

// addIDToken adds the record of an ID token that is about to be signed, and returns its jti. The
// record has no scope, no audience and no claims: its existence shows that the token is live.
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
