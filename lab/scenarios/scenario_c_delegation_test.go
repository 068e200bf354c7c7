package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

func init() { scenario("C07", scenarioC07) }

// ask sends a request to an API of the server.
func (sc *scene) ask(t *testing.T, method, path, token string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, sc.url+path, nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	return sc.do(t, r, url.Values{"token": {token}})
}

// ruleOf is a rule of a world. It is about access tokens of all users, unless the members say
// otherwise.
func ruleOf(name string, members object) string {
	rule := object{"name": name, "lifetime": "5m",
		"subjects":      []object{{"kind": "user", "tenant": "*", "id": "*"}},
		"subject_types": []string{urnAccess}, "types": []string{urnAccess, urnJWT}}
	maps.Copy(rule, members)
	raw, err := json.Marshal(rule)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// delegations lists the delegations of a user with their own token.
func (sc *scene) delegations(t *testing.T, token string) []object {
	t.Helper()
	a := sc.ask(t, http.MethodGet, "/api/delegations", token)
	require.Equal(t, http.StatusOK, a.status, a.raw)
	assert.Equal(t, "no-store", a.header.Get("Cache-Control"))
	list := []object{}
	for _, d := range a.body["delegations"].([]any) {
		list = append(list, d.(object))
	}
	return list
}

// scenarioC07: users see who acts for them and end it, with every token made from it.
func scenarioC07(t *testing.T) {
	t.Run("who, through which client, since when, what and where", c07Shown)
	t.Run("ended, three hops deep", c07Ended)
	t.Run("it stays ended, and is allowed again by its name", c07Allowed)
	t.Run("ended while it is exchanged", c07AmongExchanges)
	t.Run("any token that it was made from", c07Parents)
	t.Run("only by the user themselves", c07Refused)
}

func c07Shown(t *testing.T) {
	sc := play(t)
	portal := sc.basic("portal")
	own := sc.logIn(t, "alice", "account").AccessToken
	alice, ines, begun := sc.logIn(t, "alice", "portal"), sc.logIn(t, "ines",
		"portal"), sc.clock.Now()
	assert.Empty(t, sc.delegations(t, own), "logins are the user's own")

	sc.wait(time.Second)
	sc.exchange(t, portal, about(alice.AccessToken, urnAccess), []string{"scope", "read"}).opaque(t)
	assert.Empty(t, sc.delegations(t, own), "and so is a narrower token of the same client")

	acted := sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
		acting(ines.AccessToken, urnAccess),
		[]string{"scope", "read write", "audience", aggregates}).opaque(t)
	list := sc.delegations(t, own)
	require.Len(t, list, 1)
	at := func(d time.Duration) string { return begun.Add(d).Format(time.RFC3339) }
	assert.Equal(t, object{"id": list[0]["id"],
		"actor":    object{"id": "ines", "name": "Ines Support"},
		"client":   object{"id": "portal", "name": "Acme Portal"},
		"audience": []any{aggregates}, "scope": []any{"read", "write"}, "since": at(time.Second),
		"until": at(30*time.Minute + time.Second), "tokens": list[0]["tokens"]}, list[0])
	assert.EqualValues(t, "1", list[0]["tokens"])

	sc.wait(time.Minute)
	sc.exchange(t, sc.basic("aggregates-api"), about(acted.token(), urnAccess)).opaque(t)
	again := sc.delegations(t, own)
	require.Len(t, again, 1, "an exchanged token joins the delegation of its subject token")
	assert.Equal(t, list[0]["id"], again[0]["id"])
	assert.Equal(t, list[0]["actor"], again[0]["actor"])
	assert.Equal(t, list[0]["since"], again[0]["since"])
	assert.EqualValues(t, "2", again[0]["tokens"])
	assert.Equal(t, []any{aggregates, "https://ledger.example"}, again[0]["audience"])

	sc.wait(time.Second)
	customer := sc.logIn(t, "alice", "customer")
	sc.exchange(t, sc.basic("service"), about(customer.AccessToken, urnAccess)).opaque(t)
	list = sc.delegations(t, own)
	require.Len(t, list, 2, "an impersonation without a trace in the token is seen here (C01)")
	assert.NotContains(t, list[1], "actor")
	assert.Equal(t, "service", inside(list[1], "client", "id"))
	assert.Empty(t, sc.delegations(t, sc.logIn(t, "bob", "account").AccessToken),
		"those of another user")
}

