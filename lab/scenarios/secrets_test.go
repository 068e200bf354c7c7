package scenarios

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
	"github.com/go-tokenexchange/tokenexchange/grants"
)

// hashOf returns a hash of the given cost.
func hashOf(t *testing.T, secret string, cost int) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(secret), cost)
	require.NoError(t, err)
	return string(hash)
}

// work counts the rounds of comparisons: 2^cost for each.
type work struct{ atomic.Int64 }

// measure counts the work of all comparisons.
func (w *work) measure(h *world.Hashes) {
	compare := h.Compare
	h.Compare = func(hash, secret []byte) error {
		cost, err := bcrypt.Cost(hash)
		if err != nil {
			return err
		}
		w.Add(1 << cost)
		return compare(hash, secret)
	}
}

// taken returns the work since the last call.
func (w *work) taken() int64 { return w.Swap(0) }

// Checking a secret is the same work for every client at every endpoint: whether the secret is
// right or wrong, and whether the client exists, has a secret and is enabled. The same holds for
// users.
func TestSecrets_SameWork(t *testing.T) {
	w := demo(t)
	const dear, dearer = 5, 6 // costs; the other clients and users have bcrypt.MinCost
	for id, cost := range map[string]int{"service": dear, "settings-api": dearer} {
		c := clientOf(w, id)
		c.Secret, c.SecretHash = "", hashOf(t, c.Secret, cost)
	}
	for i := range w.Users {
		switch u := &w.Users[i]; u.ID {
		case "alice":
			u.Password, u.PasswordHash = "", hashOf(t, "alice-demo-password", dear)
		case "bob":
			u.Password, u.PasswordHash = "", hashOf(t, "bob-demo-password", dearer)
		case "carol":
			u.Password = ""
		}
	}
	r := start(t, w)
	var done work
	done.measure(&r.Directory.Secrets)
	done.measure(&r.Directory.Passwords)

	endpoints := map[string]url.Values{
		pathToken + " code":      form("grant_type", grantCode, "code", "x"),
		pathToken + " refresh":   form("grant_type", grantRefresh, "refresh_token", "rt_x"),
		pathToken + " own":       form("grant_type", grantClient),
		pathToken + " assertion": form("grant_type", grants.GrantJWTBearer, "assertion", "x"),
		pathToken + " exchange": form("grant_type", tokenexchange.GrantType,
			"subject_token", "x", "subject_token_type", urnAccess),
		pathToken + " unknown": form("grant_type", "x"),
		pathIntrospect:         form("token", "x"),
		pathRevoke:             form("token", "x"),
	}
	clients := map[string]string{ // and a secret
		"portal":       "portal-demo-secret",
		"service":      "service-demo-secret",
		"settings-api": "settings-demo-secret",
		"retired":      "retired-demo-secret", // disabled
		"robot":        "x",                   // has a key and no secret
		"mobile":       "x",                   // public
		"unknown":      "x",
		"":             "x",
	}
	for endpoint, fields := range endpoints {
		path, _, _ := strings.Cut(endpoint, " ")
		for id, right := range clients {
			for secret, method := range map[string]string{right: secretBasic, "wrong": secretPost,
				strings.Repeat("w", 2*longestSecret): secretBasic} {
				req, err := http.NewRequest(http.MethodPost, r.url+path, nil)
				require.NoError(t, err)
				send := maps.Clone(fields)
				if method == secretBasic {
					req.SetBasicAuth(id, secret)
				} else {
					send.Set("client_id", id)
					send.Set("client_secret", secret)
				}
				a := r.sendForm(req, send)
				require.EqualValues(t, 1<<dearer, done.taken(), "%s as %q with %q by %s: %v",
					endpoint, id, secret, method, a.body)
			}
		}
	}

	sc := r.scene()
	users := []string{"ines", "alice", "bob", "carol", "lola", "dora", "unknown", ""}
	for _, u := range users {
		right := u + "-demo-password"
		for _, password := range []string{right, "wrong", strings.Repeat("w", 2*longestSecret)} {
			b := sc.browser(t)
			p := b.enterAs(t, b.get(t, newPKCE().ask()), u, password)
			require.EqualValues(t, 1<<dearer, done.taken(), "%q with %q: %d", u, password, p.status)
			want := http.StatusForbidden
			if password == right && slices.Contains(users[:3], u) {
				want = http.StatusSeeOther
			}
			require.Equal(t, want, p.status, "%q with %q", u, password)
		}
	}
}

// scene is the server for tests with a browser.
func (r *running) scene() *scene {
	return &scene{url: r.url, server: r.Server, world: r.w, http: http.DefaultClient,
		audit: &auditTrail{}}
}

// sendForm sends a form with the header of a request.
func (r *running) sendForm(req *http.Request, f url.Values) answer {
	r.t.Helper()
	filled, err := http.NewRequest(req.Method, req.URL.String(), strings.NewReader(f.Encode()))
	require.NoError(r.t, err)
	filled.Header = req.Header
	filled.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r.do(filled)
}
