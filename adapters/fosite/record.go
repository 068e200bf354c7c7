package fositeexchange

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/token/jwt"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/bounded"
	"github.com/go-tokenexchange/tokenexchange/internal/jose"
)

// The values that the form of an exchanged token's record has beside the grant type. In a session,
// introspection would show them. No client can write them: of the form of any other grant, fosite
// keeps grant_type, response_type, scope and client_id.
const (
	formKind    = "exchange_subject_kind" // the Kind of the subject
	formOrigins = "exchange_origins"      // signatures of all tokens that it was made from
	formIDToken = "exchange_id_token"     // in the record of an ID token, its jti
	formLineage = "exchange_lineage"      // the limits that the token inherits, as JSON
)

// newRecord makes the record of any token, from the decision alone and from nothing in fosite's
// access request. What a later exchange must know, and not every session can hold, is in its form.
func (t *tokens) newRecord(d tokenexchange.Decision) (*fosite.Request, error) {
	origins := slices.Compact(slices.Sorted(slices.Values(t.origins)))
	if len(origins) > 32 { // each is looked up
		return nil, refuse("the token would be made from %d others; 32 are allowed", len(origins))
	}
	r := fosite.NewRequest()
	r.Client, r.RequestedAt, r.Session = t.client, d.Issued, t.NewSession()
	r.Session.SetExpiresAt(sessionExchange, d.Expires)
	r.Form = url.Values{"grant_type": {tokenexchange.GrantType}, formOrigins: origins,
		formKind: {string(d.Subject.Kind)}}
	if lineage := d.Lineage(); lineage != nil {
		text, err := json.Marshal(lineage)
		if err != nil {
			return nil, err
		}
		r.Form.Set(formLineage, string(text))
	}
	return r, nil
}

// keep stores the records. After an error or a panic of the storage, none of them stays.
func (t *tokens) keep(ctx context.Context) error {
	all := false
	defer func() {
		if !all {
			// The Exchanger tries again, and reports.
			_ = bounded.Call(ctx, bounded.Usual, t.discard)
		}
	}()
	for signature, record := range t.records {
		if err := t.CreateAccessTokenSession(ctx, signature, record); err != nil {
			return err
		}
	}
	all = true
	return nil
}

