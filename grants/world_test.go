package grants_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/grants"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

const (
	issuer  = "https://as.example"
	partner = "https://idp.partner.example"
	api     = "https://api.example"
	down    = "https://down.example"

	typeTicket    tokenexchange.TokenType = "urn:example:token-type:ticket"
	typeRequested tokenexchange.TokenType = "urn:example:token-type:requested-subject"
	typeAssertion tokenexchange.TokenType = "urn:example:token-type:assertion"
	typeNamed     tokenexchange.TokenType = "urn:example:token-type:act-as"
	typeOuter     tokenexchange.TokenType = "urn:example:token-type:outer"
	typeSession   tokenexchange.TokenType = "urn:example:token-type:session"
	typeClient    tokenexchange.TokenType = "urn:example:token-type:client"
)

func user(id string) tokenexchange.Identity {
	return tokenexchange.Identity{Issuer: issuer, Kind: tokenexchange.KindUser, ID: id}
}

// world is an authorization server with all the doors, without HTTP.
type world struct {
	*testing.T
	now     time.Time
	store   *watched
	tokens  *tokenstore.Tokens
	x       *tokenexchange.Exchanger
	minter  *tokenexchangetest.Minter // our own key
	partner *tokenexchangetest.Minter
	robot   *tokenexchangetest.Minter // a client's own key
	people  *tokenexchangetest.Directory
	actors  *tokenexchangetest.Authorizer
	audit   *tokenexchangetest.Recorder

	tickets    *grants.Tickets
	assertions *grants.Assertions
	actAs      grants.ActAs
	embedded   *grants.Embedded
}

// watched is a Memory that a test can let fail, and that counts what it holds.
type watched struct {
	*tokenstore.Memory
	mu      sync.Mutex
	fail    func(tokenstore.Batch) error // what Commit answers; nil: the memory does
	discard error                        // what Discard answers after it is done
	hang    chan struct{}                // Discard waits until it is closed; nil: it does not wait
	written []tokenstore.Key
}

func (s *watched) Commit(ctx context.Context, now time.Time, b tokenstore.Batch) error {
	s.mu.Lock()
	for _, r := range b.Put {
		s.written = append(s.written, r.Key)
	}
	fail := s.fail
	s.mu.Unlock()
	if fail != nil {
		if err := fail(b); err != nil {
			return err
		}
	}
	return s.Memory.Commit(ctx, now, b)
}

