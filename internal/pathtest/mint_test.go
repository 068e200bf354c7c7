package pathtest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/grants"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

// newID returns a token ID, which depends on the path only.
func (w *world) newID() string {
	w.minted++
	return fmt.Sprintf("token-%d", w.minted)
}

// minted describes a first token, which no exchange has made.
type minted struct {
	sub      string
	kind     tx.Kind
	client   string
	aud      []string
	scope    []string // nil: no claim
	mayAct   string   // JSON; empty: no claim
	act      string   // JSON; empty: no claim
	cnf      tx.Confirmation
	lifetime time.Duration
	extra    map[string]any
}

func (m minted) claims(w *world) map[string]any {
	claims := map[string]any{"jti": w.newID()}
	if m.mayAct != "" {
		claims["may_act"] = json.RawMessage(m.mayAct)
	}
	if m.act != "" {
		claims["act"] = json.RawMessage(m.act)
	}
	if m.cnf != (tx.Confirmation{}) {
		claims["cnf"] = m.cnf
	}
	for name, value := range m.extra {
		claims[name] = value
	}
	return claims
}

// mint makes a first token, as a login or another issuer would.
func (w *world) mint(kind tokenKind, m minted) (*node, error) {
	n := &node{kind: kind, org: w.home(m.sub), ends: noEnd, issued: w.now}
	c := tokenexchangetest.Claims{Subject: m.sub, Client: m.client, Audience: m.aud, Scope: m.scope,
		Now: w.now, Lifetime: m.lifetime,
		Extra: m.claims(w)}
	var err error
	switch kind {
	case opaque, refresh:
		err = w.mintOpaque(n, m)
	case signed:
		n.value, n.declared = ownKey.AccessToken(c), pick(w.dice, tx.TypeAccessToken, tx.TypeJWT)
		err = w.record(n.value, tx.TypeAccessToken, m.kind)
	case idToken:
		n.value, n.declared = ownKey.IDToken(c), tx.TypeIDToken
		err = w.record(n.value, tx.TypeIDToken, m.kind)
	case foreignAccess:
		n.value, n.declared = w.foreignKey(m).AccessToken(w.foreignClaims(c)), tx.TypeJWT
	case foreignID:
		c.Scope = nil
		n.value, n.declared = w.foreignKey(m).IDToken(w.foreignClaims(c)), tx.TypeIDToken
	case userName:
		n.value, n.declared = m.sub, typeUserID
	case assertion:
		n.value, n.declared = idpKey.Sign("JWT",
			w.assertionClaims(idp, "p-"+m.sub, m)), typeAssertion
	case clientAssertion:
		n.value, n.declared = robotKey.Sign("JWT",
			w.assertionClaims("robot", m.sub, m)), typeAssertion
	case session:
		n.login = tx.Token{Type: typeSession, Kind: m.kind, ID: w.newID(), Issuer: own,
			Subject: m.sub, ClientID: m.client,
			Scope: m.scope, Issued: w.now, Expires: w.now.Add(m.lifetime), AuthTime: w.now,
			Confirmation: m.cnf}
	}
	if err != nil {
		return nil, err
	}
	if err := w.describe(n, m); err != nil {
		return nil, err
	}
	return n, nil
}

// foreignKey returns the key of a foreign issuer: the one whose act and may_act are trusted if the
// token has such a claim.
func (w *world) foreignKey(m minted) *tokenexchangetest.Minter {
	if m.act != "" || m.mayAct != "" || m.sub == "guest" {
		return idpKey
	}
	return pick(w.dice, idpKey, shopKey)
}

// foreignClaims converts claims to those of a foreign issuer, which has other names for users and
// clients.
func (w *world) foreignClaims(c tokenexchangetest.Claims) tokenexchangetest.Claims {
	c.Subject, c.Client, c.Audience = "p-"+c.Subject, "their-client", []string{own}
	if c.Scope != nil {
		c.Scope = pick(w.dice, tx.Scope{"r", "w"}, tx.Scope{"r"}, tx.Scope{"profile"},
			tx.Scope{"read", "write"})
	}
	delete(c.Extra, "cnf")
	return c
}

