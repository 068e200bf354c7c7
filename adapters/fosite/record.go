package fositeexchange

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/token/jwt"

	"github.com/go-tokenexchange/tokenexchange"
)

// What the record of an exchanged token says in its form, beside the grant type. A session has no room for it that
// introspection does not show. Of the form of any other grant fosite keeps neither.
const (
	formKind    = "exchange_subject_kind"
	formOrigins = "exchange_origins"
)

// maxOrigins is how many tokens may lie behind one, since each is looked up.
const maxOrigins = 32

// newRecord makes what the storage is to keep: of the decision alone, and of nothing that is in fosite's access request.
func (t *tokens) newRecord(d tokenexchange.Decision) (*fosite.Request, error) {
	origins := slices.Compact(slices.Sorted(slices.Values(t.origins)))
	if len(origins) > maxOrigins {
		return nil, fmt.Errorf("%w: too many tokens lie behind it", tokenexchange.InvalidRequest)
	}
	r := fosite.NewRequest()
	said := d.Token(r.GetID())
	r.Client, r.RequestedAt, r.Session = t.client, d.Issued, t.NewSession()
	r.GrantedScope, r.GrantedAudience = append(r.GrantedScope, d.Scope...), append(r.GrantedAudience, d.Audience...)
	r.Form = url.Values{"grant_type": {tokenexchange.GrantType}, formKind: {string(said.Kind)}, formOrigins: origins}
	write(r.Session, said)
	if read, err := tokenOf(r, d.Issuer); err != nil || !same(read, said) {
		return nil, errors.New("a session from NewSession does not say what was decided, or says more")
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

// tokenOf reads a record. What the storage knows replaces whatever the claims of the session say of it.
func tokenOf(record fosite.Requester, issuer string) (tokenexchange.Token, error) {
	session, client, form := record.GetSession(), record.GetClient().GetID(), record.GetRequestForm()
	known := tokenexchange.Token{Issuer: issuer, ID: record.GetID(), Subject: session.GetSubject(), ClientID: client,
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
	if claims["iss"] != issuer {
		return tokenexchange.Token{}, fmt.Errorf("%w: R08: a token of ours under another issuer name", tokenexchange.InvalidRequest)
	}
	maps.DeleteFunc(claims, func(name string, _ any) bool { return name == "aud" || name == "iat" || name == "exp" || name == "sub" })
	maps.Copy(claims, known.ClaimsSet())
	claims["scope"] = strings.Join(record.GetGrantedScopes(), " ")
	text, _ := json.Marshal(claims)
	t, err := tokenexchange.ParseToken(text)
	if err == nil && (t.Subject == "" || t.Subject != known.Subject) {
		err = errors.New("no subject, or act_as in a session")
	}
	if err != nil {
		return tokenexchange.Token{}, fmt.Errorf("%w: R08: %w", tokenexchange.InvalidRequest, err)
	}
	t.Type, t.Kind = tokenexchange.TypeAccessToken, known.Kind
	return t, nil
}

// same reports whether two tokens have the same claims, in whatever order an encoder puts the members of a chain.
func same(a, b tokenexchange.Token) bool {
	var left, right any
	textA, errA := json.Marshal(a.ClaimsSet())
	textB, errB := json.Marshal(b.ClaimsSet())
	return errA == nil && errB == nil && json.Unmarshal(textA, &left) == nil && json.Unmarshal(textB, &right) == nil && reflect.DeepEqual(left, right)
}
