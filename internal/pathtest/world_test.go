package pathtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/grants"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

const (
	own  = "https://as.example"
	idp  = "https://idp.example"  // act and may_act are trusted, and two scopes are mapped
	shop = "https://shop.example" // no act, may_act or scope is trusted

	api  = "https://api.example"
	down = "https://down.example"
	pay  = "https://pay.example"
	help = "https://help.example"

	typeUserID    tx.TokenType = "urn:example:user-id"
	typeTicket    tx.TokenType = "urn:example:ticket"
	typeSession   tx.TokenType = "urn:example:session"
	typeAssertion tx.TokenType = "urn:example:assertion"
	typeRequested tx.TokenType = "urn:example:requested-subject"
	typeActAs     tx.TokenType = "urn:example:act-as"
	typeOuter     tx.TokenType = "urn:example:outer"

	loginGrantType = "urn:example:grant:login" // the grant of the host itself
)

var begin = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// dice draws values. The same seed gives the same values.
type dice struct{ *rand.Rand }

func (d dice) oneIn(n int) bool       { return d.IntN(n) == 0 }
func (d dice) percent(n int) bool     { return d.IntN(100) < n }
func pick[T any](d dice, list ...T) T { return list[d.IntN(len(list))] }
func (d dice) some(p int, l []string) []string { // each member with a probability of p percent
	return slices.DeleteFunc(slices.Clone(l), func(string) bool { return !d.percent(p) })
}

// The keys and verifiers are the same for all paths.
var (
	ownKey   = tokenexchangetest.NewMinterWith(own, "EdDSA")
	idpKey   = tokenexchangetest.NewMinterWith(idp, "EdDSA")
	shopKey  = tokenexchangetest.NewMinterWith(shop, "EdDSA")
	robotKey = tokenexchangetest.NewMinterWith("robot", "EdDSA")

	mapping = map[string]tx.Scope{"r": {"read"}, "w": {"write", "admin"}}

	verifier  = mustVerifier(ownTrust(), idpTrust(), shopKey.ForeignTrust(own))
	asserters = mustVerifier(assertionTrust(idpKey), assertionTrust(robotKey))
)

func mustVerifier(trust ...tx.Trust) *tx.Verifier {
	v, err := tx.NewVerifier(trust...)
	if err != nil {
		panic(err)
	}
	return v
}

type worldKey struct{}

// ownTrust asks the world of the context whether a token is live.
func ownTrust() tx.Trust {
	t := ownKey.Trust()
	t.Types[typeTicket] = "ticket+jwt"
	t.Live = func(ctx context.Context, tok tx.Token) error {
		return ctx.Value(worldKey{}).(*world).live(ctx, tok)
	}
	return t
}

func idpTrust() tx.Trust {
	t := idpKey.ForeignTrust(own)
	t.ActClaims, t.Scopes = true, mapping
	t.AuthTime, t.ACR = true, map[string]string{"gold": "gold"}
	return t
}

// assertionTrust is the Trust for assertions. The issuer robot is a client.
func assertionTrust(m *tokenexchangetest.Minter) tx.Trust {
	t := m.ForeignTrust(own)
	t.Types = map[tx.TokenType]string{typeAssertion: "JWT"}
	if m == idpKey {
		t.Scopes = mapping
	} else {
		t.Client = true
	}
	return t
}

// person is an entry of the directory.
type person struct {
	tx.Subject
	disabled bool
	actsIn   []string // organisations in which the authorizer lets the person act; nil: all
}

// world is one server with its host. The host has a token store, or issues JWTs without records.
type world struct {
	dice
	ctx         context.Context
	now         time.Time
	stored      bool
	store       *tokenstore.Memory // without stored, it only has the used assertions
	tokens      *tokenstore.Tokens
	jwt         *tx.JWTIssuer
	denied      map[string]bool // the deny list of a host without a token store
	x           *tx.Exchanger
	embeds      *grants.Embedded
	rules       map[string]rule
	policy      *tx.Policy
	clients     map[string]tx.Client
	people      map[string]*person
	refused     map[string]bool      // actors that the authorizer refuses
	hookResults map[string]*tx.Actor // results of the may_act hook, by rule
	asked       []string             // organisations of the authorizer calls of this hop
	events      []tx.Event           // of this hop
	logs        []string
	minted      int
}