func (s *watched) Discard(ctx context.Context, b tokenstore.Batch) error {
	if s.hang != nil {
		<-s.hang
	}
	return firstOf(s.Memory.Discard(ctx, b), s.discard)
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// live counts the records that were ever written and can still be got.
func (w *world) live() (n int) {
	for _, key := range w.store.written {
		if _, err := w.store.Get(context.Background(), w.now, key); err == nil {
			n++
		}
	}
	return n
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, now: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
		store:  &watched{Memory: tokenstore.NewMemory()},
		minter: tokenexchangetest.NewMinter(issuer), partner: tokenexchangetest.NewMinter(partner),
		robot:  tokenexchangetest.NewMinter("robot"),
		people: tokenexchangetest.NewDirectory(), audit: &tokenexchangetest.Recorder{},
		actors: &tokenexchangetest.Authorizer{
			Func: func(context.Context, tokenexchange.Facts) error { return nil }}}
	clock := func() time.Time { return w.now }
	scope := tokenexchange.Scope{"read", "write", "openid", "offline_access"}
	w.people.Add(tokenexchange.Subject{Identity: user("alice"), Scope: scope},
		tokenexchange.Subject{Identity: user("ines")},
		tokenexchange.Subject{Identity: user("bob"), Scope: tokenexchange.Scope{"read"}},
		tokenexchange.Subject{
			Identity: tokenexchange.Identity{Issuer: issuer, Kind: tokenexchange.KindClient,
				ID: "robot"}, Scope: scope},
		tokenexchange.Subject{
			Identity: tokenexchange.Identity{Issuer: issuer, Kind: tokenexchange.KindClient,
				ID: "gateway"}})
	w.people.Link(partner, "p-1", user("alice"))
	w.people.Link("robot", "alice", user("alice"))

	w.tokens = &tokenstore.Tokens{Store: w.store, JWT: w.minter.JWTIssuer(), Now: clock}
	w.tokens.JWT.Types = map[tokenexchange.TokenType]string{typeTicket: "ticket+jwt"}
	own := w.minter.Trust()
	own.Live, own.Types[typeTicket] = w.tokens.Live, "ticket+jwt"
	w.tokens.Verify = w.verifier(own).Verify
	verify := w.tokens.VerifyToken
	w.x = &tokenexchange.Exchanger{Issuer: issuer, Resolver: w.people, Authorizer: w.actors,
		Audit: w.audit, Now: clock,
		Verify: tokenexchange.Verifiers{tokenexchange.TypeAccessToken: verify,
			tokenexchange.TypeIDToken: verify, typeTicket: verify}}
	w.setRules(rules()...)

	w.tickets = &grants.Tickets{Tokens: w.tokens, Type: typeTicket, Named: typeRequested}
	w.assertions = &grants.Assertions{Type: typeAssertion, Store: w.store, Verify: w.verifier(
		w.assertionTrust(w.partner), w.assertionTrust(w.robot)).Verify}
	w.actAs = grants.ActAs{Named: typeNamed, Prefix: "act_as:"}
	w.embedded = &grants.Embedded{Exchanger: w.x, Store: w.store, Type: typeOuter,
		Claim: "downstream",
		Rules: map[string]tokenexchange.Request{
			"gateway": {Audience: []string{down}, Scope: tokenexchange.Scope{"read"},
				RequestedTokenType: tokenexchange.TypeJWT}}}
	w.tokens.JWT.Claims = w.embedded.AddClaims
	w.x.TokenIssuer = w.embedded.Issuer(w.tokens)
	return w
}

func (w *world) verifier(trust ...tokenexchange.Trust) *tokenexchange.Verifier {
	v, err := tokenexchange.NewVerifier(trust...)
	require.NoError(w, err)
	return v
}

func (w *world) assertionTrust(m *tokenexchangetest.Minter) tokenexchange.Trust {
	trust := m.ForeignTrust(issuer, issuer+"/token", "https://elsewhere.example")
	trust.Types = map[tokenexchange.TokenType]string{typeAssertion: "JWT"}
	trust.Client = m == w.robot
	return trust
}

func (w *world) setRules(rules ...tokenexchange.Rule) {
	policy, err := tokenexchange.NewPolicy(rules...)
	require.NoError(w, err)
	w.x.Decide = policy.Decide
}

