package fositeexchange_test

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
)

// refused checks that the response has the code and its fixed description, and that the event has
// the reason and no token.
func (h *host) refused(t testing.TB, r reply, code tokenexchange.Code, reason string) {
	t.Helper()
	require.Equal(t, string(code), r.error(), r.text)
	require.Equal(t, code.Status(), r.status)
	require.Len(t, r.body, 2, "only code and description")
	require.Equal(t, "no-store", r.header.Get("Cache-Control"), "R12")
	require.ErrorIs(t, h.last(t).Err, code, "I07")
	require.Contains(t, h.last(t).Err.Error(), reason, "I07")
	require.Empty(t, h.last(t).TokenID)
}

func (h *host) granted(t testing.TB, r reply) map[string]any {
	t.Helper()
	require.Equal(t, http.StatusOK, r.status, r.text)
	require.NoError(t, h.last(t).Err)
	info := h.active(t, r.token())
	require.NotNil(t, info, "the issued token is active")
	require.Equal(t, h.last(t).TokenID, info["jti"])
	return info
}

var alice = login{user: "alice", client: "webapp", scope: []string{"orders:read", "orders:write"},
	audience: []string{"https://orders.example", "https://billing.example"}}

// The subject token and the actor token of a delegation by the help desk.
var (
	aliceAtHelpdesk = login{user: "alice", client: "webapp",
		scope: []string{"orders:read", "orders:write"}, audience: []string{"helpdesk"}}
	bob = login{user: "bob", client: "helpdesk", scope: []string{"orders:read"},
		audience: []string{"helpdesk"}}
)

// TestR04_FormsThatFositeChanges checks that a parameter which fosite drops, splits or shortens to
// one value cannot widen a request.
func TestR04_FormsThatFositeChanges(t *testing.T) {
	h := newHost(t, opaque)
	token := h.logIn(t, alice)
	body := form("subject_token", token).Encode()
	send := func(more string) reply {
		return h.send(t, h.request(t, "/token", "webapp", body+more))
	}
	require.Equal(t, "orders:read orders:write",
		h.granted(t,
			send("&scope=&audience=&resource=&actor_token=&actor_token_type=&code=x"))["scope"])
	for _, name := range []string{"grant_type", "subject_token", "subject_token_type",
		"actor_token", "actor_token_type", "requested_token_type", "scope", "flavour"} {
		for _, more := range []string{"=&%s=", "=x&%s=", "=&%s=x", "=x&%s=x"} {
			h.refused(t, send("&"+name+strings.ReplaceAll(more, "%s", name)),
				tokenexchange.InvalidRequest, "repeated")
		}
	}
	h.refused(t, send("&audience=https://orders.example+https://billing.example"),
		tokenexchange.InvalidTarget, "target_not_allowed")
	h.refused(t, send("&scope=orders:read++orders:write"), tokenexchange.InvalidScope,
		"scope is malformed")
	h.refused(t, send("&grant_type=client_credentials"), tokenexchange.InvalidRequest,
		"grant_type is repeated")

	// net/http drops what it cannot parse, and fosite ignores its error.
	before := len(h.audit.Events())
	for _, malformed := range []string{"&scope=%zz", "&scope=%", "&%zz=1", "&scope=orders:read;x"} {
		got := send(malformed)
		require.Equal(t, http.StatusBadRequest, got.status, malformed)
		require.Equal(t, "invalid_request", got.error(), malformed)
	}
	require.Len(t, h.audit.Events(), before, "fosite refuses an empty form itself")
}