func newWorld(seed uint64) *world {
	w := &world{dice: dice{rand.New(rand.NewPCG(seed, 12))}, now: begin, denied: map[string]bool{},
		rules: map[string]rule{}, refused: map[string]bool{}, hookResults: map[string]*tx.Actor{}}
	w.ctx = context.WithValue(context.Background(), worldKey{}, w)
	w.stored, w.store = w.percent(70), tokenstore.NewMemory()
	clock := func() time.Time { return w.now }
	w.jwt = ownKey.JWTIssuer()
	w.jwt.Types = map[tx.TokenType]string{typeTicket: "ticket+jwt"}
	w.jwt.ActAs = w.oneIn(12)
	w.x = &tx.Exchanger{Issuer: own, Resolver: resolver{w}, Authorizer: authorizer{w},
		Audit: sink{w},
		Now:   clock}
	w.embeds = &grants.Embedded{Exchanger: w.x, Type: typeOuter, Claim: "downstream",
		Rules: map[string]tx.Request{}}
	w.jwt.Claims = w.addClaims
	verify := verifier.Verify
	if w.stored {
		w.tokens = &tokenstore.Tokens{Store: w.store, JWT: w.jwt, Verify: verify, Now: clock,
			MayAct: w.mayAct,
			Opaque: map[tx.TokenType]string{tx.TypeAccessToken: "at_", typeSession: "se_"}}
		verify = w.tokens.VerifyToken
		w.embeds.Store = w.store
		w.x.TokenIssuer = w.embeds.Issuer(w.tokens)
	} else {
		w.x.TokenIssuer = w.embeds.Issuer(w.jwt)
	}
	w.x.Verify = tx.Verifiers{tx.TypeAccessToken: verify, tx.TypeIDToken: verify,
		tx.TypeJWT: verify, typeTicket: verify,
		typeUserID: w.verifyName, typeAssertion: asserters.Verify}
	if w.stored {
		w.x.Verify[tx.TypeRefreshToken] = w.tokens.VerifyRefreshToken
		w.x.Verify[typeSession] = verify
	}
	w.populate()
	return w
}

// verifyName verifies a user id that is presented as a token.
func (w *world) verifyName(_ context.Context, c tx.Credential) (tx.Token, error) {
	if p := w.people[c.Token]; p == nil || p.Kind != tx.KindUser {
		return tx.Token{}, fmt.Errorf("%w: unknown user", tx.InvalidRequest)
	}
	tok := tx.Token{Type: typeUserID, Kind: tx.KindUser, Issuer: own, Subject: c.Token,
		Expires: c.Now.Add(time.Hour)}
	tok.Name = true
	return tok, nil
}

// live returns an error if a JWT of this server is revoked.
func (w *world) live(ctx context.Context, tok tx.Token) error {
	if w.stored {
		return w.tokens.Live(ctx, tok)
	}
	if slices.ContainsFunc(namesOf(tok), func(name string) bool { return w.denied[name] }) {
		return fmt.Errorf("%w: on the deny list", tx.InvalidRequest)
	}
	return nil
}

// mayAct is the host's hook for the claim may_act.
func (w *world) mayAct(_ context.Context, d tx.Decision) (*tx.Actor, error) {
	return w.hookResults[d.Rule], nil
}

// addClaims adds the organisation, as hosts do, and the embedded token.
func (w *world) addClaims(ctx context.Context, d tx.Decision, claims map[string]any) error {
	if d.Subject.Tenant != "" {
		claims["org"] = d.Subject.Tenant
	}
	if party := w.hookResults[d.Rule]; party != nil && !w.stored {
		claims["may_act"] = party
	}
	return w.embeds.AddClaims(ctx, d, claims)
}

type resolver struct{ w *world }

// ResolveSubject finds people by their ids. Foreign issuers write "p-" in front of the id.
func (r resolver) ResolveSubject(_ context.Context, tok tx.Token) (tx.Subject, error) {
	id := tok.Subject
	if tok.Issuer == idp || tok.Issuer == shop {
		if id == "p-guest" { // an actor whose identity is that of the foreign issuer
			return tx.Subject{Identity: tx.Identity{Issuer: tok.Issuer, Kind: tx.KindUser, ID: id}},
				nil
		}
		id = id[min(2, len(id)):]
	}
	p := r.w.people[id]
	if p == nil || p.disabled || tok.Kind != "" && tok.Kind != p.Kind {
		return tx.Subject{}, fmt.Errorf("%w: unknown or locked", tx.InvalidRequest)
	}
	return p.Subject, nil
}

type authorizer struct{ w *world }