// rules are a policy with one rule for each door.
func rules() []tokenexchange.Rule {
	users := []tokenexchange.Identity{{Kind: tokenexchange.KindUser, ID: "*"}}
	types := func(list ...tokenexchange.TokenType) []tokenexchange.TokenType { return list }
	access, jwt := tokenexchange.TypeAccessToken, tokenexchange.TypeJWT
	any := tokenexchange.Scope{"*"}
	return []tokenexchange.Rule{
		{Name: "mint",
			Delegate: &tokenexchange.Delegation{
				OtherTokens: true,
				Actors:      users,
				ActorTypes:  types(typeSession),
			},
			Clients:  []string{"portal"},
			Subjects: users, SubjectTypes: types(typeRequested),
			Types: types(typeTicket), Targets: []string{"portal"}, Scope: any,
			Lifetime: 2 * time.Minute},
		{Name: "spend",
			Delegate: &tokenexchange.Delegation{
				Actors:     users,
				ActorTypes: types(access),
			},
			Clients:  []string{"portal", "other"},
			Subjects: users, SubjectTypes: types(typeTicket),
			Types: types(access, jwt), Targets: []string{api}, DefaultTargets: []string{api},
			Scope: any, Lifetime: 30 * time.Minute},
		{Name: "assertion", Impersonate: &tokenexchange.Impersonation{Issuers: []string{partner}},
			Clients:  []string{"robot", "portal"},
			Subjects: users, SubjectTypes: types(typeAssertion), Types: types(access),
			Targets:        []string{api, down},
			DefaultTargets: []string{api}, Scope: any, Lifetime: 10 * time.Minute},
		{Name: "act-as",
			Delegate: &tokenexchange.Delegation{
				OtherTokens: true,
				Actors:      []tokenexchange.Identity{{Kind: "*", ID: "*"}},
				ActorTypes:  types(typeClient, typeSession),
			},
			Clients:  []string{"robot", "portal"},
			Subjects: users, SubjectTypes: types(typeNamed),
			Types: types(access), Targets: []string{api}, DefaultTargets: []string{api}, Scope: any,
			Lifetime: 10 * time.Minute},
		{Name: "own", Impersonate: &tokenexchange.Impersonation{},
			Clients:      []string{"robot", "portal"},
			Subjects:     []tokenexchange.Identity{{Kind: "*", ID: "*"}},
			SubjectTypes: types(typeClient, typeSession),
			Types:        types(access), Targets: []string{api}, DefaultTargets: []string{api},
			Scope:    any,
			Lifetime: 10 * time.Minute},
		{Name: "gateway", ClientActs: &tokenexchange.ClientActing{OtherTokens: true},
			Clients:  []string{"gateway"},
			Subjects: users, SubjectTypes: types(access), Types: types(jwt, access),
			Targets: []string{api}, DefaultTargets: []string{api},
			Scope: any, Lifetime: 10 * time.Minute},
		{Name: "inner", Impersonate: &tokenexchange.Impersonation{}, Clients: []string{"gateway"},
			Subjects: users, SubjectTypes: types(typeOuter),
			Types: types(jwt), Targets: []string{down}, Scope: any, Lifetime: time.Hour},
	}
}

// client is one that may ask for everything.
func client(id string) tokenexchange.Client {
	return tokenexchange.Client{ID: id,
		Scope: tokenexchange.Scope{"read", "write", "openid", "offline_access"}}
}

// session is somebody whom the host has logged in at a client.
func (w *world) session(who, at string) tokenexchange.Token {
	return tokenexchange.Token{Type: typeSession, Kind: tokenexchange.KindUser,
		ID: "session of " + who, Issuer: issuer, Subject: who,
		ClientID: at, Scope: tokenexchange.Scope{"read", "write", "admin"}, Issued: w.now,
		Expires: w.now.Add(time.Hour)}
}

// accessToken is an opaque access token of somebody at a client.
func (w *world) accessToken(who, at string, scope ...string) string {
	minted, err := w.tokens.Mint(w.Context(),
		tokenexchange.Token{Type: tokenexchange.TypeAccessToken, Kind: tokenexchange.KindUser,
			Issuer: issuer, Subject: who, ClientID: at, Audience: []string{api}, Scope: scope,
			Issued: w.now, Expires: w.now.Add(time.Hour)})
	require.NoError(w, err)
	return minted.Value
}

// refused holds an error to what every refusal is: the code outside, the reason inside, one event
// about it, no secret.
func (w *world) refused(err error, code tokenexchange.Code, reason string, secrets ...string) {
	w.Helper()
	require.ErrorIs(w, err, code, reason)
	require.Equal(w, reason, tokenexchange.AsError(err).Reason, "%v", err)
	last := w.audit.Last()
	require.Equal(w, err, last.Err, "I07: the event is about something else")
	require.Empty(w, last.TokenID)
	for _, secret := range secrets {
		require.NotContains(w, fmt.Sprintf("%+v %#v %s", err, last, last.LogValue()), secret, "I08")
	}
}

// payload is what a JWT says.
func payload(t *testing.T, jwt string) map[string]any {
	parts := strings.Split(jwt, ".")
	require.Len(t, parts, 3, "not a JWT")
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	claims := map[string]any{}
	require.NoError(t, json.Unmarshal(raw, &claims))
	return claims
}
