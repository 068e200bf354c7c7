package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each refusal is a sentence that says what prevents acting and what can be done about it, and no
// token results.
func TestAct_Refused(t *testing.T) {
	for name, tt := range map[string]struct {
		operator, user, access string
		says                   []string
		// the reason in the audit log of the authorization server
		logged string
	}{
		"an administrator": {"ines", "adam", "read", []string{"You cannot act for Adam Admin",
			"Adam Admin has rights over others, by the role administrator. Your own role, " +
				"support, does not reach so far. Ask a colleague whose role does."},
			"invalid_request"},
		"another supporter": {"ines", "greta", "read",
			[]string{"You cannot act for Greta Support", "by the role worldwide support"},
			"invalid_request"},
		"another organisation": {"ines", "carol", "read", []string{"You cannot act for “carol”",
			"No user of Acme has this id. If a user of another organization has it, your " +
				"role, support, does not reach them."}, "invalid_request"},
		"nobody": {"ines", "nobody", "read", []string{"You cannot act for “nobody”",
			"No user of Acme has this id. If a user of another organization has it, your " +
				"role, support, does not reach them."}, "invalid_request"},
		"locked": {"ines", "lola", "read", []string{"The account of Lola Locked is locked",
			"No one can act for Lola Locked while it is. An administrator can change that."},
			"invalid_request"},
		"disabled": {"ines", "dora", "read",
			[]string{"The account of Dora Disabled is disabled"}, "invalid_request"},
		"oneself": {"ines", "ines", "read",
			[]string{"That is you", "You need not act for yourself."}, "invalid_request"},
		"more than the user may": {"ines", "bob", "write", []string{"Not with this access",
			"Bob Baker may not do all that you have asked for, so you cannot do it for them. " +
				"Try to look only."}, "invalid_scope"},
		"no role for it": {"nils", "alice", "read",
			[]string{"You may not act for others", "Your account has no role for it."},
			"invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			nils := `{"id": "nils", "name": "Nils Novice", "email": "nils@acme.example",
				"org": "Acme", "roles": ["member"], "password": "nils-demo-password",
				"scope": ["openid", "profile", "users:read"]},`
			st := playWorld(t,
				[]byte(strings.Replace(string(world), `"users": [`, `"users": [`+nils, 1)))
			b := st.browser(t)
			b.signIn(t, tt.operator)
			before := len(st.wire.tokens())
			p := b.act(t, tt.user, "Ticket 4711", tt.access)
			require.Equal(t, http.StatusForbidden, p.status, p.text())
			for _, sentence := range tt.says {
				require.Contains(t, p.text(), sentence)
			}
			require.Equal(t, tt.says[0]+" – Support console", p.title())
			require.Contains(t, p.body, `value="Ticket 4711"`, "nothing that was filled in is lost")
			require.NotContains(t, p.text(), "see this as")
			require.Len(t, st.wire.tokens(), before)
			require.Equal(t, st.URL+"/", b.get(t, "/app").url.String())

			require.Equal(t, tt.logged, st.exchange("Ticket 4711")["error"],
				"what was refused is audited with its reason too")
		})
	}
}

// An operator whose role reaches all organizations acts for users by their id, although the
// directory does not show them.
func TestAct_AnotherOrganization(t *testing.T) {
	st := play(t)
	b := st.browser(t)
	b.signIn(t, "greta")
	p := b.get(t, "/?q=carol")
	require.Contains(t, p.text(), "Nobody that you can see is called “carol”")
	require.Contains(t, p.body, `href="/act?user=carol"`)
	require.Contains(t, b.get(t, "/act?user=carol").text(), "Not in the directory that you can see")
	p = b.act(t, "carol", "Ticket 4711", "read")
	require.Contains(t, p.text(), "You, Greta Support , see this as carol")
	require.Contains(t, p.text(), "Hello Carol Cook")
}

// A reason is required, on one line and not too long, and the audit log keeps it unchanged.
func TestAct_Reason(t *testing.T) {
	st := play(t)
	b := st.browser(t)
	b.signIn(t, "ines")
	for reason, heading := range map[string]string{
		"":                                   "A reason is missing",
		"  \t ":                              "A reason is missing",
		strings.Repeat("a", longestReason+1): "The reason is too long",
		"Ticket 1\nlevel=ERROR msg=\"something\"": "The reason has characters that cannot be kept",
		"Ticket \u202e1": "The reason has characters that cannot be kept",
		"Ticket \xff":    "The reason has characters that cannot be kept",
	} {
		p := b.act(t, "alice", reason, "read")
		require.Equal(t, http.StatusUnprocessableEntity, p.status, "%q: %s", reason, p.text())
		require.Contains(t, p.text(), heading)
		require.Contains(t, p.body, `aria-invalid="true" aria-describedby="problem hint"`)
	}
	require.Len(t, st.wire.tokens(), 2, "the authorization server was not even asked")
	p := b.act(t, "alice", strings.Repeat("a", 16<<10), "read")
	require.Equal(t, http.StatusRequestEntityTooLarge, p.status)
	require.Contains(t, p.text(), problemForm.Heading)

	const reason = `Ticket <4711> & "Größe" 🧦`
	p = b.act(t, "alice", " "+reason+" ", "read")
	require.Contains(t, p.text(), reason)
	require.NotContains(t, p.body, "<4711>")
	require.Equal(t, "granted", st.exchange(reason)["outcome"])
	require.False(t, st.wire.hasToken(st.audit.String()))
}

// Only the requested access is given, and attempts are recorded with both people too.
func TestAct_Access(t *testing.T) {
	st := play(t)
	b := st.browser(t)
	b.signIn(t, "ines")
	p := b.act(t, "alice", "Ticket 1", "read")
	require.NotContains(t, p.body, "Cancel order")
	p = b.post(t, "/app/orders/1047/cancel")
	require.Equal(t, http.StatusForbidden, p.status)
	require.Contains(t, p.text(), "You have asked to look only Nothing was changed.")
	require.Contains(t, p.text(), "see this as Alice Archer", "the banner stays")
	require.Contains(t, b.get(t, "/app").text(),
		"ines for alice , through console POST /orders/1047/cancel refused")
	require.Equal(t, "read", st.introspect(st.last())["scope"])

	b.post(t, "/stop")
	p = b.act(t, "alice", "Ticket 1", "write")
	require.Contains(t, p.body, `aria-label="Cancel order 1047"`)
	require.NotContains(t, p.body, `aria-label="Cancel order 0988"`, "it has been delivered")
	require.Contains(t, b.post(t, "/app/orders/1047/cancel").text(),
		"You have cancelled order 1047 for Alice Archer.")
	for _, order := range []string{"1047", "0988", "none", "..%2F..%2Fprofile"} {
		p = b.post(t, "/app/orders/"+order+"/cancel")
		require.Equal(t, http.StatusConflict, p.status, order)
		require.Contains(t, p.text(), "This order cannot be cancelled")
	}
	done := st.events(st.log, "app access")
	last := done[len(done)-1]
	require.Equal(t, []any{"alice", "ines", "console", "POST"},
		[]any{last["subject"], last["actor"], last["client"], last["method"]})
}

// The app needs a user to act for, and only one at a time.
func TestAct_OneAtATime(t *testing.T) {
	st := play(t)
	b := st.browser(t)
	require.Contains(t, b.get(t, "/app").text(), "See what your customers see")
	require.Contains(t, b.act(t, "alice", "Ticket 1", "read").text(), "See what your customers see")
	require.NotContains(t, b.signIn(t, "ines").body,
		`href="/act?user=ines"`, "no one acts for themselves")
	for _, path := range []string{"/app", "/act", "/act?user=+"} {
		require.Equal(t, st.URL+"/", b.get(t, path).url.String(), path)
	}
	for _, path := range []string{"/stop", "/act", "/app/orders/1047/cancel"} {
		require.Equal(t, st.URL+"/", b.post(t, path).url.String(), path)
	}
	b.act(t, "alice", "Ticket 1", "read")
	count := len(st.wire.tokens())
	for _, p := range []shown{b.act(t, "bob", "Ticket 2", "read"), b.get(t, "/act?user=bob"),
		b.get(t, "/")} {
		require.Equal(t, st.URL+"/app", p.url.String())
		require.Contains(t, p.text(), "see this as Alice Archer")
	}
	require.Len(t, st.wire.tokens(), count)
}

// A token that does not name exactly the two people is not used, and is revoked.
func TestAct_TheTokenMustNameBoth(t *testing.T) {
	for name, change := range map[string]func(body map[string]any){
		"another subject": func(body map[string]any) { body["sub"] = "bob" },
		"another actor": func(body map[string]any) {
			body["act"] = map[string]any{"sub": "greta"}
		},
		"no actor":   func(body map[string]any) { delete(body, "act") },
		"not active": func(body map[string]any) { clear(body); body["active"] = false },
	} {
		t.Run(name, func(t *testing.T) {
			st := play(t)
			b := st.browser(t)
			b.signIn(t, "ines")
			st.wire.disturb(nil, func(r *http.Request, body map[string]any) {
				if r.URL.Path == "/introspect" && body["active"] == true {
					change(body)
				}
			})
			p := b.act(t, "alice", "Ticket 1", "read")
			require.Equal(t, http.StatusBadGateway, p.status)
			require.NotContains(t, p.text(), "see this as")
			require.Len(t, st.wire.tokens(), 3)
			require.False(t, st.active(st.last()))
		})
	}
}

// When the account or the operator's own token is ended elsewhere, acting ends here.
func TestAct_EndedElsewhere(t *testing.T) {
	st := play(t)
	b := st.browser(t)
	b.signIn(t, "ines")
	b.act(t, "alice", "Ticket 1", "read")
	st.revoke(st.last())
	p := b.get(t, "/app")
	require.Equal(t, st.URL+"/", p.url.String())
	require.Contains(t, p.text(),
		"Somebody else has ended the access to the account of Alice Archer.")

	b.act(t, "alice", "Ticket 1", "read")
	acted := st.last()
	st.revoke(st.wire.tokens()[0])
	require.False(t, st.active(acted), "it was made with the operator's token")
	require.Contains(t, b.get(t, "/app").text(), problemSignedOut.Heading)
	require.Nil(t, b.jar.cookie(cookieSession))
	require.Empty(t, st.sessions.all())
}

// If a server does not answer, or the operator may not read the directory, a page says so and
// nothing is lost.
func TestAct_NoAnswer(t *testing.T) {
	st := play(t)
	b := st.browser(t)
	b.signIn(t, "ines")
	answer := func(path string, status int) {
		st.wire.disturb(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path != path {
				return nil, nil
			}
			if status == 0 {
				return nil, errNoAnswer
			}
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody,
				Request: r}, nil
		}, nil)
	}
	for _, tt := range []struct {
		path    string
		status  int
		heading string
		want    int
	}{
		{"/api/users", 0, problemDown.Heading, http.StatusBadGateway},
		{"/api/users", 500, problemDown.Heading, http.StatusBadGateway},
		{"/api/users", 403, problemNoDirectory.Heading, http.StatusForbidden},
		{"/token", 0, problemDown.Heading, http.StatusBadGateway},
		{"/token", 503, problemDown.Heading, http.StatusBadGateway},
	} {
		answer(tt.path, tt.status)
		p := b.act(t, "alice", "Ticket 1", "read")
		require.Equal(t, tt.want, p.status, "%s %d", tt.path, tt.status)
		require.Contains(t, p.text(), tt.heading)
		require.Contains(t, p.text(), "Ines Support")
	}
	st.wire.disturb(nil, nil)
	b.act(t, "alice", "Ticket 1", "read")
	for _, status := range []int{0, 500} {
		answer("/orders", status)
		p := b.get(t, "/app")
		require.Equal(t, http.StatusBadGateway, p.status)
		require.Contains(t, p.text(), "The app does not answer")
		require.Contains(t, p.text(), "see this as Alice Archer")
	}
	st.wire.disturb(nil, nil)
	require.Contains(t, b.get(t, "/app").text(), "Hello Alice Archer")
}

// A client without permission, and a refusal without explanation, get a sentence too.
func TestAct_Unexplained(t *testing.T) {
	for code, heading := range map[string]string{
		"unauthorized_client": "This console is not allowed to do that",
		"invalid_client":      "This console is not allowed to do that",
		"invalid_request":     "The authorization server has refused",
		"invalid_target":      "The authorization server has refused",
	} {
		st := play(t)
		b := st.browser(t)
		b.signIn(t, "ines")
		st.wire.disturb(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path != "/token" {
				return nil, nil
			}
			return jsonAnswer(r, http.StatusBadRequest, `{"error": "`+code+`"}`), nil
		}, nil)
		p := b.act(t, "alice", "Ticket 1", "read")
		require.Equal(t, http.StatusForbidden, p.status)
		require.Contains(t, p.text(), heading)
	}
}

// Typed text stays text, in a page, in a link and in a path.
func TestAct_WhatIsTypedIsText(t *testing.T) {
	st := play(t)
	b := st.browser(t)
	b.signIn(t, "ines")
	for _, typed := range []string{`"><script>alert(1)</script>`, `../stop`, `a&b=c`,
		`javascript:alert(1)`, `%2e%2e/`} {
		p := b.get(t, "/?"+form("q", typed).Encode())
		require.NotContains(t, p.body, "<script>alert")
		require.Contains(t, p.text(), "“"+typed+"”")
		require.Contains(t, p.body, `href="/act?user=`)
		p = b.get(t, "/act?user="+url.QueryEscape(typed))
		require.Equal(t, http.StatusOK, p.status)
		require.NotContains(t, p.body, "<script>alert")
		require.Contains(t, p.text(), "Act for "+typed)
		p = b.act(t, typed, "Ticket 1", "read")
		require.Equal(t, http.StatusForbidden, p.status)
		require.NotContains(t, p.body, "<script>alert")
	}
}

// Text typed in place of a user id may be a secret, and is not logged.
func TestAct_WhatIsTypedIsNotLogged(t *testing.T) {
	st := play(t)
	b := st.browser(t)
	b.signIn(t, "ines")
	const password = "correct-horse-battery-staple"
	b.get(t, "/?q="+password)
	b.get(t, "/act?user="+password)
	require.Equal(t, http.StatusForbidden, b.act(t, password, "Ticket 1", "read").status)
	st.exchange("Ticket 1")
	require.NotContains(t, st.log.String(), password)
	require.NotContains(t, st.audit.String(), password)
	b.act(t, "adam", "Ticket 2", "read")
	refused := st.events(st.log, "acting refused")
	require.Len(t, refused, 2)
	require.Equal(t, []any{"", "adam"}, []any{refused[0]["user"], refused[1]["user"]})
}
