package scenarios

import (
	"testing"

	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

// Introspection shows at once that the user, or the actor, has been locked.
func TestIntrospectionOfTheLocked(t *testing.T) {
	for _, locked := range []string{"adam", "gustav"} {
		for _, kind := range []string{urnAccess, urnJWT} {
			t.Run(locked+" "+kind, func(t *testing.T) {
				sc := play(t)
				portal := sc.basic("portal")
				logins := map[string]string{"adam": sc.logIn(t, "adam", "portal").AccessToken,
					"gustav": sc.logIn(t, "gustav", "portal").AccessToken}
				token := sc.exchange(t, portal, about(logins["adam"], urnAccess),
					acting(logins["gustav"], urnAccess),
					[]string{"scope", "openid users:read", "requested_token_type", kind},
				).granted(t, kind, "Bearer").token()
				for _, good := range []string{token, logins["adam"], logins["gustav"]} {
					sc.active(t, portal, good)
				}
				sc.changeUser(locked, func(u *world.User) { u.Status = "locked" })
				sc.inactive(t, portal, token)
				sc.inactive(t, portal, logins[locked])
				delete(logins, locked)
				for _, other := range logins {
					sc.active(t, portal, other)
				}
			})
		}
	}
}
