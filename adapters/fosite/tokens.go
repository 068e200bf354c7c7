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
	"unicode"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/token/jwt"

	"github.com/go-tokenexchange/tokenexchange"
)

// tokens are those of one exchange: the ones that are presented, and the one that is made.
type tokens struct {
	*handler
	client  fosite.Client
	origins []string // signatures of the access tokens that were presented, and of those that they were made from
}

var (
	errNotOurs = fmt.Errorf("%w: D07: the storage has no such access token", tokenexchange.InvalidRequest)
	errRevoked = fmt.Errorf("%w: D07: a token that it was made from has been revoked", tokenexchange.InvalidRequest)
	errType    = fmt.Errorf("%w: R07: this server does not issue tokens of the requested type", tokenexchange.InvalidRequest)
)

// What the record of an exchanged token says in its form, beside the grant type. A session has no room for it that
// introspection does not show. Of the form of any other grant fosite keeps neither.
const formKind, formOrigins = "exchange_subject_kind", "exchange_origins"

// verifyAccessToken verifies this server's own access tokens, opaque ones and JWTs.
func (t *tokens) verifyAccessToken(ctx context.Context, c tokenexchange.Credential) (tokenexchange.Token, error) {
	signature := t.AccessTokenSignature(ctx, c.Token)
	record, err := t.record(ctx, signature)
	if err != nil {
		return tokenexchange.Token{}, err
	}
	if strings.ContainsFunc(c.Token, unicode.IsSpace) { // which fosite strips
		return tokenexchange.Token{}, errNotOurs
	}
	var malformed base64.CorruptInputError
	switch err := t.ValidateAccessToken(ctx, record, c.Token); {
	case err != nil && fosite.ErrorToRFC6749Error(err).CodeField >= 500 && !errors.As(err, &malformed):
		return tokenexchange.Token{}, err // the strategy is broken, and not the token (I12)
	case err != nil:
		return tokenexchange.Token{}, fmt.Errorf("%w: R08: %w", tokenexchange.InvalidRequest, err)
	}
	found, err := tokenOf(record, c.Issuer)
	if err == nil && !c.Now.Before(found.Expires) { // fosite takes the configured lifespan where a session says none
		err = fmt.Errorf("%w: D26: expired, or it does not say when it will be", tokenexchange.InvalidRequest)
	}
	t.origins = append(append(t.origins, signature), record.GetRequestForm()[formOrigins]...)
	return found, err
}

// verifyJWT finds out what was declared as a JWT: an access token of this server, or what the host's own verifier takes.
// That cannot vouch for an access token of ours which the storage does not have.
func (t *tokens) verifyJWT(ctx context.Context, c tokenexchange.Credential) (tokenexchange.Token, error) {
	if !isJWT(c.Token) {
		return tokenexchange.Token{}, fmt.Errorf("%w: R07: no JWT", tokenexchange.InvalidRequest)
	}
	found, err := t.verifyAccessToken(ctx, c)
	if other := t.Exchanger.Verify[tokenexchange.TypeJWT]; other != nil && errors.Is(err, errNotOurs) {
		if found, err = other(ctx, c); err == nil && found.Type == tokenexchange.TypeAccessToken {
			err = errNotOurs
		}
	}
	return found, err
}

func isJWT(token string) bool { return strings.Count(token, ".") == 2 }

// IssueToken makes an access token by fosite's strategy, and keeps it in the host's storage.
func (t *tokens) IssueToken(ctx context.Context, d tokenexchange.Decision) (tokenexchange.IssuedToken, error) {
	switch {
	case d.Type == tokenexchange.TypeIDToken && t.IDTokens != nil:
		return t.IDTokens.IssueToken(ctx, d)
	case d.Type != tokenexchange.TypeAccessToken && d.Type != tokenexchange.TypeJWT:
		return tokenexchange.IssuedToken{}, errType
	}
	record, err := t.newRecord(d)
	if err != nil {
		return tokenexchange.IssuedToken{}, err
	}
	value, signature, err := t.GenerateAccessToken(ctx, record)
	claims, _ := base64.RawURLEncoding.DecodeString(strings.Split(value+".", ".")[1])
	switch {
	case err != nil:
		return tokenexchange.IssuedToken{}, err
	case isJWT(value) && !says(claims, d.Token(record.ID)):
		return tokenexchange.IssuedToken{}, errors.New("the strategy made a JWT that says less than was decided, or more")
	case !isJWT(value) && d.Type == tokenexchange.TypeJWT:
		return tokenexchange.IssuedToken{}, errType
	}
	issued := tokenexchange.IssuedToken{Value: value, ID: record.ID, Expires: d.Expires}
	if d.IDToken && t.IDTokens != nil { // without it the Exchanger refuses
		if issued.IDToken, err = t.IDTokens.IssueIDToken(ctx, d, value); err != nil {
			return issued, err
		}
	}
	issued.Discard = func(ctx context.Context) error { return t.DeleteAccessTokenSession(ctx, signature) }
	return issued, t.CreateAccessTokenSession(ctx, signature, record)
}

