package securitytest

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/world"
)

type claims = world.Claims

// logoutEvent is the event of an OpenID Connect logout token.
const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// places returns the ways to present a token: alone, with a good actor token, and as the actor
// token beside a good subject token.
func places(w *world.World, token string, declared tx.TokenType) map[string]func() world.Answer {
	return map[string]func() world.Answer{
		"alone": func() world.Answer {
			return w.Post("shop", world.Form(token, declared))
		},
		"as subject": func() world.Answer {
			return w.Post("shop", w.ByAdmin(world.Form(token, declared)))
		},
		"as actor": func() world.Answer {
			f := w.AccessForm(claims{"sub": "bob"})
			return w.Post("shop", world.WithActor(f, token, declared))
		},
	}
}

// refusedEverywhere requires that a token is refused in every place. The answer is the same
// whatever is wrong with the token (R13), and the event does not hold the token (I08).
func refusedEverywhere(t *testing.T, w *world.World, token string, declared tx.TokenType) {
	t.Helper()
	for place, present := range places(w, token, declared) {
		a := present().Refused(t, tx.InvalidRequest)
		// A parameter that is not text, or is too long, is named.
		if !strings.HasPrefix(a.JSON["error_description"].(string), "The parameter ") {
			require.Equal(t, "The request is malformed, or a token in it is not acceptable.",
				a.JSON["error_description"], place)
		}
		require.Error(t, w.LastEvent().Err, place)
		require.False(t, strings.Contains(w.LastEvent().Err.Error(), token), "I08 %s", place)
	}
}

// signTyped signs a payload as Own, with that typ in the header. An empty typ is left out.
func signTyped(w *world.World, typ string, payload []byte) string {
	header := `{"alg":"ES256","kid":"own-1"}`
	if typ != "" {
		header = fmt.Sprintf(`{"alg":"ES256","kid":"own-1","typ":%q}`, typ)
	}
	return world.Sign(w, w.Key, header, payload)
}

// long mints a good token of that many bytes.
func long(w *world.World, size int) string {
	body := string(w.AccessClaims(claims{"pad": ""}))
	for spare := 0; ; spare++ { // base64 cannot have every length, so the header varies as well
		head := `{"alg":"ES256","kid":"own-1","typ":"at+jwt","x":"` +
			strings.Repeat("x", spare) + `"}`
		room := size - len(world.Base64(head)) - 2 - base64.RawURLEncoding.EncodedLen(64)
		pad := strings.Repeat("x", room*3/4-len(body))
		filled := strings.Replace(body, `"pad":""`, `"pad":"`+pad+`"`, 1)
		if len(world.Base64(filled)) == room {
			return world.Sign(w, w.Key, head, []byte(filled))
		}
	}
}