func c07Ended(t *testing.T) {
	sc := play(t, adding("rules", ruleOf("ledger-further",
		object{"client_as_actor": object{}, "clients": []string{"internal-api"},
			"targets":         []string{robots},
			"default_targets": []string{robots}, "scope": []string{"read"}})),
		changing("clients", "internal-api",
			object{"grants": []string{grantExchange}, "scope": []string{"read"},
				"audiences": []string{"https://ledger.example"}}),
		changing("clients", "bank-api", object{"audiences": []string{"https://bank.example"}}))
	portal := sc.basic("portal")
	own := sc.logIn(t, "alice", "account").AccessToken
	alice, ines := sc.logIn(t, "alice", "portal"), sc.logIn(t, "ines", "portal")
	act := func() reply {
		return sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
			acting(ines.AccessToken, urnAccess), []string{"scope", "openid offline_access read"})
	}
	first := act().opaque(t)
	second := sc.exchange(t, sc.basic("aggregates-api"), about(first.token(), urnAccess),
		[]string{"requested_token_type", urnJWT}).jwt(t)
	third := sc.exchange(t, sc.basic("internal-api"), about(second.token(), urnAccess)).opaque(t)
	chain := sc.active(t, sc.basic("internal-api"), third.token())["act"].(object)
	assert.Equal(t, []any{"internal-api", "aggregates-api", "ines"},
		[]any{chain["sub"], inside(chain, "act", "sub"),
			inside(chain["act"].(object), "act", "sub")})
	renewed := sc.refresh(t, portal, first.text("refresh_token")).opaque(t)
	sc.wait(time.Second)
	other := sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
		acting(sc.logIn(t, "greta", "portal").AccessToken, urnAccess),
		[]string{"scope", "read"}).opaque(t)

	list := sc.delegations(t, own)
	require.Len(t, list, 2)
	a := sc.ask(t, http.MethodDelete, "/api/delegations/"+list[0]["id"].(string), own)
	require.Equal(t, http.StatusNoContent, a.status, a.raw)
	assert.Equal(t, "delegation ended", a.logged[0]["msg"])
	assert.Equal(t, "alice", a.logged[0]["user"])
	assert.Equal(t, list[1:], sc.delegations(t, own))
	sc.inactive(t, portal, first.token())
	sc.inactive(t, sc.basic("aggregates-api"), second.token())
	sc.inactive(t, sc.basic("internal-api"), third.token())
	sc.inactive(t, portal, renewed.token())
	for _, still := range []string{alice.AccessToken, ines.AccessToken, other.token()} {
		sc.active(t, portal, still)
	}
	sc.refresh(t, portal, renewed.text("refresh_token")).refused(t, tokenexchange.InvalidGrant,
		"revoked")
	sc.exchange(t, portal, about(first.text("id_token"), urnID),
		[]string{"scope", "read"}).refused(t, tokenexchange.InvalidRequest, "revoked")
	sc.exchange(t, sc.basic("internal-api"), about(second.token(), urnAccess)).refused(t,
		tokenexchange.InvalidRequest, "revoked")
	act().refused(t, tokenexchange.InvalidRequest, "revoked")
	assert.Equal(t, http.StatusNotFound,
		sc.ask(t, http.MethodDelete, "/api/delegations/"+list[0]["id"].(string), own).status,
		"only once")
	ines = sc.logIn(t, "ines", "portal")
	act().refused(t, tokenexchange.InvalidRequest, "the user ended this delegation")
	sc.wait(time.Second)
	alice = sc.logIn(t, "alice", "portal")
	act().opaque(t)
}

