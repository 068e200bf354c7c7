package fositeexchange

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/go-tokenexchange/tokenexchange"
)

// What the record of an exchanged token says in its form, beside the grant type. A session has no room for it that
// introspection does not show. Of the form of any other grant fosite keeps neither.
const (
	formKind    = "exchange_subject_kind"
	formOrigins = "exchange_origins"
)

// maxOrigins is how many exchanges may lie behind a token, since each is looked up.
const maxOrigins = 32

// verifier is an entry of tokenexchange.Verifiers.
type verifier = func(context.Context, tokenexchange.Credential) (tokenexchange.Token, error)

var (
	errUnknown = fmt.Errorf("%w: the storage has no such access token", tokenexchange.InvalidRequest)
	errRevoked = fmt.Errorf("%w: a token that it was made from has been revoked", tokenexchange.InvalidRequest)
	errOrigins = fmt.Errorf("%w: too many exchanges lie behind it", tokenexchange.InvalidRequest)
)

// verifyAccessToken is the Verifier of this server's own access tokens.
func (e *exchange) verifyAccessToken(ctx context.Context, c tokenexchange.Credential) (tokenexchange.Token, error) {
	signature := e.strategy.AccessTokenSignature(ctx, c.Token)
	record, err := e.record(ctx, signature)
	if err != nil {
		return tokenexchange.Token{}, err
	}
	if record == nil {
		return tokenexchange.Token{}, errUnknown
	}
	if err := e.strategy.ValidateAccessToken(ctx, record, c.Token); err != nil {
		return tokenexchange.Token{}, invalid(err)
	}
	if err := e.alive(ctx, record); err != nil {
		return tokenexchange.Token{}, err
	}
	for _, origin := range append(origins(record), signature) {
		if !slices.Contains(e.origins, origin) {
			e.origins = append(e.origins, origin)
		}
	}
	if len(e.origins) > maxOrigins {
		return tokenexchange.Token{}, errOrigins
	}
	return tokenOf(record, c.Issuer)
}

// invalid tells a token that is not good from a strategy that is broken.
func invalid(err error) error {
	var refusal *fosite.RFC6749Error
	var malformed base64.CorruptInputError
	if errors.As(err, &refusal) && refusal.CodeField < 500 || errors.As(err, &malformed) {
		return fmt.Errorf("%w: %w", tokenexchange.InvalidRequest, err)
	}
	return err
}

// verifyJWT finds out what is declared as a JWT: an access token of this server, or what the host's own verifier takes.
func (e *exchange) verifyJWT(other verifier) verifier {
	return func(ctx context.Context, c tokenexchange.Credential) (tokenexchange.Token, error) {
		if !isJWT(c.Token) {
			return tokenexchange.Token{}, fmt.Errorf("%w: no JWT", tokenexchange.InvalidRequest)
		}
		t, err := e.verifyAccessToken(ctx, c)
		if errors.Is(err, errUnknown) && other != nil {
			return other(ctx, c)
		}
		return t, err
	}
}

func isJWT(token string) bool { return strings.Count(token, ".") == 2 }

// noAccessToken keeps this server's access tokens away from a verifier of the host's, which would take one that has been
// revoked, and, since fosite signs both alike, take it for an ID token. All access tokens of fosite say scp or scope, and
// no ID token does; one with scope a tokenexchange.Verifier refuses by itself.
func noAccessToken(verify verifier) verifier {
	return func(ctx context.Context, c tokenexchange.Credential) (tokenexchange.Token, error) {
		t, err := verify(ctx, c)
		if err != nil || t.Issuer != c.Issuer {
			return t, err
		}
		var claims struct {
			Scp   json.RawMessage `json:"scp"`
			Scope json.RawMessage `json:"scope"`
		}
		switch t.Type {
		case tokenexchange.TypeAccessToken, tokenexchange.TypeJWT:
			return tokenexchange.Token{}, errUnknown
		case tokenexchange.TypeIDToken:
			if err := json.Unmarshal(t.Claims, &claims); err != nil || claims.Scp != nil || claims.Scope != nil {
				return tokenexchange.Token{}, fmt.Errorf("%w: R07: an access token in place of an ID token", tokenexchange.InvalidRequest)
			}
		}
		return t, nil
	}
}

// record returns what the storage knows of an access token, or nil. It shares nothing with what is stored: some sessions
// change when they are read, and the memory store hands out its own.
func (h *handler) record(ctx context.Context, signature string) (fosite.Requester, error) {
	if signature == "" {
		return nil, nil
	}
	stored, err := h.storage.GetAccessTokenSession(ctx, signature, h.NewSession())
	if errors.Is(err, fosite.ErrNotFound) || errors.Is(err, fosite.ErrInactiveToken) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	record := stored.Sanitize([]string{formKind, formOrigins})
	record.SetSession(stored.GetSession().Clone())
	return record, nil
}

// alive fails if the storage has no more what the token was made from. An origin that has merely expired is alive.
func (h *handler) alive(ctx context.Context, record fosite.Requester) error {
	for _, origin := range origins(record) {
		found, err := h.record(ctx, origin)
		if err != nil {
			return err
		}
		if found == nil {
			return errRevoked
		}
	}
	return nil
}

func origins(record fosite.Requester) []string {
	if form := record.GetRequestForm(); form.Get("grant_type") == tokenexchange.GrantType {
		return slices.Clone(form[formOrigins])
	}
	return nil
}

// tokenOf reads a record. What the storage knows replaces whatever the claims of the session say of it.
func tokenOf(record fosite.Requester, issuer string) (tokenexchange.Token, error) {
	session, client := record.GetSession(), record.GetClient().GetID()
	claims := map[string]any{}
	if s, ok := session.(fosite.ExtraClaimsSession); ok {
		maps.Copy(claims, s.GetExtraClaims())
	}
	if iss, ok := claims["iss"]; ok && iss != issuer {
		return tokenexchange.Token{}, fmt.Errorf("%w: R08: a token of ours under another issuer name", tokenexchange.InvalidRequest)
	}
	subject, kind := session.GetSubject(), tokenexchange.Kind("")
	if form := record.GetRequestForm(); form.Get("grant_type") == tokenexchange.GrantType {
		kind = tokenexchange.Kind(form.Get(formKind))
	}
	if subject == "" {
		subject, kind = client, tokenexchange.KindClient
	}
	claims["iss"], claims["sub"], claims["client_id"], claims["jti"] = issuer, subject, client, record.GetID()
	claims["aud"] = append([]string{}, record.GetGrantedAudience()...)
	claims["scope"] = strings.Join(record.GetGrantedScopes(), " ")
	setDate(claims, "iat", record.GetRequestedAt())
	setDate(claims, "exp", session.GetExpiresAt(fosite.AccessToken))
	data, err := json.Marshal(claims)
	if err != nil {
		return tokenexchange.Token{}, err
	}
	t, err := tokenexchange.ParseToken(data)
	if err == nil && t.Subject != subject {
		err = errors.New("act_as in a session")
	}
	if err != nil {
		return tokenexchange.Token{}, fmt.Errorf("%w: R08: %w", tokenexchange.InvalidRequest, err)
	}
	t.Type, t.Kind = tokenexchange.TypeAccessToken, kind
	return t, nil
}

// setDate leaves out the zero time, which is no date.
func setDate(claims map[string]any, name string, date time.Time) {
	delete(claims, name)
	if !date.IsZero() {
		claims[name] = date.Unix()
	}
}
