package scenarios

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/go-tokenexchange/tokenexchange"
	exchangeclient "github.com/go-tokenexchange/tokenexchange/client"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
	"github.com/go-tokenexchange/tokenexchange/resourceserver"
)

func init() {
	scenario("C08", scenarioC08)
	scenario("C09", scenarioC09)
}

// scenarioC08: access to an account depends on the relation to it, and not on a role.
func scenarioC08(t *testing.T) {
	sc := play(t, adding("users",
		`{"id": "archer-shop", "name": "Archer's Shop", "org": "acme", "roles": ["org-admin"],
			"scope": ["openid", "read", "write"]}`,
		`{"id": "acme-orders", "name": "Acme Orders", "org": "acme", "roles": ["org-admin"],
			"scope": ["openid", "read", "write"]}`,
		`{"id": "bert", "name": "Bert Buyer", "org": "acme", "scope": ["read", "write"],
			"accounts": {"acme-orders": ["read"]}}`,
		`{"id": "anna", "name": "Anna Archer", "org": "globex", "scope": ["openid", "read",
			"write"],
			"accounts": {"archer-shop": ["*"], "acme-orders": ["read", "write"]}}`))
	portal := sc.basic("portal")
	for name, subject := range map[string]func(account string) []string{
		"by name": func(account string) []string { return about(account, urnUserID) },
		"by token": func(account string) []string {
			return about(sc.logIn(t, account, "portal").AccessToken, urnAccess)
		},
	} {
		t.Run(name, func(t *testing.T) { c08(t, sc, portal, subject) })
	}
	t.Run("as it is now", func(t *testing.T) {
		anna := sc.logIn(t, "anna", "portal")
		a := sc.exchange(t, portal, about("acme-orders", urnUserID),
			acting(anna.AccessToken, urnAccess), []string{"scope", "read write"}).opaque(t)
		sc.changeUser("anna", func(u *world.User) {
			u.Accounts = map[string]tokenexchange.Scope{"acme-orders": {"read"}}
		})
		sc.exchange(t, portal, about(a.token(), urnAccess),
			[]string{"requested_token_type", urnID}).refused(t, tokenexchange.InvalidRequest,
			"the scope is more than the user has")
		sc.exchange(t, portal, about(a.token(), urnAccess),
			[]string{"requested_token_type", urnID, "scope", "read"}).idToken(t)
		sc.changeUser("anna", func(u *world.User) {
			u.Accounts = map[string]tokenexchange.Scope{"archer-shop": {"*"}}
		})
		sc.exchange(t, portal, about("acme-orders", urnUserID), acting(anna.AccessToken, urnAccess),
			[]string{"scope", "read"}).refused(t, tokenexchange.InvalidRequest, "D11")
		// the service adds itself, and needs no right of anna's
		sc.exchange(t, sc.basic("aggregates-api"), about(a.token(), urnAccess)).opaque(t)
		a = sc.exchange(t, portal, about(a.token(), urnAccess),
			[]string{"audience", aggregates}).opaque(t)
		assert.Equal(t, "portal-narrow",
			a.event(t)["rule"], "less of what there is already is always there to be had")
		sc.changeUser("acme-orders", func(u *world.User) { u.Status = "disabled" })
		sc.exchange(t, portal, about(a.token(), urnAccess)).refused(t, tokenexchange.InvalidRequest,
			"D07")
	})
	t.Run("a world that names no other user", func(t *testing.T) {
		for _, accounts := range []map[string]tokenexchange.Scope{{"nobody": {"read"}},
			{"alice": {"read"}}, {"bob": {}}, {"bob": {"read write"}}} {
			w := demo(t)
			w.Users[0].Accounts = accounts
			assert.ErrorContains(t, w.Check(), "users[0] (alice).accounts", "%v", accounts)
		}
	})
}

