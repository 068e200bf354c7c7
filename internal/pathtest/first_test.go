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

// newID names a token. The names are the same whenever the path is.
func (w *world) newID() string {
	w.minted++
	return fmt.Sprintf("token-%d", w.minted)
}

// minted is what a host says in a token that no exchange has made.
type minted struct {
	sub    string
	kind   tx.Kind
	client string
	aud    []string
	scope  []string // nil: it does not say
	mayAct string   // JSON; empty: none
	act    string   // JSON; empty: none
	cnf    tx.Confirmation
	lives  time.Duration
	extra  map[string]any
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

// mint makes a token that no exchange has made, as a login would: of one of the kinds that a login
// or another issuer gives.
func (w *world) mint(kind made, m minted) (*node, error) {
	n := &node{made: kind, org: w.home(m.sub), ends: never, born: w.now}
	c := tokenexchangetest.Claims{Subject: m.sub, Client: m.client, Audience: m.aud, Scope: m.scope,
		Now: w.now, Lifetime: m.lives,
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
		n.value, n.declared = w.foreignKey(m).AccessToken(w.abroad(c)), tx.TypeJWT
	case foreignID:
		c.Scope = nil
		n.value, n.declared = w.foreignKey(m).IDToken(w.abroad(c)), tx.TypeIDToken
	case userName:
		n.value, n.declared = m.sub, typeUserID
	case assertion:
		n.value, n.declared = idpKey.Sign("JWT", w.asserted(idp, "p-"+m.sub, m)), typeAssertion
	case clientWord:
		n.value, n.declared = robotKey.Sign("JWT", w.asserted("robot", m.sub, m)), typeAssertion
	case session:
		n.login = tx.Token{Type: typeSession, Kind: m.kind, ID: w.newID(), Issuer: own,
			Subject: m.sub, ClientID: m.client,
			Scope: m.scope, Issued: w.now, Expires: w.now.Add(m.lives), AuthTime: w.now,
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

// foreignKey signs for another issuer: one that is believed, where that is needed.
func (w *world) foreignKey(m minted) *tokenexchangetest.Minter {
	if m.act != "" || m.mayAct != "" || m.sub == "guest" {
		return idpKey
	}
	return pick(w.dice, idpKey, shopKey)
}

// abroad is what another issuer says: it knows people by other names, and does not know our
// clients.
func (w *world) abroad(c tokenexchangetest.Claims) tokenexchangetest.Claims {
	c.Subject, c.Client, c.Audience = "p-"+c.Subject, "their-client", []string{own}
	if c.Scope != nil {
		c.Scope = pick(w.dice, tx.Scope{"r", "w"}, tx.Scope{"r"}, tx.Scope{"profile"},
			tx.Scope{"read", "write"})
	}
	delete(c.Extra, "cnf")
	return c
}

const assertionLives = 4 * time.Minute

func (w *world) asserted(issuer, sub string, m minted) map[string]any {
	claims := map[string]any{"iss": issuer, "sub": sub, "aud": own, "jti": w.newID(),
		"iat": w.now.Unix(),
		"exp": w.now.Add(assertionLives).Unix()}
	if m.scope != nil {
		claims["scope"] = pick(w.dice, "r", "r w", "profile")
	}
	return claims
}

func (w *world) mintOpaque(n *node, m minted) error {
	tok := tx.Token{Type: tx.TypeAccessToken, Kind: m.kind, Issuer: own, Subject: m.sub,
		ClientID: m.client, Audience: m.aud,
		Scope: m.scope, Issued: w.now, Expires: w.now.Add(m.lives), Confirmation: m.cnf,
		AuthTime: w.now}
	if n.made == refresh {
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

// record tells the store about a JWT that was made elsewhere.
func (w *world) record(value string, kind tx.TokenType, about tx.Kind) error {
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
	tok.Type, tok.Kind = kind, about
	return w.tokens.Record(w.ctx, tok)
}

// describe fills in the model of a first token: what was written into it, and what the host says of
// its subject.
func (w *world) describe(n *node, m minted) (err error) {
	n.issuer, n.subject, n.client, n.aud, n.cnf = own, m.sub, m.client, m.aud, m.cnf
	n.exp, n.about = w.now.Add(m.lives), m.kind
	n.ceiling = w.people[m.sub].Scope
	switch n.made {
	case session:
		n.exp, n.id = n.login.Expires, n.login.ID
		if m.scope != nil {
			n.ceiling = m.scope
		}
		return nil
	case userName:
		n.client, n.aud, n.cnf, n.exp = "", nil, tx.Confirmation{}, never
		return nil
	case clientWord:
		n.exp = w.now.Add(assertionLives)
		n.cnf = tx.Confirmation{}
		n.issuer, n.client, n.aud, n.id = "robot", "", []string{own},
			unverified(n.value)["jti"].(string)
		return nil
	case assertion:
		n.exp = w.now.Add(assertionLives)
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
		if n.made == foreignAccess {
			n.ceiling = w.mapped(n, n.issuer)
		}
	case idToken:
		if n.aud == nil {
			n.aud = []string{m.client}
		}
	default:
		n.ceiling = m.scope
	}
	if n.made == signed || n.made == idToken {
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

// mapped is what the scope of a foreign token means here. An access token that says none has none;
// an assertion that says none has what its subject may hand on.
func (w *world) mapped(n *node, issuer string) []string {
	scope, says := unverified(n.value)["scope"].(string)
	if !says && n.made == assertion {
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

// home is the organisation of somebody before one was selected.
func (w *world) home(sub string) string { return w.people[sub].Tenant }

// actorToken is a token of somebody who acts at one hop.
type actorToken struct {
	acting
	value    string
	declared tx.TokenType
	exp      time.Time
	text     string
	node     *node
}

// actorFor makes a token of somebody for a client to present. A may_act can name members of a JWT
// only.
func (w *world) actorFor(who, client string, isJWT bool) (*actorToken, error) {
	a := &actorToken{text: "token of " + who}
	m := minted{sub: who, kind: w.people["bob"].Kind, client: client,
		aud:   []string{pick(w.dice, api, down)},
		lives: pick(w.dice, 50*time.Second, 10*time.Minute, 2*time.Hour, 2*time.Hour),
		extra: map[string]any{"dept": "d-" + who}}
	if w.percent(60) {
		m.scope = tx.Scope{"read", "write"}
	}
	kind := pick(w.dice, signed, signed, idToken)
	switch {
	case who == "p-guest":
		kind, m.sub = pick(w.dice, foreignAccess, foreignID), "guest"
		w.people["guest"] = w.people["bob"] // mint asks for the scope of somebody
	case w.people[who].Kind == tx.KindClient:
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
	a.node, a.value, a.declared, a.exp, a.iss, a.sub, a.hasFile = n, n.value, n.declared, n.exp,
		n.issuer, n.subject, true
	a.id = tx.Identity{Issuer: n.issuer, Kind: tx.KindUser, ID: who}
	if p := w.people[who]; p != nil {
		a.id = p.Identity
	}
	if kind != opaque {
		a.claims, _ = json.Marshal(unverified(n.value))
	}
	return a, nil
}

// ticketFor has the door of tickets make one, for alice, from the name of her. It is a hop.
func (w *world) ticketFor(client tx.Client, who string, scope []string) (tx.Response, error) {
	tickets := &grants.Tickets{Tokens: w.tokens, Type: typeTicket, Named: typeRequested}
	self := tx.Token{Type: typeSession, Kind: tx.KindUser, ID: w.newID(), Issuer: own, Subject: who,
		ClientID: client.ID,
		Scope:    scope, Issued: w.now, Expires: w.now.Add(time.Hour)}
	return tickets.Mint(w.ctx, w.x, client, self, "alice", scope)
}

// assert presents an assertion at its door.
func (w *world) assert(client tx.Client, n *node, form url.Values) (tx.Response, error) {
	form.Set("grant_type", grants.GrantJWTBearer)
	form.Set("assertion", n.value)
	door := &grants.Assertions{Verify: asserters.Verify, Type: typeAssertion, Store: w.store}
	return door.Exchange(w.ctx, w.x, client, form)
}

// unverified are the claims of a JWT, without a look at its signature.
func unverified(value string) map[string]any {
	claims := map[string]any{}
	parts := strings.Split(value, ".")
	if raw, err := base64.RawURLEncoding.DecodeString(parts[min(1, len(parts)-1)]); err == nil {
		_ = json.Unmarshal(raw, &claims)
	}
	return claims
}