// newRecord makes what the storage is to keep: of the decision alone, and of nothing that is in fosite's access request.
func (t *tokens) newRecord(d tokenexchange.Decision) (*fosite.Request, error) {
	origins := slices.Compact(slices.Sorted(slices.Values(t.origins)))
	if len(origins) > 32 { // each is looked up
		return nil, fmt.Errorf("%w: too many tokens lie behind it", tokenexchange.InvalidRequest)
	}
	r := fosite.NewRequest()
	said := d.Token(r.GetID())
	r.Client, r.RequestedAt, r.Session = t.client, d.Issued, t.NewSession()
	r.GrantedScope, r.GrantedAudience = append(r.GrantedScope, d.Scope...), append(r.GrantedAudience, d.Audience...)
	r.Form = url.Values{"grant_type": {tokenexchange.GrantType}, formKind: {string(said.Kind)}, formOrigins: origins}
	write(r.Session, said)
	if read, err := tokenOf(r, d.Issuer); err != nil || !says(read.Claims, said) {
		return nil, errors.New("a session from NewSession says less than was decided, or more")
	}
	return r, nil
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

// says reports whether claims are those of a token, in whatever order an encoder puts the members of a chain. In a JWT jti and
// iat may be the strategy's own.
func says(claims []byte, want tokenexchange.Token) bool {
	got, err := tokenexchange.ParseToken(claims)
	got.ID, got.Issued = want.ID, want.Issued
	left, _ := json.Marshal(got.ClaimsSet())
	right, _ := json.Marshal(want.ClaimsSet())
	var x, y any
	return err == nil && json.Unmarshal(left, &x) == nil && json.Unmarshal(right, &y) == nil && reflect.DeepEqual(x, y)
}

// tokenOf reads a record. What the storage knows replaces whatever the claims of the session say of it.
func tokenOf(record fosite.Requester, issuer string) (tokenexchange.Token, error) {
	session, client, form := record.GetSession(), record.GetClient().GetID(), record.GetRequestForm()
	known := tokenexchange.Token{ID: record.GetID(), Subject: session.GetSubject(), ClientID: client,
		Audience: record.GetGrantedAudience(), Issued: record.GetRequestedAt(), Expires: session.GetExpiresAt(fosite.AccessToken)}
	switch form.Get("grant_type") {
	case tokenexchange.GrantType:
		known.Kind = tokenexchange.Kind(form.Get(formKind))
	case string(fosite.GrantTypeClientCredentials):
		known.Subject, known.Kind = client, tokenexchange.KindClient
	}
	claims := map[string]any{"iss": issuer}
	if s, ok := session.(fosite.ExtraClaimsSession); ok {
		maps.Copy(claims, s.GetExtraClaims())
	}
	maps.DeleteFunc(claims, func(name string, _ any) bool { return name == "aud" || name == "iat" || name == "exp" || name == "sub" })
	maps.Copy(claims, known.ClaimsSet())
	claims["scope"] = strings.Join(record.GetGrantedScopes(), " ")
	text, _ := json.Marshal(claims)
	t, err := tokenexchange.ParseToken(text)
	if err == nil && (t.Issuer != issuer || t.Subject == "" || t.Subject != known.Subject) {
		err = errors.New("another issuer name, no subject, or act_as in a session")
	}
	if err != nil {
		return tokenexchange.Token{}, fmt.Errorf("%w: R08: %w", tokenexchange.InvalidRequest, err)
	}
	t.Type, t.Kind = tokenexchange.TypeAccessToken, known.Kind
	return t, nil
}

// record returns what the storage knows of an access token, unless that or one it was made from is revoked. It shares nothing
// with what is stored: some sessions change when they are read, and the memory store hands out its own.
func (h *handler) record(ctx context.Context, signature string) (fosite.Requester, error) {
	stored, err := h.stored(ctx, signature, errNotOurs)
	if err != nil {
		return nil, err
	}
	for _, origin := range stored.GetRequestForm()[formOrigins] {
		if _, err := h.stored(ctx, origin, errRevoked); err != nil {
			return nil, err
		}
	}
	record := stored.Sanitize([]string{formKind, formOrigins})
	record.SetSession(stored.GetSession().Clone())
	return record, nil
}

func (h *handler) stored(ctx context.Context, signature string, errMissing error) (fosite.Requester, error) {
	stored, err := h.GetAccessTokenSession(ctx, signature, h.NewSession())
	if signature == "" || errors.Is(err, fosite.ErrNotFound) || errors.Is(err, fosite.ErrInactiveToken) {
		return nil, errMissing
	}
	return stored, err
}

// IntrospectToken fails for a token that was made from a revoked one, and for one of which that cannot be found out. Any other
// it leaves to the other introspectors. The cause is text, as in answer.
func (h *handler) IntrospectToken(ctx context.Context, token string, _ fosite.TokenUse, _ fosite.AccessRequester, _ []string) (fosite.TokenUse, error) {
	_, err := h.record(ctx, h.AccessTokenSignature(ctx, token))
	if err != nil && !errors.Is(err, errNotOurs) {
		return "", fosite.ErrInactiveToken.WithWrap(errors.New(err.Error()))
	}
	return "", fosite.ErrUnknownRequest
}