// c07AmongExchanges: an exchange under way when the delegation ends is refused, or its token is
// inactive from the start.
func c07AmongExchanges(t *testing.T) {
	sc := play(t)
	own := sc.logIn(t, "alice", "account").AccessToken
	first := sc.exchange(t, sc.basic("portal"), about("alice", urnUserID),
		acting(sc.logIn(t, "ines", "portal").AccessToken, urnAccess),
		[]string{"scope", "read"}).opaque(t)
	id := sc.delegations(t, own)[0]["id"].(string)
	var mu sync.Mutex
	var tokens []string
	refused, running, ended := 0, make(chan struct{}, 64), make(chan struct{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for after := 0; after < 2; {
				select {
				case <-ended:
					after++
				default:
				}
				a := sc.exchange(t, sc.basic("aggregates-api"), about(first.token(), urnAccess))
				mu.Lock()
				if a.status == http.StatusOK {
					tokens = append(tokens, a.token())
				} else {
					refused++
				}
				mu.Unlock()
				select {
				case running <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 8 {
		<-running
	}
	require.Equal(t, http.StatusNoContent,
		sc.ask(t, http.MethodDelete, "/api/delegations/"+id, own).status)
	close(ended)
	all.Wait()
	require.NotEmpty(t, tokens)
	require.GreaterOrEqual(t, refused, 4)
	for _, token := range tokens {
		sc.inactive(t, sc.basic("aggregates-api"), token)
	}
	assert.Empty(t, sc.delegations(t, own))
}

// c07Allowed: a delegation that the user has ended does not begin again by another way, until the
// user logs in anew or allows it.
func c07Allowed(t *testing.T) {
	sc := play(t)
	portal := sc.basic("portal")
	own := sc.logIn(t, "alice", "account").AccessToken
	alice, ines := sc.logIn(t, "alice", "portal"), sc.logIn(t, "ines", "portal")
	ways := map[string][]string{
		"the same token": about(alice.AccessToken, urnAccess),
		"a JWT of the same login": about(sc.exchange(t, portal,
			about(alice.AccessToken, urnAccess), requested(urnJWT)).jwt(t).token(), urnJWT),
		"narrowed": about(sc.exchange(t, portal,
			about(alice.AccessToken, urnAccess), []string{"scope", "read"}).opaque(t).token(),
			urnAccess),
		"the ID token of the login": about(alice.IDToken, urnID),
		"the name":                  about("alice", urnUserID),
	}
	all := func(t *testing.T, granted ...string) {
		t.Helper()
		for way, subject := range ways {
			a := sc.exchange(t, portal, subject, acting(ines.AccessToken, urnAccess),
				[]string{"scope", "read"})
			if slices.Contains(granted, way) {
				require.Equal(t, http.StatusOK, a.status, "%s: %v", way, a.logged)
			} else {
				a.refused(t, tokenexchange.InvalidRequest, "the user ended this delegation")
			}
		}
	}
	everything := slices.Collect(maps.Keys(ways))
	all(t, everything...)
	require.Equal(t, http.StatusNoContent, sc.ask(t, http.MethodDelete,
		"/api/delegations/"+sc.delegations(t, own)[0]["id"].(string), own).status)
	require.Empty(t, sc.delegations(t, own),
		"of the same party through the same client, all have ended")
	all(t)

	sc.wait(time.Second)
	anew := sc.logIn(t, "alice", "portal")
	ways["a later login"] = about(anew.AccessToken, urnAccess)
	all(t, "a later login")

	ended := sc.ask(t, http.MethodGet, "/api/delegations", own).body["ended"].([]any)
	require.Len(t, ended, 1)
	shown := ended[0].(object)
	assert.Equal(t, "ines", inside(shown, "actor", "id"))
	assert.Equal(t, "portal", inside(shown, "client", "id"))
	path := "/api/delegations/ended/" + shown["id"].(string)
	require.Equal(t, http.StatusNotFound, sc.ask(t, http.MethodDelete, path,
		sc.logIn(t, "bob", "account").AccessToken).status)
	require.Equal(t, http.StatusNoContent, sc.ask(t, http.MethodDelete, path, own).status)
	require.Equal(t, http.StatusNotFound, sc.ask(t, http.MethodDelete, path, own).status)
	all(t, append(everything, "a later login")...)
}

// c07Parents: revoking a token ends every token made from it, and its own expiry does not.
func c07Parents(t *testing.T) {
	for _, parent := range []string{"subject", "actor", "refresh"} {
		sc := play(t)
		portal, aggregator := sc.basic("portal"), sc.basic("aggregates-api")
		alice, ines := sc.logIn(t, "alice", "portal"), sc.logIn(t, "ines", "portal")
		a := sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
			acting(ines.AccessToken, urnAccess), []string{"scope", "read offline_access"}).opaque(t)
		on := sc.exchange(t, aggregator, about(a.token(), urnAccess)).opaque(t)
		sc.active(t, aggregator, on.token())
		sc.revoke(t, portal, map[string]string{"subject": alice.AccessToken,
			"actor": ines.AccessToken, "refresh": a.text("refresh_token")}[parent])
		sc.inactive(t, aggregator, on.token())
		assert.Empty(t, sc.delegations(t, sc.logIn(t, "alice", "account").AccessToken), parent)
	}
	sc := play(t, changing("rules", "aggregates-downstream",
		object{"client_as_actor": object{"outlive_subject": true}, "lifetime": "3h"}))
	aggregator := sc.basic("aggregates-api")
	on := sc.exchange(t, aggregator,
		about(sc.logIn(t, "alice", "portal").AccessToken, urnAccess)).opaque(t)
	own := sc.logIn(t, "alice", "account").AccessToken
	before := sc.delegations(t, own)
	sc.wait(2 * time.Hour) // the login's tokens have expired
	sc.active(t, aggregator, on.token())
	own = sc.logIn(t, "alice", "account").AccessToken
	assert.Equal(t, before, sc.delegations(t, own))
	require.Equal(t, http.StatusNoContent,
		sc.ask(t, http.MethodDelete, "/api/delegations/"+before[0]["id"].(string), own).status)
	sc.inactive(t, aggregator, on.token())
}

func c07Refused(t *testing.T) {
	for _, shape := range []string{"act", "act_as"} {
		sc := play(t, setting("claim_shape", shape),
			changing("clients", "portal",
				object{"scope": []string{"read", "delegations", "users:read"}}))
		portal := sc.basic("portal")
		own := sc.logIn(t, "alice", "account").AccessToken
		alice, ines := sc.logIn(t, "alice", "portal"), sc.logIn(t, "ines", "portal")
		acted := sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
			acting(ines.AccessToken, urnAccess),
			[]string{"scope", "read delegations", "requested_token_type", urnJWT}).jwt(t)
		id := sc.delegations(t, own)[0]["id"].(string)
		for _, method := range []string{http.MethodGet, http.MethodDelete} {
			path := "/api/delegations"
			if method == http.MethodDelete {
				path += "/" + id
			}
			a := sc.ask(t, method, path, acted.token())
			assert.Equal(t, http.StatusForbidden, a.status, "acted for (Z22): %s", a.raw)
			assert.Equal(t, "ines", inside(a.logged[0], "actor", "id"))
			assert.NotContains(t, a.raw, id)
			narrow := sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
				[]string{"scope", "read"}).opaque(t)
			service := sc.own(t, portal, "scope", "delegations").opaque(t)
			elsewhere := sc.logIn(t, "alice", "customer")
			for _, token := range []string{narrow.token(), service.token()} {
				assert.Equal(t, http.StatusForbidden, sc.ask(t, method, path, token).status,
					"without the scope, or without a user")
			}
			for _, token := range []string{"x", elsewhere.AccessToken, alice.IDToken + "x"} {
				assert.Equal(t, http.StatusUnauthorized, sc.ask(t, method, path, token).status)
			}
		}
		bob := sc.logIn(t, "bob", "account").AccessToken
		for _, other := range []string{id, "x", id + "AAAA", url.PathEscape("../users")} {
			assert.Equal(t, http.StatusNotFound,
				sc.ask(t, http.MethodDelete, "/api/delegations/"+other, bob).status,
				"another's, or none")
		}
		sc.active(t, portal, acted.token())

		broken := &brokenStore{Store: sc.server.Tokens.Store}
		sc.server.Tokens.Store = broken
		broken.set(errors.New("the database is down"))
		for _, method := range []string{http.MethodGet, http.MethodDelete} {
			assert.Equal(t, http.StatusInternalServerError,
				sc.ask(t, method, map[string]string{http.MethodGet: "/api/delegations",
					http.MethodDelete: "/api/delegations/" + id}[method], own).status,
				"no answer is not none")
		}
		broken.set(nil)
		require.Len(t, sc.delegations(t, own), 1)
	}
}

// brokenStore lists nothing while it is broken.
type brokenStore struct {
	tokenstore.Store
	mu  sync.Mutex
	err error
}

func (s *brokenStore) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *brokenStore) List(ctx context.Context, now time.Time, owner, after tokenstore.Key,
	limit int) ([]tokenstore.Record, tokenstore.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, tokenstore.Key{}, s.err
	}
	return s.Store.List(ctx, now, owner, after, limit)
}