// AuthorizeActor refuses some parties, and others in some organisations.
func (a authorizer) AuthorizeActor(_ context.Context, f tx.Facts) error {
	a.w.asked = append(a.w.asked, f.Subject.Tenant)
	if !a.w.allows(f.ActingParty(), f.Subject.Tenant) {
		return fmt.Errorf("%w: the actor may not act in %q", tx.InvalidRequest, f.Subject.Tenant)
	}
	return nil
}

// allows reports whether the authorizer lets the actor act in the organisation.
func (w *world) allows(actor tx.Identity, tenant string) bool {
	if w.refused[actor.ID] {
		return false
	}
	p := w.people[actor.ID]
	return p == nil || p.actsIn == nil || slices.Contains(p.actsIn, tenant)
}

// active reports whether the directory still accepts a party. Parties of other issuers are always
// active.
func (w *world) active(issuer, sub string) bool {
	p := w.people[sub]
	return issuer != own || p != nil && !p.disabled
}

type sink struct{ w *world }

func (s sink) RecordExchange(_ context.Context, ev tx.Event) error {
	s.w.events = append(s.w.events, ev)
	return nil
}

// event returns the event of the last granted exchange, either of embedded tokens or of all others.
// It is nil if there is none.
func (w *world) event(embedded bool) *tx.Event {
	for i := range slices.Backward(w.events) {
		if ev := &w.events[i]; ev.Err == nil &&
			(ev.Facts.Grant == grants.GrantEmbedded) == embedded {
			return ev
		}
	}
	return nil
}

var allScopes = []string{"read", "write", "admin", "extra", "openid", "offline_access"}

// populate draws the people and the clients.
func (w *world) populate() {
	w.people, w.clients = map[string]*person{}, map[string]tx.Client{}
	add := func(id string, kind tx.Kind, tenant string) *person {
		p := &person{Subject: tx.Subject{Identity: tx.Identity{Issuer: own, Kind: kind,
			Tenant: tenant, ID: id}}}
		w.people[id] = p
		return p
	}
	home := pick(w.dice, "", "acme", "acme")
	alice := add("alice", tx.KindUser, home)
	alice.Scope = pick(w.dice, tx.Scope{"read", "write", "admin", "openid", "offline_access"},
		tx.Scope{"read", "write", "openid", "offline_access"})
	if w.oneIn(10) {
		alice.Scope = nil
	}
	if w.percent(70) {
		alice.Tenants = []string{"acme", "globex", "initech"}
	}
	until := func() time.Time {
		return pick(w.dice, time.Time{}, time.Time{}, w.now.Add(time.Hour), w.now.Add(26*time.Hour))
	}
	alice.Until = until()
	for _, id := range []string{"bob", "carol", "dave", "erin"} {
		p := add(id, tx.KindUser, pick(w.dice, home, home, "initech"))
		p.Scope, p.Until = pick(w.dice, nil, tx.Scope{"read"}), until()
		if w.percent(15) {
			p.actsIn = []string{home}
		}
	}
	for _, id := range []string{"webapp", "gateway", "helpdesk", "robot", "spa"} {
		c := tx.Client{ID: id, Scope: slices.Clone(allScopes), Public: id == "spa"}
		if w.oneIn(6) {
			c.Scope = tx.Scope{"read", "write", "openid", "offline_access"}
		}
		c.Audiences = map[string][]string{"gateway": {api}, "helpdesk": {help}, "robot": {down}}[id]
		w.clients[id] = c
		p := add(id, tx.KindClient, "")
		if w.percent(10) {
			p.actsIn = []string{home}
		}
	}
}

// setRules sets the policy of the path.
func (w *world) setRules(rules []rule) error {
	var list []tx.Rule
	for _, r := range rules {
		list = append(list, r.withMode())
	}
	policy, err := tx.NewPolicy(list...)
	if err != nil {
		return err
	}
	w.x.Decide = policy.Decide
	for _, r := range rules {
		w.rules[r.Name] = r
	}
	w.policy = policy
	return nil
}

func (w *world) log(format string, args ...any) {
	w.logs = append(w.logs, fmt.Sprintf(format, args...))
}

// confidential authenticates every caller of the introspection endpoint as an API that is in the
// audience of every token.
func (w *world) confidential(client string) func(*http.Request) (tx.Client, error) {
	return func(*http.Request) (tx.Client, error) {
		c := w.clients[client]
		c.Public, c.Audiences = false, []string{api, down, pay, help}
		return c, nil
	}
}
