package scenarios

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/server"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

func init() {
	scenario("Z20", scenarioZ20)
	scenario("Z21", scenarioZ21)
}

// scenarioZ20: impersonators of end users or of administrators, in their own organization or in
// all.
func scenarioZ20(t *testing.T) {
	sc := play(t, quickPortal,
		// a role in one organization that lists a role in all: it reaches no further
		func(doc object) {
			doc["roles"].(object)["org-lead"] = object{"impersonates": object{
				"administrators": []string{"global-user-impersonator", "org-user-impersonator"}}}
		},
		adding("users",
			`{"id": "root", "name": "Root", "org": "acme", "roles": ["global-admin"],
				"scope": ["read"]}`,
			`{"id": "gerd", "name": "Globex Support", "org": "globex",
				"roles": ["org-user-impersonator"], "scope": ["read"]}`,
			`{"id": "otto", "name": "Globex Admin Support", "org": "globex",
				"roles": ["org-admin-impersonator"], "scope": ["read"]}`,
			`{"id": "ivan", "name": "Admin and Support", "org": "acme", "roles": ["org-admin",
				"org-user-impersonator"], "scope": ["read"]}`,
			`{"id": "iris", "name": "Support too", "org": "acme",
				"roles": ["org-user-impersonator"], "scope": ["read"]}`,
			`{"id": "lead", "name": "Lead", "org": "acme", "roles": ["org-lead"],
				"scope": ["read"]}`,
			`{"id": "dual", "name": "Half and half", "org": "acme",
				"roles": ["org-admin-impersonator", "global-user-impersonator"],
				"scope": ["read"]}`,
		))
	portal := sc.private(t, "portal", "testdata/robot.pem")
	read := []string{"scope", "read"}
	logins := map[string]server.TokenSet{}
	for _, u := range sc.world.Users {
		if u.Status.Enabled() {
			logins[u.ID] = sc.logIn(t, u.ID, "portal")
		}
	}
	// The users that each impersonator may act for. All others are out of reach.
	const here, there = "alice bob sam", "carol" // end users of acme and of globex
	for actor, reach := range map[string]string{
		// end users, own organization
		"ines": here,
		// end users, all organizations
		"greta": here + " " + there,
		// administrators too, own organization
		"oleg": here + " adam ines iris ivan",
		// administrators too, all organizations
		"gustav": here + " " + there + " adam gina root ines iris ivan gerd greta oleg otto dual",
		"gerd":   there,
		"otto":   there + " gina gerd",
		// being an administrator does not extend the reach
		"ivan": here,
		"lead": here + " ines iris", // not greta, whose reach is wider
		// two roles do not add up to a wider one
		"dual":  here + " " + there + " adam ines iris ivan",
		"alice": "", "adam": "", "root": "", "gina": "", "sam": "",
	} {
		t.Run(actor, func(t *testing.T) {
			for _, target := range sc.world.Users {
				want := slices.Contains(strings.Fields(reach), target.ID)
				ways := map[string][]string{"by name": about(target.ID, urnUserID)}
				if login, there := logins[target.ID]; there {
					ways["by token"] = about(login.AccessToken, urnAccess)
					ways["by ID token"] = about(login.IDToken, urnID)
				}
				for way, subject := range ways {
					if subject[1] == "" {
						continue // a login without openid has no ID token
					}
					a := sc.exchange(t, portal, subject,
						acting(logins[actor].AccessToken, urnAccess), read)
					what := fmt.Sprintf("%s for %s %s", actor, target.ID, way)
					if !want {
						a.refused(t, tokenexchange.InvalidRequest)
						assert.Equal(t, actor, inside(a.event(t), "actor", "id"), what)
						assert.Equal(t, target.ID, inside(a.event(t), "subject", "id"), what)
						continue
					}
					if !assert.Equal(t, 200, a.status, what) {
						continue
					}
					m := sc.active(t, portal, a.opaque(t).token())
					assert.Equal(t, target.ID, m["sub"], what)
					assert.Equal(t, actor, inside(m, "act", "sub"), what)
				}
			}
		})
	}
	t.Run("as they are now", func(t *testing.T) {
		ask := func(actor, target string) reply {
			return sc.exchange(t, portal, about(target, urnUserID),
				acting(logins[actor].AccessToken, urnAccess), read)
		}
		ask("ines", "bob").opaque(t)
		sc.changeUser("bob", func(u *world.User) { u.Roles = []string{"member", "org-admin"} })
		ask("ines", "bob").refused(t, tokenexchange.InvalidRequest, "D11")
		ask("greta", "bob").refused(t, tokenexchange.InvalidRequest, "D11")
		ask("oleg", "bob").opaque(t)
		sc.changeUser("bob", func(u *world.User) { u.Organization = "globex" })
		ask("oleg", "bob").refused(t, tokenexchange.InvalidRequest, "D11")
		ask("gustav", "bob").opaque(t)
		sc.changeUser("bob", func(u *world.User) { u.Roles = []string{"member"} })
		ask("ines", "bob").refused(t, tokenexchange.InvalidRequest, "D11")
		ask("greta", "bob").opaque(t)
	})
}