const assertionLifetime = 4 * time.Minute

func (w *world) assertionClaims(issuer, sub string, m minted) map[string]any {
	claims := map[string]any{"iss": issuer, "sub": sub, "aud": own, "jti": w.newID(),
		"iat": w.now.Unix(),
		"exp": w.now.Add(assertionLifetime).Unix()}
	if m.scope != nil {
		claims["scope"] = pick(w.dice, "r", "r w", "profile")
	}
	return claims
}

func (w *world) mintOpaque(n *node, m minted) error {
	tok := tx.Token{Type: tx.TypeAccessToken, Kind: m.kind, Issuer: own, Subject: m.sub,
		ClientID: m.client, Audience: m.aud,
		Scope: m.scope, Issued: w.now, Expires: w.now.Add(m.lifetime), Confirmation: m.cnf,
		AuthTime: w.now}
	if n.kind == refresh {
		tok.Type = tx.TypeRefreshToken
	}
	var err error
	if tok.MayAct, err = actorOf(m.mayAct); err != nil {
		return err
	}
	if tok.Actor, err = actorOf(m.act); err != nil {
		return err
	}
	issued, err := w.tokens.Mint(w.ctx, tok)
	n.value, n.declared, n.id = issued.Value, tok.Type, issued.ID
	return err
}

// actorOf reads an act or a may_act. It returns nil if the claim is absent.
func actorOf(raw string) (*tx.Actor, error) {
	if raw == "" {
		return nil, nil
	}
	a := &tx.Actor{}
	return a, a.UnmarshalJSON([]byte(raw))
}

// record stores a record for a JWT that the store did not make.
func (w *world) record(value string, kind tx.TokenType, subjectKind tx.Kind) error {
	if !w.stored {
		return nil
	}
	raw, err := json.Marshal(unverified(value))
	if err != nil {
		return err
	}
	tok, err := tx.ParseToken(raw)
	if err != nil {
		return err
	}
	tok.Type, tok.Kind = kind, subjectKind
	return w.tokens.Record(w.ctx, tok)
}

// describe sets the model of a first token from its claims and from the directory.
func (w *world) describe(n *node, m minted) (err error) {
	n.issuer, n.subject, n.client, n.aud, n.cnf = own, m.sub, m.client, m.aud, m.cnf
	n.exp, n.subjectKind = w.now.Add(m.lifetime), m.kind
	n.ceiling = w.people[m.sub].Scope
	switch n.kind {
	case session:
		n.exp, n.id = n.login.Expires, n.login.ID
		if m.scope != nil {
			n.ceiling = m.scope
		}
		return nil
	case userName:
		n.client, n.aud, n.cnf, n.exp = "", nil, tx.Confirmation{}, noEnd
		return nil
	case clientAssertion:
		n.exp = w.now.Add(assertionLifetime)
		n.cnf = tx.Confirmation{}
		n.issuer, n.client, n.aud, n.id = "robot", "", []string{own},
			unverified(n.value)["jti"].(string)
		return nil
	case assertion:
		n.exp = w.now.Add(assertionLifetime)
		n.cnf = tx.Confirmation{}
		n.issuer, n.client, n.aud, n.id = idp, "", []string{own},
			unverified(n.value)["jti"].(string)
		n.ceiling = w.mapped(n, idp)
		return nil
	case foreignAccess, foreignID:
		claims := unverified(n.value)
		n.issuer, n.client, n.aud, n.cnf = claims["iss"].(string), "", []string{own},
			tx.Confirmation{}
		n.subject, n.id, n.exp = claims["sub"].(string), claims["jti"].(string),
			time.Unix(int64(claims["exp"].(float64)), 0).UTC()
		if n.kind == foreignAccess {
			n.ceiling = w.mapped(n, n.issuer)
		}
	case idToken:
		if n.aud == nil {
			n.aud = []string{m.client}
		}
	default:
		n.ceiling = m.scope
	}
	if n.kind == signed || n.kind == idToken {
		n.id = unverified(n.value)["jti"].(string)
	}
	if m.mayAct != "" {
		n.mayAct = partyOf([]byte(m.mayAct))
	}
	if m.act != "" {
		n.chain, err = chainOf([]byte(m.act), n.issuer)
	}
	return err
}