func c08(t *testing.T, sc *scene, portal authentication, subject func(string) []string) {
	act := func(actor, account string, scope ...string) reply {
		by := acting(sc.logIn(t, actor, "portal").AccessToken, urnAccess)
		if len(scope) == 0 {
			return sc.exchange(t, portal, subject(account), by)
		}
		return sc.exchange(t, portal, subject(account), by,
			[]string{"scope", strings.Join(scope, " ")})
	}
	// One login, several accounts. The owner may do whatever the account can, although it is in
	// another organization.
	a := act("anna", "archer-shop").opaque(t)
	m := sc.active(t, portal, a.token())
	assert.Equal(t, []any{"archer-shop",
		object{"iss": sc.iss(), "sub": "anna", "client_id": "portal"}}, []any{m["sub"], m["act"]})
	assert.Equal(t, []string{"openid", "read", "write"}, a.scope())
	assert.Equal(t, []string{"read", "write"},
		act("anna", "acme-orders", "read", "write").opaque(t).scope())

	// The company's account, where each employee has their own access. More is refused, and nothing
	// is cut silently.
	assert.Equal(t, []string{"read"}, act("bert", "acme-orders", "read").opaque(t).scope())
	for _, scope := range [][]string{{"write"}, {"read", "write"}, {}} {
		e := act("bert", "acme-orders", scope...).refused(t, tokenexchange.InvalidRequest,
			"D11", "the scope is more than the user has").event(t)
		assert.Equal(t, []any{"bert", "acme-orders"},
			[]any{inside(e, "actor", "id"), inside(e, "subject", "id")})
	}
	// openid would be inherited, and she does not have it
	act("anna", "acme-orders").refused(t, tokenexchange.InvalidRequest, "D11")

	// The relation gives nothing else: not the reverse, not other accounts, and no role.
	for actor, account := range map[string]string{"acme-orders": "bert", "archer-shop": "anna",
		"bert": "archer-shop", "ines": "acme-orders", "greta": "archer-shop",
		"sam": "acme-orders"} {
		act(actor, account, "read").refused(t, tokenexchange.InvalidRequest, "D11")
	}
	// A request without scope is not a way around.
	sc.exchange(t, portal, subject("acme-orders"),
		acting(sc.logIn(t, "sam", "portal").IDToken, urnID)).refused(t,
		tokenexchange.InvalidRequest, "the subject is not an account of the user")
	// A client alone has no relation.
	sc.exchange(t, portal, about("acme-orders", urnUserID), []string{"scope", "read"}).refused(t,
		tokenexchange.InvalidRequest, "D04")
	// And access to one account does not lead to the next.
	sc.exchange(t, portal, subject("acme-orders"), acting(a.token(), urnAccess),
		[]string{"scope", "read"}).refused(t, tokenexchange.InvalidRequest)
}

// phantom is an API gateway. From outside it takes opaque tokens, which show nothing. To the API
// behind it sends JWTs, which need no introspection.
type phantom struct {
	next *httputil.ReverseProxy
	// the client of the gateway; the subject token comes with the request
	exchange exchangeclient.Config
}

func (g *phantom) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	opaque, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	// a JWT from inside was issued to this gateway, so the server would take it
	if strings.Contains(opaque, ".") {
		found = false
	}
	config := g.exchange
	config.Subject = oauth2.StaticTokenSource(&oauth2.Token{AccessToken: opaque})
	var inner *oauth2.Token
	var err error
	if found {
		inner, err = config.TokenSource(r.Context()).Token()
	}
	if !found || err != nil {
		w.Header().Set("WWW-Authenticate", "Bearer")
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	r.Header.Set("Authorization", "Bearer "+inner.AccessToken)
	g.next.ServeHTTP(w, r)
}

// ordersAPI records what the gateway lets through to the API.
type ordersAPI struct {
	outside string // the address of the gateway

	mu     sync.Mutex
	tokens []string
	seen   []object
}

// serveOrders starts an API that knows the server's keys and nothing else, with a gateway in front.
func serveOrders(t *testing.T, sc *scene) *ordersAPI {
	t.Helper()
	o := &ordersAPI{}
	verifier, err := tokenexchange.NewVerifier(tokenexchange.Trust{Issuer: sc.iss(),
		JWKSURL: sc.url + "/jwks", ActClaims: true,
		Types: map[tokenexchange.TokenType]string{tokenexchange.TypeAccessToken: ""},
		Live:  func(context.Context, tokenexchange.Token) error { return nil }})
	require.NoError(t, err)
	api := resourceserver.API{Issuer: sc.iss(), Audience: []string{internalAPI},
		Verify: verifier.Verify, Now: sc.clock.Now}
	behind := httptest.NewServer(api.Protect(http.HandlerFunc(func(_ http.ResponseWriter,
		r *http.Request) {
		o.mu.Lock()
		defer o.mu.Unlock()
		subject, _ := resourceserver.SubjectFrom(r.Context())
		actor, _ := resourceserver.ActorFrom(r.Context())
		o.tokens = append(o.tokens, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		o.seen = append(o.seen, object{"subject": subject.Subject, "actor": actor.Subject})
	}), "read"))
	t.Cleanup(behind.Close)
	to, err := url.Parse(behind.URL)
	require.NoError(t, err)
	gateway := httptest.NewServer(
		&phantom{next: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
		}},
			exchange: exchangeclient.Config{
				Server: clientcredentials.Config{ClientID: "gateway",
					ClientSecret: sc.secret("gateway"), TokenURL: sc.url + "/token"},
				Request: tokenexchange.Request{SubjectTokenType: tokenexchange.TypeAccessToken,
					RequestedTokenType: tokenexchange.TypeJWT},
			}})
	t.Cleanup(gateway.Close)
	o.outside = gateway.URL
	return o
}

const internalAPI = "https://internal.example"

// call asks the API through the gateway.
func (o *ordersAPI) call(t *testing.T, token string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, o.outside, nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	resp.Body.Close()
	return resp.StatusCode
}

