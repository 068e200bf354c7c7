package pathtest

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"time"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// made is what kind of token a node is.
type made string

const (
	opaque   made = "opaque access token"
	signed   made = "JWT access token"
	embedded made = "embedded JWT"
	idToken  made = "ID token"
	idBeside made = "ID token beside"
	refresh  made = "refresh token"
	ticket   made = "ticket"
	session  made = "session"

	// These are first tokens only.
	foreignAccess made = "foreign access token"
	foreignID     made = "foreign ID token"
	userName      made = "user name"
	assertion     made = "assertion"
	clientWord    made = "client assertion"
)

func (m made) isEvidence() bool {
	return slices.Contains([]made{ticket, session, userName, assertion, clientWord}, m)
}

// saysScope reports whether the scope of such a token can be seen.
func (m made) saysScope() bool {
	return slices.Contains([]made{opaque, signed, embedded, refresh, foreignAccess}, m)
}

func (m made) isOwnAccess() bool { return m == opaque || m == signed || m == embedded }

// seen is what a token says, to whoever may look at it.
type seen struct {
	issuer, id, subject, client string
	aud                         []string
	scope                       []string
	hasScope                    bool
	exp                         time.Time
	mayAct                      *party
	chain                       []link
	cnf                         tx.Confirmation
	tenant                      string
	hasTenant                   bool // tenant can be seen
	about                       tx.Kind
}

// node is one token of a path, with the model of what it allows.
type node struct {
	seen
	number   int
	made     made
	value    string
	declared tx.TokenType
	login    tx.Token // of a session that a host door brings: it is presented as it is
	parent   *node    // nil: a first token
	hop      *hop     // how it was made
	ceiling  []string // the most scope that can be made from it, expansions aside
	ends     time.Time
	grantEnd time.Time // of a refresh token: when its grant ends, whatever is renewed
	org      string    // its organisation
	born     time.Time
	spent    bool // it is good no more by itself
}

// hop is one exchange, refresh or door that was granted.
type hop struct {
	door     string
	rule     rule
	client   tx.Client
	who      *actorToken // nil: no actor token
	asked    []string    // scope; nil: none
	granted  []string
	expanded []string // what of it the rule adds to the subject's
	tenant   string   // the organisation that a target selected
	at       time.Time
}

// path is the first token and all that leads to n.
func (n *node) path() []*node {
	var list []*node
	for ; n != nil; n = n.parent {
		list = append(list, n)
	}
	slices.Reverse(list)
	return list
}

func (n *node) first() *node {
	for n.parent != nil {
		n = n.parent
	}
	return n
}

// hops is how many exchanges, refreshes and doors n is away from its first token. What is embedded
// needs none.
func (n *node) hops() int {
	count := 0
	for ; n.parent != nil; n = n.parent {
		if n.hop.door != doorEmbedded {
			count++
		}
	}
	return count
}

// expandedSince is what rules have added to the scope on the way from an earlier token.
func (n *node) expandedSince(t *node) (list []string) {
	for ; n != t; n = n.parent {
		list = append(list, n.hop.expanded...)
	}
	return list
}

// fromToken reads what the server's own verifier says.
func fromToken(tok tx.Token) (s seen, err error) {
	s = seen{issuer: tok.Issuer, id: tok.ID, subject: tok.Subject, client: tok.ClientID,
		aud: tok.Audience, scope: tok.Scope,
		hasScope: tok.Scope != nil, exp: tok.Expires, cnf: tok.Confirmation, about: tok.Kind}
	s.tenant, s.hasTenant = organisationIn(tok)
	if tok.Actor != nil {
		raw, err := tok.Actor.MarshalJSON()
		if err != nil {
			return s, err
		}
		if s.chain, err = chainOf(raw, tok.Issuer); err != nil {
			return s, err
		}
	}
	if tok.MayAct != nil {
		raw, err := tok.MayAct.MarshalJSON()
		if err != nil {
			return s, err
		}
		s.mayAct = partyOf(raw)
	}
	return s, nil
}

