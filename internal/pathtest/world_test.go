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
	idp  = "https://idp.example"  // believed for act and may_act, two of its scopes are mapped
	shop = "https://shop.example" // believed for nothing

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

	grantLogin = "urn:example:grant:login" // the front door of the host: a session becomes tokens
)

var begin = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// dice draw. The same seed throws the same.
type dice struct{ *rand.Rand }

func (d dice) oneIn(n int) bool       { return d.IntN(n) == 0 }
func (d dice) percent(n int) bool     { return d.IntN(100) < n }
func pick[T any](d dice, list ...T) T { return list[d.IntN(len(list))] }
func (d dice) some(p int, l []string) []string { // each member with a probability of p percent
	return slices.DeleteFunc(slices.Clone(l), func(string) bool { return !d.percent(p) })
}

// The keys and what is made of them are the same for all paths.
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

// assertionTrust is for the door of assertions. The issuer robot is a client.
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

// person is somebody in the directory of the host, and for which organisations the authorizer lets
// them act.
type person struct {
	tx.Subject
	disabled bool
	actsIn   []string // nil: all
}

// world is one server with its host: a store of tokens, or JWTs alone.
type world struct {
	dice
	ctx     context.Context
	now     time.Time
	stored  bool
	store   *tokenstore.Memory // of a host without tokens in it: of assertions that were used
	tokens  *tokenstore.Tokens
	jwt     *tx.JWTIssuer
	denied  map[string]bool // jti that the deny list of a host without store has
	x       *tx.Exchanger
	embeds  *grants.Embedded
	rules   map[string]rule
	policy  *tx.Policy
	clients map[string]tx.Client
	people  map[string]*person
	refused map[string]bool      // acting parties to which the authorizer says no
	hooked  map[string]*tx.Actor // what the hook for may_act says, by rule
	asked   []string             // organisations that the authorizer was asked about at this hop
	events  []tx.Event           // of this hop
	logs    []string
	minted  int
}

func newWorld(seed uint64) *world {
	w := &world{dice: dice{rand.New(rand.NewPCG(seed, 12))}, now: begin, denied: map[string]bool{},
		rules: map[string]rule{}, refused: map[string]bool{}, hooked: map[string]*tx.Actor{}}
	w.ctx = context.WithValue(context.Background(), worldKey{}, w)
	w.stored, w.store = w.percent(70), tokenstore.NewMemory()
	clock := func() time.Time { return w.now }
	w.jwt = ownKey.JWTIssuer()
	w.jwt.Types = map[tx.TokenType]string{typeTicket: "ticket+jwt"}
	w.jwt.ActAs = w.oneIn(12)
	w.x = &tx.Exchanger{Issuer: own, Resolver: resolver{w}, Authorizer: authorizer{w}, Audit: sink{w},
		Now: clock}
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

// live is what the host knows about one of its own JWTs.
func (w *world) live(ctx context.Context, tok tx.Token) error {
	if w.stored {
		return w.tokens.Live(ctx, tok)
	}
	if slices.ContainsFunc(namesOf(tok), func(name string) bool { return w.denied[name] }) {
		return fmt.Errorf("%w: on the deny list", tx.InvalidRequest)
	}
	return nil
}

// mayAct is the hook of the host.
func (w *world) mayAct(_ context.Context, d tx.Decision) (*tx.Actor, error) {
	return w.hooked[d.Rule], nil
}

// addClaims writes the organisation, as hosts do, and embeds.
func (w *world) addClaims(ctx context.Context, d tx.Decision, claims map[string]any) error {
	if d.Subject.Tenant != "" {
		claims["org"] = d.Subject.Tenant
	}
	if party := w.hooked[d.Rule]; party != nil && !w.stored {
		claims["may_act"] = party
	}
	return w.embeds.AddClaims(ctx, d, claims)
}

type resolver struct{ w *world }

// ResolveSubject knows people by their ids, and those of other issuers as "p-" and the id.
func (r resolver) ResolveSubject(_ context.Context, tok tx.Token) (tx.Subject, error) {
	id := tok.Subject
	if tok.Issuer == idp || tok.Issuer == shop {
		if id == "p-guest" { // an actor who keeps their issuer
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

// AuthorizeActor says no to some parties, and to others where the organisation is not one of
// theirs.
func (a authorizer) AuthorizeActor(_ context.Context, f tx.Facts) error {
	a.w.asked = append(a.w.asked, f.Subject.Tenant)
	if !a.w.allows(f.ActingParty(), f.Subject.Tenant) {
		return fmt.Errorf("%w: may not act there", tx.InvalidRequest)
	}
	return nil
}

// allows is the host's knowledge behind the authorizer.
func (w *world) allows(who tx.Identity, tenant string) bool {
	if w.refused[who.ID] {
		return false
	}
	p := w.people[who.ID]
	return p == nil || p.actsIn == nil || slices.Contains(p.actsIn, tenant)
}

// active reports whether the directory still answers about somebody.
func (w *world) active(issuer, sub string) bool {
	p := w.people[sub]
	return issuer != own || p != nil && !p.disabled
}

type sink struct{ w *world }

func (s sink) RecordExchange(_ context.Context, ev tx.Event) error {
	s.w.events = append(s.w.events, ev)
	return nil
}

// event is that of the last exchange that was granted by a grant.
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

// setRules makes the policy of the path.
func (w *world) setRules(rules []rule) error {
	var made []tx.Rule
	for _, r := range rules {
		made = append(made, r.withMode())
	}
	policy, err := tx.NewPolicy(made...)
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

// confidential authenticates every caller of the introspection endpoint as an API that all tokens
// are for.
func (w *world) confidential(client string) func(*http.Request) (tx.Client, error) {
	return func(*http.Request) (tx.Client, error) {
		c := w.clients[client]
		c.Public, c.Audiences = false, []string{api, down, pay, help}
		return c, nil
	}
}