// last is the last token that reached the API, and its claims.
func (o *ordersAPI) last() (token string, seen object) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.tokens[len(o.tokens)-1], o.seen[len(o.seen)-1]
}

// scenarioC09: opaque outside, a JWT inside.
func scenarioC09(t *testing.T) {
	sc := play(t)
	o, console, gateway := serveOrders(t, sc), sc.basic("console"), sc.basic("gateway")
	alice, ines := sc.logIn(t, "alice", "console"), sc.logIn(t, "ines", "console")

	require.Equal(t, http.StatusOK, o.call(t, alice.AccessToken))
	inner, seen := o.last()
	assert.Equal(t, object{"subject": "alice", "actor": ""}, seen)
	c := sc.claims(t, inner)
	assert.Equal(t, []any{"alice", internalAPI, "gateway"},
		[]any{c["sub"], c["aud"], c["client_id"]})
	assert.NotContains(t, c, "act")
	assert.ElementsMatch(t, []string{"read", "write"}, strings.Fields(c["scope"].(string)),
		"less than the client outside has")
	assert.NotContains(t, alice.AccessToken, ".", "nothing to be read outside")

	t.Run("an existing act is carried", func(t *testing.T) {
		acted := sc.exchange(t, console, about("alice", urnUserID),
			acting(ines.AccessToken, urnAccess), []string{"scope", "read"}).opaque(t)
		require.Equal(t, http.StatusOK, o.call(t, acted.token()))
		inner, seen := o.last()
		assert.Equal(t, object{"subject": "alice", "actor": "ines"}, seen)
		assert.Equal(t, object{"iss": sc.iss(), "sub": "ines", "client_id": "console"},
			sc.claims(t, inner)["act"], "the gateway does not act")
		e := objectOf([]byte(sc.audit.all()[len(sc.audit.all())-1]))
		assert.Equal(t, []any{"gateway-phantom", "gateway", `"ines"`},
			[]any{e["rule"], e["client"], inside(e, "granted", "chain")})

		sc.changeUser("ines", func(u *world.User) { u.Roles = nil })
		assert.Equal(t, http.StatusUnauthorized, o.call(t, acted.token()),
			"who may not act any more")
		sc.exchange(t, gateway, about(acted.token(), urnAccess)).refused(t,
			tokenexchange.InvalidRequest, "D11")
		sc.changeUser("ines", func(u *world.User) { u.Roles = []string{"org-user-impersonator"} })
		sc.exchange(t, gateway, about(acted.token(), urnAccess)).jwt(t)
	})
	t.Run("only what is for the gateway", func(t *testing.T) {
		other := sc.logIn(t, "alice", "portal")
		sc.exchange(t, gateway, about(other.AccessToken, urnAccess)).refused(t,
			tokenexchange.InvalidRequest, "D04")
		for _, token := range []string{other.AccessToken, "", "x", inner, alice.IDToken} {
			assert.Equal(t, http.StatusUnauthorized, o.call(t, token),
				"the JWT inside is no token outside")
		}
		sc.exchange(t, gateway, about(alice.AccessToken, urnAccess),
			[]string{"audience", aggregates}).refused(t, tokenexchange.InvalidTarget, "D24")
		sc.exchange(t, gateway, about(alice.AccessToken, urnAccess),
			[]string{"requested_token_type", urnAccess}).refused(t, tokenexchange.InvalidRequest,
			"R07")
		sc.exchange(t, gateway, about(alice.AccessToken, urnAccess),
			[]string{"scope", "profile"}).refused(t, tokenexchange.InvalidScope, "D21")
		sc.exchange(t, console, about(alice.AccessToken, urnAccess),
			[]string{"audience", internalAPI}).refused(t, tokenexchange.InvalidRequest)
	})
	t.Run("it lives as the token outside does", func(t *testing.T) {
		sc.active(t, sc.basic("internal-api"), inner)
		sc.revoke(t, console, alice.AccessToken)
		sc.inactive(t, sc.basic("internal-api"), inner)
		assert.Equal(t, http.StatusUnauthorized, o.call(t, alice.AccessToken))
		sc.wait(time.Hour)
		sc.exchange(t, gateway, about(ines.AccessToken, urnAccess)).refused(t,
			tokenexchange.InvalidRequest)
	})
	t.Run("a gateway that no rule names as carrier", func(t *testing.T) {
		sc := play(t,
			changing("rules", "gateway-phantom", object{"impersonate": object{"carry": nil}}))
		ines := sc.logIn(t, "ines", "console")
		acted := sc.exchange(t, sc.basic("console"), about("alice", urnUserID),
			acting(ines.AccessToken, urnAccess), []string{"scope", "read"}).opaque(t)
		sc.exchange(t, sc.basic("gateway"), about(acted.token(), urnAccess)).refused(t,
			tokenexchange.InvalidRequest, "D13")
		sc.exchange(t, sc.basic("gateway"), about(ines.AccessToken, urnAccess)).jwt(t)
	})
}
