package scenarios

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/server"
)

// family has the tokens made from one login of alice: three hops, of every type, with ines in the
// second.
type family struct {
	alice, ines server.TokenSet
	hops        [][]string // access tokens by hop, those of the login first
	refresh     []string
	ids         []string
}

func newFamily(t *testing.T, sc *scene) family {
	t.Helper()
	portal := sc.private(t, "portal", "testdata/robot.pem")
	f := family{alice: sc.logIn(t, "alice", "portal"), ines: sc.logIn(t, "ines", "portal")}
	f.hops = [][]string{{f.alice.AccessToken}, nil, nil, nil}
	for hop := 1; hop <= 3; hop++ {
		for _, parent := range f.hops[hop-1] {
			for _, kind := range []string{urnAccess, urnJWT} {
				more := []string{"requested_token_type", kind,
					"scope", "openid offline_access read write"}
				if hop == 2 {
					more = append(more, acting(f.ines.AccessToken, urnAccess)...)
				}
				a := sc.exchange(t, portal, about(parent, urnAccess), more).granted(t, kind,
					"Bearer")
				f.hops[hop] = append(f.hops[hop], a.token())
				f.refresh = append(f.refresh, a.text("refresh_token"))
				f.ids = append(f.ids, a.text("id_token"))
			}
		}
	}
	// An API has exchanged one of the last tokens, and a refresh made one more.
	down := sc.exchange(t, sc.basic("aggregates-api"), about(f.hops[3][0], urnAccess))
	f.hops[3] = append(f.hops[3], down.opaque(t).token())
	next := sc.refresh(t, portal, f.refresh[len(f.refresh)-1]).granted(t, urnJWT, "Bearer")
	f.refresh[len(f.refresh)-1] = next.text("refresh_token")
	f.hops[3] = append(f.hops[3], next.token())
	return f
}

// state counts for each hop how many of its access tokens are active.
func (f family) state(t *testing.T, sc *scene) (active []int) {
	t.Helper()
	portal := sc.private(t, "portal", "testdata/robot.pem")
	for _, hop := range f.hops {
		n := 0
		for _, token := range hop {
			m := sc.introspect(t, portal, token)
			if m["active"] != true {
				// it may introspect tokens that were issued to it
				m = sc.introspect(t, sc.basic("aggregates-api"), token)
			}
			if m["active"] == true {
				n++
				continue
			}
			assert.Equal(t, object{"active": false}, m)
		}
		active = append(active, n)
	}
	return active
}

// TestRevocation: the tokens made from a token end with it, over three hops and for all types.
func TestRevocation(t *testing.T) {
	sc := play(t, quickPortal)
	portal := sc.private(t, "portal", "testdata/robot.pem")
	all := []int{1, 2, 4, 10}

	dead := func(t *testing.T, f family) {
		t.Helper()
		for _, hop := range f.hops[1:] {
			for _, token := range hop {
				sc.exchange(t, portal, about(token, urnAccess)).refused(t,
					tokenexchange.InvalidRequest)
			}
		}
		for _, token := range f.refresh {
			sc.inactive(t, portal, token)
			sc.refresh(t, portal, token).refused(t, tokenexchange.InvalidGrant)
		}
		for _, token := range f.ids {
			sc.exchange(t, portal, about(token, urnID), []string{"scope", "read"}).refused(t,
				tokenexchange.InvalidRequest)
		}
	}
	t.Run("the subject token", func(t *testing.T) {
		f := newFamily(t, sc)
		require.Equal(t, all, f.state(t, sc))
		sc.revoke(t, portal, f.alice.AccessToken)
		assert.Equal(t, []int{0, 0, 0, 0}, f.state(t, sc))
		dead(t, f)
		sc.active(t, portal, f.ines.AccessToken)
		sc.active(t, portal, f.alice.JWT) // another token of the same login
	})
	t.Run("the session", func(t *testing.T) {
		f := newFamily(t, sc)
		require.NoError(t, sc.server.LogOut(t.Context(), f.alice.Session))
		assert.Equal(t, []int{0, 0, 0, 0}, f.state(t, sc))
		dead(t, f)
		sc.inactive(t, portal, f.alice.JWT)
		sc.active(t, portal, f.ines.AccessToken)
	})
	t.Run("the actor token", func(t *testing.T) {
		f := newFamily(t, sc)
		sc.revoke(t, portal, f.ines.AccessToken)
		assert.Equal(t, []int{1, 2, 0, 0}, f.state(t, sc), "what ines had no part in stays")
	})
	t.Run("one in the middle", func(t *testing.T) {
		f := newFamily(t, sc)
		sc.revoke(t, portal, f.hops[2][1])
		assert.Equal(t, []int{1, 2, 3, 8}, f.state(t, sc),
			"its two children, and no parent or sibling")
		sc.revoke(t, portal, f.hops[1][1])
		assert.Equal(t, []int{1, 1, 1, 3}, f.state(t, sc))
	})
	t.Run("a JWT", func(t *testing.T) {
		f := newFamily(t, sc)
		token := f.hops[1][1]
		require.Contains(t, token, ".")
		sc.revoke(t, portal, token)
		assert.Equal(t, []int{1, 1, 2, 5}, f.state(t, sc))
	})
	t.Run("an ID token", func(t *testing.T) {
		login := sc.logIn(t, "alice", "portal")
		a := sc.exchange(t, portal, about(login.IDToken, urnID),
			[]string{"scope", "read"}).opaque(t)
		b := sc.exchange(t, portal, about(a.token(), urnAccess)).opaque(t)
		sc.revoke(t, portal, login.IDToken)
		sc.inactive(t, portal, a.token())
		sc.inactive(t, portal, b.token())
		sc.active(t, portal, login.AccessToken)
	})
	t.Run("a refresh token", func(t *testing.T) {
		login := sc.logIn(t, "alice", "portal")
		a := sc.exchange(t, portal, about(login.AccessToken, urnAccess),
			[]string{"scope", "offline_access read"}).opaque(t)
		b := sc.refresh(t, portal, a.text("refresh_token")).opaque(t)
		c := sc.exchange(t, portal, about(b.token(), urnAccess)).opaque(t)
		sc.revoke(t, portal, b.text("refresh_token"))
		for _, token := range []string{a.token(), b.token(), c.token()} {
			sc.inactive(t, portal, token)
		}
		sc.active(t, portal, login.AccessToken)
	})
	t.Run("of another client", func(t *testing.T) {
		f := newFamily(t, sc)
		for _, client := range []string{"service", "aggregates-api", "settings-api"} {
			sc.send(t, "/revoke", sc.basic(client), formOf("token", f.alice.AccessToken))
		}
		sc.send(t, "/revoke", nobodySays, formOf("token", f.alice.AccessToken))
		assert.Equal(t, all, f.state(t, sc), "not theirs to end")
	})
	t.Run("natural expiry", func(t *testing.T) { // the expiry of a parent revokes nothing
		longer := play(t, setting("lifetimes",
			object{"access_token": "1m", "refresh_token": "12h", "session": "12h"}),
			changing("rules", "portal-narrow", object{"clients": []string{"retired"}}),
			changing("rules", "portal-own",
				object{"impersonate": object{"outlive_subject": true}, "lifetime": "1h"}))
		as := longer.basic("portal")
		login := longer.logIn(t, "alice", "portal")
		a := longer.exchange(t, as, about(login.AccessToken, urnAccess)).opaque(t)
		longer.wait(2 * time.Minute)
		longer.inactive(t, as, login.AccessToken)
		longer.active(t, as, a.token())
		b := longer.exchange(t, as, about(a.token(), urnAccess)).opaque(t)
		longer.wait(30 * time.Minute)
		longer.active(t, as, b.token())
		// it is still made from the session
		require.NoError(t, longer.server.LogOut(t.Context(), login.Session))
		longer.inactive(t, as, a.token())
		longer.inactive(t, as, b.token())
	})
}