// discard takes the records back, in ten seconds: ctx may have no end.
func (t *tokens) discard(ctx context.Context) (failed error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for signature := range t.records {
		err := t.DeleteAccessTokenSession(ctx, signature)
		if err != nil && !errors.Is(err, fosite.ErrNotFound) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// write puts into a session all that a token says. Not every session can hold it.
func write(session fosite.Session, said tokenexchange.Token) {
	session.SetExpiresAt(fosite.AccessToken, said.Expires)
	if s, ok := session.(interface{ SetSubject(string) }); ok {
		s.SetSubject(said.Subject)
	}
	if s, ok := session.(fosite.ExtraClaimsSession); ok {
		maps.Copy(s.GetExtraClaims(), said.ClaimsSet())
	}
	if s, ok := session.(oauth2.JWTSessionContainer); ok {
		if header := s.GetJWTHeader(); header.Get("typ") == nil {
			header.Add("typ", "at+jwt") // RFC 9068
		}
		if c, ok := s.GetJWTClaims().(*jwt.JWTClaims); ok {
			c.Subject, c.Issuer, c.JTI, c.IssuedAt = said.Subject, said.Issuer, said.ID, said.Issued
			for name, value := range said.ClaimsSet() {
				c.Add(name, value)
			}
		}
	}
}

// says reports whether claims are those of a token, in whatever order an encoder puts the members
// of a chain. In a JWT jti and iat may be the strategy's own.
func says(claims []byte, want tokenexchange.Token) bool {
	got, err := tokenexchange.ParseToken(claims)
	got.Type, got.ID, got.Issued = want.Type, want.ID, want.Issued
	left, _ := json.Marshal(got.ClaimsSet())
	right, _ := json.Marshal(want.ClaimsSet())
	var x, y any
	return err == nil && json.Unmarshal(left, &x) == nil && json.Unmarshal(right, &y) == nil &&
		reflect.DeepEqual(x, y)
}

// tokenOf reads a record. What the storage knows replaces what the claims of the session say of it.
func tokenOf(record fosite.Requester, issuer string) (tokenexchange.Token, error) {
	subject, kind, err := party(record)
	if err != nil {
		return tokenexchange.Token{}, err
	}
	session := record.GetSession()
	known := tokenexchange.Token{ID: record.GetID(), Subject: subject,
		ClientID: record.GetClient().GetID(), Audience: record.GetGrantedAudience(),
		Issued: record.GetRequestedAt(), Expires: session.GetExpiresAt(fosite.AccessToken)}
	claims := map[string]any{"iss": issuer}
	if s, ok := session.(fosite.ExtraClaimsSession); ok {
		maps.Copy(claims, s.GetExtraClaims())
	}
	for _, name := range []string{"aud", "iat", "exp", "sub", "client_id", "lineage"} {
		delete(claims, name)
	}
	if lineage := record.GetRequestForm().Get(formLineage); lineage != "" {
		claims["lineage"] = json.RawMessage(lineage)
	}
	maps.Copy(claims, known.ClaimsSet())
	claims["scope"] = strings.Join(record.GetGrantedScopes(), " ")
	text, err := json.Marshal(claims)
	if err != nil {
		return tokenexchange.Token{}, refuse("R08: claims of the record are not JSON: %w", err)
	}
	t, err := tokenexchange.ParseToken(text)
	if err == nil && (t.Issuer != issuer || t.Subject == "" || t.Subject != subject) {
		err = errors.New("another issuer name, no subject, or act_as in a session")
	}
	if err != nil {
		return tokenexchange.Token{}, fmt.Errorf("%w: R08: %w", tokenexchange.InvalidRequest, err)
	}
	t.Type, t.Kind = tokenexchange.TypeAccessToken, kind
	return t, nil
}

// record returns what the storage has under a signature, unless that token or one that it was made
// from is revoked.
func (h *handler) record(ctx context.Context, signature string) (fosite.Requester, error) {
	record, err := h.stored(ctx, h.GetAccessTokenSession, signature, errNotOurs)
	if err != nil {
		return nil, err
	}
	for _, origin := range record.GetRequestForm()[formOrigins] {
		if _, err := h.stored(ctx, h.GetAccessTokenSession, origin, errRevoked); err != nil {
			return nil, err
		}
	}
	return record, nil
}

// getter is a method of a storage.
type getter = func(context.Context, string, fosite.Session) (fosite.Requester, error)

// stored returns a copy of what a storage has: some sessions change when they are read, and the
// memory store hands out its own.
func (h *handler) stored(
	ctx context.Context, get getter, signature string, errMissing error,
) (fosite.Requester, error) {
	if signature == "" {
		return nil, errMissing
	}
	stored, err := get(ctx, signature, h.NewSession())
	if errors.Is(err, fosite.ErrNotFound) || errors.Is(err, fosite.ErrInactiveToken) {
		return nil, errMissing
	}
	if err != nil {
		return nil, err
	}
	record := stored.Sanitize([]string{formKind, formOrigins, formIDToken, formLineage})
	record.SetSession(stored.GetSession().Clone())
	return record, nil
}

// accessRecord returns the record of an access token, whose text must be the canonical one.
func (h *handler) accessRecord(
	ctx context.Context, token, signature string,
) (fosite.Requester, error) {
	record, err := h.record(ctx, signature)
	if err == nil && record.GetRequestForm().Has(formIDToken) {
		err = errNotOurs
	}
	if err == nil && !h.isCanonical(ctx, record, token) {
		err = errSpelling
	}
	return record, err
}

// isCanonical reports whether a text is the one that the strategy wrote. Fosite takes others as
// well: with blanks, and an opaque token without prefix or with unused bits set at the end of the
// base64url text before its dot. A list of denied texts would miss those.
func (h *handler) isCanonical(ctx context.Context, record fosite.Requester, token string) bool {
	if _, err := jose.Parse(token); isJWT(token) {
		return err == nil
	}
	key, rest, _ := strings.Cut(strings.TrimPrefix(token, "ory_at_"), ".")
	decoded, _ := base64.RawURLEncoding.DecodeString(key)
	for _, prefix := range []string{"ory_at_", ""} {
		canonical := prefix + base64.RawURLEncoding.EncodeToString(decoded) + "." + rest
		isSame := h.AccessTokenSignature(ctx, canonical) == h.AccessTokenSignature(ctx, token) &&
			h.ValidateAccessToken(ctx, record, canonical) == nil
		if isSame || canonical == token {
			return canonical == token
		}
	}
	return !strings.ContainsFunc(token, unicode.IsSpace)
}
