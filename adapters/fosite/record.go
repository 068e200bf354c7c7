package fositeexchange

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
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
	"github.com/go-tokenexchange/tokenexchange/internal/refusal"
)

// Values that this package adds to the form of an exchanged token's record. Introspection would
// show them in a session. No client can set them: of the form of any other grant, fosite stores
// grant_type, response_type, scope and client_id only.
const (
	formKind    = "exchange_subject_kind" // Kind of the subject
	formOrigins = "exchange_origins"      // signatures of all tokens that the token was made from
	formIDToken = "exchange_id_token"     // jti of an ID token
	formLineage = "exchange_lineage"      // tokenexchange.Lineage as JSON
)

// newRecord returns the record of a token. It depends on the decision only, and not on fosite's
// access request. Its form has the facts for later exchanges that not every session can hold.
func (t *tokens) newRecord(d tokenexchange.Decision) (*fosite.Request, error) {
	origins := slices.Compact(slices.Sorted(slices.Values(t.origins)))
	if len(origins) > 32 { // each costs a lookup
		return nil, refusal.New(tokenexchange.InvalidRequest, "too_many_origins",
			"the token would be made from %d tokens; 32 are allowed (I13)", len(origins))
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

// save stores the records. After an error or a panic of the storage it deletes all of them.
func (t *tokens) save(ctx context.Context) error {
	saved := false
	defer func() {
		if !saved {
			_ = bounded.Call(ctx, bounded.Usual, t.discard) // the Exchanger repeats it and reports
		}
	}()
	for signature, record := range t.records {
		if err := t.CreateAccessTokenSession(ctx, signature, record); err != nil {
			return err
		}
	}
	saved = true
	return nil
}

// discard deletes the records. It takes at most ten seconds, since ctx may have no deadline.
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

// setClaims sets the claims of a token in a session, as far as the session can hold them.
func setClaims(session fosite.Session, t tokenexchange.Token) {
	session.SetExpiresAt(fosite.AccessToken, t.Expires)
	if s, ok := session.(interface{ SetSubject(string) }); ok {
		s.SetSubject(t.Subject)
	}
	if s, ok := session.(fosite.ExtraClaimsSession); ok {
		maps.Copy(s.GetExtraClaims(), t.ClaimsSet())
	}
	if s, ok := session.(oauth2.JWTSessionContainer); ok {
		if header := s.GetJWTHeader(); header.Get("typ") == nil {
			header.Add("typ", "at+jwt") // RFC 9068
		}
		if c, ok := s.GetJWTClaims().(*jwt.JWTClaims); ok {
			c.Subject, c.Issuer, c.JTI, c.IssuedAt = t.Subject, t.Issuer, t.ID, t.Issued
			for name, value := range t.ClaimsSet() {
				c.Add(name, value)
			}
		}
	}
}

// states reports whether claims are those of a token. The members of act may be in any order, and
// the strategy may set jti and iat itself.
func states(claims []byte, want tokenexchange.Token) bool {
	got, err := tokenexchange.ParseToken(claims)
	got.Type, got.ID, got.Issued = want.Type, want.ID, want.Issued
	left, _ := json.Marshal(got.ClaimsSet())
	right, _ := json.Marshal(want.ClaimsSet())
	var x, y any
	return err == nil && json.Unmarshal(left, &x) == nil && json.Unmarshal(right, &y) == nil &&
		reflect.DeepEqual(x, y)
}

// tokenOf converts a record. Fields of the record replace claims of the session.
func tokenOf(record fosite.Requester, issuer string) (tokenexchange.Token, error) {
	subject, kind, err := party(record)
	if err != nil {
		return tokenexchange.Token{}, err
	}
	session := record.GetSession()
	stored := tokenexchange.Token{ID: record.GetID(), Subject: subject,
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
	maps.Copy(claims, stored.ClaimsSet())
	claims["scope"] = strings.Join(record.GetGrantedScopes(), " ")
	text, err := json.Marshal(claims)
	if err != nil {
		return tokenexchange.Token{}, refusal.WithCause(err, tokenexchange.InvalidRequest,
			"record_malformed", "the claims of the record cannot be written as JSON (R08)")
	}
	t, err := tokenexchange.ParseToken(text)
	if err == nil && (t.Issuer != issuer || t.Subject == "" || t.Subject != subject) {
		err = errors.New("the session has another issuer, no subject, or act_as")
	}
	if err != nil {
		return tokenexchange.Token{}, refusal.WithCause(err, tokenexchange.InvalidRequest,
			"record_malformed", "the record of the token cannot be read (R08)")
	}
	t.Type, t.Kind = tokenexchange.TypeAccessToken, kind
	return t, nil
}

// record returns the record of a signature, unless the token or one of its origins is revoked.
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

// stored returns a copy of a record, since some sessions change when they are read.
func (h *handler) stored(ctx context.Context,
	get func(context.Context, string, fosite.Session) (fosite.Requester, error),
	signature string, errMissing error) (fosite.Requester, error) {
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

// accessRecord returns the record of an access token. The text of the token must be canonical.
func (h *handler) accessRecord(
	ctx context.Context, token, signature string) (fosite.Requester, error) {
	record, err := h.record(ctx, signature)
	if err == nil && record.GetRequestForm().Has(formIDToken) {
		err = errNotOurs
	}
	if err == nil && !h.isCanonical(ctx, record, token) {
		err = errSpelling
	}
	return record, err
}

// isCanonical reports whether the text is the one that the strategy made. Fosite also accepts a
// token with blanks, and an opaque token without its prefix or with unused bits set in the last
// character before its dot. A deny list of texts would miss those.
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