// mapped returns the scope of this server that a foreign token allows. An access token without
// scope allows none; an assertion without scope allows the scope of its subject.
func (w *world) mapped(n *node, issuer string) []string {
	scope, stated := unverified(n.value)["scope"].(string)
	if !stated && n.kind == assertion {
		return n.ceiling
	}
	var list []string
	if parsed, err := tx.ParseScope(scope); err == nil && issuer == idp {
		for _, s := range parsed {
			list = append(list, mapping[s]...)
		}
	}
	return list
}

// home returns the organisation of a user before an exchange selects another one.
func (w *world) home(sub string) string { return w.people[sub].Tenant }

// actorToken is the actor token of one hop.
type actorToken struct {
	actingParty
	value    string
	declared tx.TokenType
	exp      time.Time
	text     string
	node     *node
}

// actorFor makes an actor token for a client to present. If a may_act may name further claims of
// the token, the token must be a JWT.
func (w *world) actorFor(name, client string, isJWT bool) (*actorToken, error) {
	a := &actorToken{text: "token of " + name}
	m := minted{sub: name, kind: w.people["bob"].Kind, client: client,
		aud:      []string{pick(w.dice, api, down)},
		lifetime: pick(w.dice, 50*time.Second, 10*time.Minute, 2*time.Hour, 2*time.Hour),
		extra:    map[string]any{"dept": "d-" + name}}
	if w.percent(60) {
		m.scope = tx.Scope{"read", "write"}
	}
	kind := pick(w.dice, signed, signed, idToken)
	switch {
	case name == "p-guest":
		kind, m.sub = pick(w.dice, foreignAccess, foreignID), "guest"
		w.people["guest"] = w.people["bob"] // mint needs an entry
	case w.people[name].Kind == tx.KindClient:
		kind, m.kind = signed, tx.KindClient
	case w.stored && !isJWT && w.oneIn(3):
		kind = opaque
	}
	if kind == idToken {
		m.aud = []string{client}
	}
	n, err := w.mint(kind, m)
	if err != nil {
		return nil, err
	}
	delete(w.people, "guest")
	a.node, a.value, a.declared, a.exp, a.iss, a.sub, a.hasToken = n, n.value, n.declared, n.exp,
		n.issuer, n.subject, true
	a.id = tx.Identity{Issuer: n.issuer, Kind: tx.KindUser, ID: name}
	if p := w.people[name]; p != nil {
		a.id = p.Identity
	}
	if kind != opaque {
		a.claims, _ = json.Marshal(unverified(n.value))
	}
	return a, nil
}

// ticketFor makes a ticket for alice. This is a hop that begins with her user name.
func (w *world) ticketFor(client tx.Client, name string, scope []string) (tx.Response, error) {
	tickets := &grants.Tickets{Tokens: w.tokens, Type: typeTicket, Named: typeRequested}
	self := tx.Token{Type: typeSession, Kind: tx.KindUser, ID: w.newID(), Issuer: own,
		Subject:  name,
		ClientID: client.ID,
		Scope:    scope, Issued: w.now, Expires: w.now.Add(time.Hour)}
	return tickets.Mint(w.ctx, w.x, client, self, "alice", scope)
}

// assert presents an assertion as a grant.
func (w *world) assert(client tx.Client, n *node, form url.Values) (tx.Response, error) {
	form.Set("grant_type", grants.GrantJWTBearer)
	form.Set("assertion", n.value)
	assertions := &grants.Assertions{Verify: asserters.Verify, Type: typeAssertion, Store: w.store}
	return assertions.Exchange(w.ctx, w.x, client, form)
}

// unverified returns the claims of a JWT without verifying its signature.
func unverified(value string) map[string]any {
	claims := map[string]any{}
	parts := strings.Split(value, ".")
	if raw, err := base64.RawURLEncoding.DecodeString(parts[min(1, len(parts)-1)]); err == nil {
		_ = json.Unmarshal(raw, &claims)
	}
	return claims
}