// scenarioZ21: the master switch. Off, no new actor gets into a token; exchanges without a new
// actor stay the same.
func scenarioZ21(t *testing.T) {
	for _, on := range []bool{true, false} {
		t.Run(fmt.Sprintf("allow_impersonation %t", on), func(t *testing.T) {
			sc := play(t, setting("allow_impersonation", on))
			portal, service, api := sc.basic("portal"), sc.basic("service"), sc.basic(
				"aggregates-api")
			robot := sc.private(t, "robot", "testdata/robot.pem")
			alice := sc.logIn(t, "alice", "portal")
			ines := acting(sc.logIn(t, "ines", "portal").AccessToken, urnAccess)
			customer := sc.logIn(t, "alice", "customer")
			sam := acting(sc.logIn(t, "sam", "customer").AccessToken, urnAccess)
			read := []string{"scope", "read"}

			for name, call := range map[string]func() reply{
				"delegate": func() reply {
					return sc.exchange(t, portal, about(alice.AccessToken, urnAccess), ines)
				},
				"delegate, ID token": func() reply {
					return sc.exchange(t, portal, about(alice.IDToken, urnID), ines, read)
				},
				"delegate by name": func() reply {
					return sc.exchange(t, portal, about("alice", urnUserID), ines, read)
				},
				"delegate by may_act": func() reply {
					return sc.exchange(t, service, about(customer.AccessToken, urnAccess), sam,
						read)
				},
				"delegate to an agent": func() reply {
					return sc.exchange(t, robot, about(alice.AccessToken, urnAccess),
						acting(sc.own(t, robot).token(), urnAccess))
				},
				"client-as-actor": func() reply {
					return sc.exchange(t, api, about(alice.AccessToken, urnAccess))
				},
				"client-as-actor, a JWT": func() reply {
					return sc.exchange(t, api, about(alice.JWT, urnAccess),
						[]string{"requested_token_type", urnJWT})
				},
			} {
				t.Run(name, func(t *testing.T) {
					a := call()
					if !on {
						a.refused(t, tokenexchange.InvalidRequest)
						return
					}
					assert.Equal(t, 200, a.status, a.raw)
					assert.Contains(t, a.event(t)["granted"], "chain")
				})
			}
			for name, call := range map[string]func(t *testing.T) reply{
				"narrow": func(t *testing.T) reply {
					return sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
						read).opaque(t)
				},
				"narrow, public": func(t *testing.T) reply {
					return sc.exchange(t, publicAs("mobile"),
						about(sc.logIn(t, "alice", "mobile").AccessToken, urnAccess),
						read).opaque(t)
				},
				"impersonate": func(t *testing.T) reply {
					return sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
						[]string{"scope", "openid offline_access"}).opaque(t)
				},
				"impersonate, ID": func(t *testing.T) reply {
					return sc.exchange(t, portal, about(alice.IDToken, urnID), read).opaque(t)
				},
				"impersonate, named": func(t *testing.T) reply {
					return sc.exchange(t, service, about(customer.AccessToken, urnAccess),
						read).opaque(t)
				},
			} {
				t.Run(name, func(t *testing.T) {
					a := call(t)
					assert.NotContains(t, a.event(t)["granted"], "chain")
					assert.Contains(t, []any{"narrow", "impersonate"}, a.event(t)["mode"])
					if token := a.text("refresh_token"); token != "" {
						sc.refresh(t, portal, token).opaque(t)
					}
				})
			}
		})
	}
}
