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

// tokenKind is the kind of a token.
type tokenKind string

const (
	opaque       tokenKind = "opaque access token"
	signed       tokenKind = "JWT access token"
	embedded     tokenKind = "embedded JWT"
	idToken      tokenKind = "ID token"
	addedIDToken tokenKind = "additional ID token"
	refresh      tokenKind = "refresh token"
	ticket       tokenKind = "ticket"
	session      tokenKind = "session"

	// The remaining kinds are for first tokens only.
	foreignAccess   tokenKind = "foreign access token"
	foreignID       tokenKind = "foreign ID token"
	userName        tokenKind = "user name"
	assertion       tokenKind = "assertion"
	clientAssertion tokenKind = "client assertion"
)

func (k tokenKind) isEvidence() bool {
	return slices.Contains([]tokenKind{ticket, session, userName, assertion, clientAssertion}, k)
}

// statesScope reports whether a token of this kind states its scope.
func (k tokenKind) statesScope() bool {
	return slices.Contains([]tokenKind{opaque, signed, embedded, refresh, foreignAccess}, k)
}

func (k tokenKind) isOwnAccess() bool { return k == opaque || k == signed || k == embedded }

// tokenClaims are the claims of a token, as a server, a client or an API reads them.
type tokenClaims struct {
	issuer, id, subject, client string
	aud                         []string
	scope                       []string
	hasScope                    bool
	exp                         time.Time
	mayAct                      *party
	chain                       []link
	cnf                         tx.Confirmation
	tenant                      string
	hasTenant                   bool // the token states its tenant
	subjectKind                 tx.Kind
}

// node is one token of a path, with the model of its limits.
type node struct {
	tokenClaims
	number   int
	kind     tokenKind
	value    string
	declared tx.TokenType
	login    tx.Token  // of a session that the host itself presents
	parent   *node     // nil: a first token
	hop      *hop      // the hop that made the token
	ceiling  []string  // upper bound of the scope made from the token, without expansions
	ends     time.Time // of evidence: latest end of tokens made from it
	grantEnd time.Time // of a refresh token: end of its grant, which a refresh does not move
	org      string    // organisation
	issued   time.Time
	consumed bool // the token can be used only once and was used
}

// hop is one granted exchange, refresh or other grant.
type hop struct {
	grant      string
	rule       rule
	client     tx.Client
	actorToken *actorToken // nil: no actor token
	requested  []string    // requested scope; nil: none
	granted    []string
	expanded   []string // the part of it that the rule added
	tenant     string   // the organisation that a target selected
	at         time.Time
}

// path returns the tokens from the first token to n.
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

// hops returns the number of hops from the first token to n. Embedding a token is not a hop.
func (n *node) hops() int {
	count := 0
	for ; n.parent != nil; n = n.parent {
		if n.hop.grant != grantEmbedded {
			count++
		}
	}
	return count
}

// expandedSince returns the scopes that rules have added between the earlier token t and n.
func (n *node) expandedSince(t *node) (list []string) {
	for ; n != t; n = n.parent {
		list = append(list, n.hop.expanded...)
	}
	return list
}

// fromToken converts the result of a verifier.
func fromToken(tok tx.Token) (s tokenClaims, err error) {
	s = tokenClaims{issuer: tok.Issuer, id: tok.ID, subject: tok.Subject, client: tok.ClientID,
		aud: tok.Audience, scope: tok.Scope,
		hasScope: tok.Scope != nil, exp: tok.Expires, cnf: tok.Confirmation, subjectKind: tok.Kind}
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

// read verifies a token of this server as the server does, and returns its claims. If second is
// set, it also reads the token as an API does, by verifying a JWT with the standard library or by
// introspection, and compares the two.
func (w *world) read(value string, declared tx.TokenType, client tx.Client,
	second bool) (tokenClaims, error) {
	c := tx.Credential{Token: value, Type: declared, Issuer: own, Client: client, Now: w.now}
	tok, err := w.x.Verify[declared](w.ctx, c)
	if err != nil {
		return tokenClaims{}, err
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
		return nil, errors.New("the signature is not valid")
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, err
	}
	claims := map[string]any{}
	return claims, json.Unmarshal(raw, &claims)
}

// introspected introspects a token and compares the response with the claims.
func (w *world) introspected(s tokenClaims, value, client string) error {
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
		return viewError{fmt.Errorf("introspection returns %s", answer.Body)}
	}
	return s.compare(claims, false)
}

// viewError is the error for a token that server and API read differently.
type viewError struct{ error }

// compare returns an error if the claims that an API reads differ from those that the server reads.
func (s tokenClaims) compare(claims map[string]any, actAs bool) error {
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
				return viewError{fmt.Errorf("an API reads another act: %v", claims)}
			}
			act = object["act"]
		}
		same = same && depth == len(s.chain)
	}
	same = same && (claims["may_act"] != nil) == (s.mayAct != nil)
	if !same {
		return viewError{fmt.Errorf("an API reads %v, the server reads %+v", claims, s)}
	}
	return nil
}