// look verifies a token of this server as the server itself does, and reads what a JWT says. At
// times it takes the second look of an API: it verifies the JWT with the standard library, or asks
// introspection about another token.
func (w *world) look(value string, declared tx.TokenType, client tx.Client, second bool) (seen,
	error) {
	c := tx.Credential{Token: value, Type: declared, Issuer: own, Client: client, Now: w.now}
	tok, err := w.x.Verify[declared](w.ctx, c)
	if err != nil {
		return seen{}, err
	}
	s, err := fromToken(tok)
	if err != nil {
		return s, err
	}
	switch {
	case strings.Contains(value, "."):
		claims := unverified(value)
		if second {
			if claims, err = plainJWT(value); err != nil {
				return s, err
			}
		}
		s.tenant, _ = claims["org"].(string)
		s.hasTenant = true
		return s, s.compare(claims, w.jwt.ActAs)
	case second && declared != typeSession:
		return s, w.introspected(s, value, client.ID)
	}
	return s, nil
}

var ownPublicKey = func() ed25519.PublicKey {
	jwks, err := ownKey.JWTIssuer().JWKS()
	if err != nil {
		panic(err)
	}
	var set struct {
		Keys []struct{ X string }
	}
	if err := json.Unmarshal(jwks, &set); err != nil {
		panic(err)
	}
	key, err := base64.RawURLEncoding.DecodeString(set.Keys[0].X)
	if err != nil {
		panic(err)
	}
	return key
}()

// plainJWT verifies a JWT of this server with the standard library and returns its claims.
func plainJWT(value string) (map[string]any, error) {
	parts := strings.Split(value, ".")
	if len(parts) != 3 {
		return nil, errors.New("not a JWT")
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || !ed25519.Verify(ownPublicKey, []byte(parts[0]+"."+parts[1]), signature) {
		return nil, errors.New("the signature is not good")
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, err
	}
	claims := map[string]any{}
	return claims, json.Unmarshal(raw, &claims)
}

// introspected asks the endpoint, and compares its answer with what the verifier said.
func (w *world) introspected(s seen, value, client string) error {
	r := httptest.NewRequest(http.MethodPost, "/introspect",
		strings.NewReader(url.Values{"token": {value}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer := httptest.NewRecorder()
	w.tokens.IntrospectionHandler(own, w.confidential(client)).ServeHTTP(answer, r)
	claims := map[string]any{}
	if err := json.Unmarshal(answer.Body.Bytes(), &claims); err != nil {
		return err
	}
	if claims["active"] != true {
		return viewError{fmt.Errorf("introspection says %s", answer.Body)}
	}
	return s.compare(claims, false)
}

// viewError is a token that does not say the same to everybody.
type viewError struct{ error }

// compare reports where the claims that an API sees are not what the server reads.
func (s seen) compare(claims map[string]any, actAs bool) error {
	str := func(name string) string { v, _ := claims[name].(string); return v }
	key, _ := claims["cnf"].(map[string]any)
	exp, _ := claims["exp"].(float64)
	same := exp == float64(s.exp.Unix()) && str("scope") == strings.Join(s.scope, " ")
	same = same && (key["jkt"] == any(s.cnf.JKT) || key["jkt"] == nil && s.cnf.JKT == "")
	same = same && (key["x5t#S256"] == any(s.cnf.X5T) || key["x5t#S256"] == nil && s.cnf.X5T == "")
	if !actAs || claims["act_as"] == nil {
		act, depth := claims["act"], 0
		for ; act != nil; depth++ {
			object, _ := act.(map[string]any)
			if depth == len(s.chain) || object["sub"] != any(s.chain[depth].sub) {
				return viewError{fmt.Errorf("an API sees another act: %v", claims)}
			}
			act = object["act"]
		}
		same = same && depth == len(s.chain)
	}
	same = same && (claims["may_act"] != nil) == (s.mayAct != nil)
	if !same {
		return viewError{fmt.Errorf("an API sees %v, the server %+v", claims, s)}
	}
	return nil
}