// TestR01_OnlyAForm checks that bodies of other types are refused. Fosite accepts multipart bodies
// too.
func TestR01_OnlyAForm(t *testing.T) {
	h := newHost(t, opaque)
	f := form("subject_token", h.logIn(t, alice))
	var parts bytes.Buffer
	w := multipart.NewWriter(&parts)
	for name, values := range f {
		require.NoError(t, w.WriteField(name, values[0]))
	}
	require.NoError(t, w.Close())
	r := h.request(t, "/token", "webapp", parts.String())
	r.Header.Set("Content-Type", w.FormDataContentType())
	h.refused(t, h.send(t, r), tokenexchange.InvalidRequest, "the Content-Type is not")

	r = h.request(t, "/token", "webapp", f.Encode())
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=latin1")
	h.refused(t, h.send(t, r), tokenexchange.InvalidRequest, "the Content-Type is not")

	for _, name := range []string{"grant_type", "subject_token", "audience", "resource", "scope",
		"client_id", "client_secret", "client_assertion"} {
		r = h.request(t, "/token", "webapp", f.Encode())
		r.URL.RawQuery = name + "=x"
		h.refused(t, h.send(t, r), tokenexchange.InvalidRequest, "the query contains "+name)
	}
	r = h.request(t, "/token", "webapp", "")
	r.URL.RawQuery = f.Encode()
	require.Equal(t, "invalid_request", h.send(t, r).error())

	r = h.request(t, "/token", "webapp", f.Encode()+"&client_secret=x")
	h.refused(t, h.send(t, r), tokenexchange.InvalidRequest, "authenticated in two ways")
	r = h.request(t, "/token", "webapp", f.Encode())
	r.URL.RawQuery = "tenant=7"
	h.granted(t, h.send(t, r))

	t.Run("R10", func(t *testing.T) {
		long := h.request(t, "/token", "webapp",
			f.Encode()+"&flavour="+strings.Repeat("x", 256<<10))
		require.Equal(t, "invalid_request", h.send(t, long).error())
		targets := slicesOf("audience", "https://orders.example", 17)
		h.refused(t,
			h.ask(t, "webapp",
				append([]string{"subject_token", f.Get("subject_token")}, targets...)...),
			tokenexchange.InvalidTarget, "too_many_targets")
	})
}

func slicesOf(name, value string, n int) (pairs []string) {
	for range n {
		pairs = append(pairs, name, value)
	}
	return pairs
}

// TestR01_WithoutReadForm checks that every exchange fails without ReadForm.
func TestR01_WithoutReadForm(t *testing.T) {
	h := newHost(t, opaque, func(h *host) { h.unread = true })
	got := h.ask(t, "webapp", "subject_token", h.logIn(t, alice))
	require.Equal(t, http.StatusInternalServerError, got.status)
	require.Equal(t, "server_error", got.error())
	require.NotContains(t, got.text, "ReadForm")
	require.Len(t, h.store.AccessTokens, 1, "nothing was issued")
}

// TestR01_ReadFormLeavesOtherGrantsAlone checks that ReadForm does not change other grants.
func TestR01_ReadFormLeavesOtherGrantsAlone(t *testing.T) {
	h := newHost(t, opaque)
	got := h.post(t, "/token", "backend",
		url.Values{"grant_type": {"client_credentials"}, "scope": {"orders:read"}})
	require.Equal(t, http.StatusOK, got.status, got.text)
	require.Equal(t, "orders:read", h.active(t, got.token())["scope"])

	var parts bytes.Buffer
	w := multipart.NewWriter(&parts)
	require.NoError(t, w.WriteField("grant_type", "client_credentials"))
	require.NoError(t, w.Close())
	r := h.request(t, "/token", "backend", parts.String())
	r.Header.Set("Content-Type", w.FormDataContentType())
	r.URL.RawQuery = "scope=orders:read"
	require.Equal(t, http.StatusOK, h.send(t, r).status)
	require.Empty(t, h.audit.Events())
}

// TestR09_RefusalsOfFosite checks the refusals of fosite itself that README.md describes:
// they have other codes and no WWW-Authenticate, and are not audited.
func TestR09_RefusalsOfFosite(t *testing.T) {
	h := newHost(t, opaque)
	f := form("subject_token", h.logIn(t, alice))
	r := h.request(t, "/token", "webapp", f.Encode())
	r.Method = http.MethodPut
	got := h.send(t, r)
	require.Equal(t, http.StatusBadRequest, got.status, "R01: net/http has 405")
	require.Equal(t, "invalid_request", got.error())

	r = h.request(t, "/token", "", f.Encode())
	got = h.send(t, r)
	require.Equal(t, "invalid_request", got.error(), "no client: net/http has 401")
	r.SetBasicAuth("webapp", "wrong")
	got = h.post(t, "/token", "", f)
	require.Equal(t, "invalid_request", got.error())
	r = h.request(t, "/token", "", f.Encode())
	r.SetBasicAuth("webapp", "wrong")
	got = h.send(t, r)
	require.Equal(t, http.StatusUnauthorized, got.status)
	require.Equal(t, "invalid_client", got.error())
	require.Empty(t, got.header.Values("WWW-Authenticate"))

	r = h.request(t, "/token", "", f.Encode())
	r.SetBasicAuth("webapp", "wrong")
	r.URL.RawQuery = "scope=x"
	require.Equal(t, "invalid_client", h.send(t, r).error(), "D03: net/http checks the query first")
	require.Empty(t, h.audit.Events())
}