// TestRevocationDuringExchange: no token stays active that was issued while its parent was being
// revoked.
func TestRevocationDuringExchange(t *testing.T) {
	sc := play(t, quickPortal)
	portal := sc.private(t, "portal", "testdata/robot.pem")
	for name, pick := range map[string]func(server.TokenSet, server.TokenSet) (subject, actor,
		end string){
		"subject": func(alice, _ server.TokenSet) (string, string, string) {
			return alice.AccessToken, "", alice.AccessToken
		},
		"subject JWT": func(alice, _ server.TokenSet) (string, string, string) {
			return alice.JWT, "", alice.JWT
		},
		"actor": func(alice, ines server.TokenSet) (string, string, string) {
			return alice.AccessToken, ines.AccessToken, ines.AccessToken
		},
	} {
		t.Run(name, func(t *testing.T) {
			granted, refused := 0, 0
			for round := range 12 {
				subject, actor, end := pick(sc.logIn(t, "alice", "portal"),
					sc.logIn(t, "ines", "portal"))
				issued, failed := race(t, sc, subject, actor, end,
					time.Duration(round)*time.Millisecond)
				granted, refused = granted+len(issued), refused+failed
				for _, token := range issued {
					sc.inactive(t, portal, token)
				}
			}
			t.Logf("%d granted, %d refused", granted, refused)
			assert.NotZero(t, granted, "nothing was issued in time")
			assert.NotZero(t, refused, "nothing came too late")
		})
	}
}

// race exchanges a token in several chains at once, revokes one of the parents meanwhile, and
// returns the issued tokens.
func race(t *testing.T, sc *scene, subject, actor, end string, head time.Duration) (
	issued []string, refused int) {
	var mu sync.Mutex
	var work sync.WaitGroup
	portal := sc.private(t, "portal", "testdata/robot.pem")
	ask := func(parts ...[]string) string {
		a := sc.exchange(t, portal, parts...)
		mu.Lock()
		defer mu.Unlock()
		for _, member := range []string{"access_token", "refresh_token"} {
			if token := a.text(member); token != "" {
				issued = append(issued, token)
			}
		}
		if a.status != http.StatusOK {
			assert.Equal(t, "invalid_request", a.text("error"), a.raw)
			refused++
		}
		return a.token()
	}
	for chain := range 6 {
		work.Go(func() {
			kind := []string{"requested_token_type", []string{urnAccess, urnJWT}[chain%2],
				"scope", "read offline_access"}
			for range 6 {
				token, first := subject, [][]string{about(subject, urnAccess), kind}
				if actor != "" {
					first = append(first, acting(actor, urnAccess))
				}
				for hop := 0; hop < 3 && token != ""; hop++ {
					if hop == 0 {
						token = ask(first...)
						continue
					}
					token = ask(about(token, urnAccess), kind)
				}
			}
		})
	}
	time.Sleep(head)
	sc.revoke(t, portal, end)
	work.Wait()
	return issued, refused
}
