package scenarios

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
)

// reply is a response of the server, and what it logged meanwhile.
type reply struct {
	status int
	header http.Header
	raw    string
	body   object // nil: not a JSON object
	sent   url.Values
	basic  bool // sent with Basic authentication
	logged []object
}

func objectOf(raw []byte) (o object) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if d.Decode(&o) != nil {
		return nil
	}
	return o
}

// text is a member that is a string, or "".
func (a reply) text(member string) string { s, _ := a.body[member].(string); return s }

func (a reply) token() string { return a.text("access_token") }

// scope is the granted scope in alphabetical order.
func (a reply) scope() []string { return wordsOf(a.text("scope")) }

func wordsOf(scope string) []string { return slices.Sorted(slices.Values(strings.Fields(scope))) }

func (a reply) isJSON(t *testing.T) {
	t.Helper()
	require.NotNil(t, a.body, a.raw)
	assert.Regexp(t, `^application/json(;|$)`, a.header.Get("Content-Type"))
	assert.Equal(t, "no-store", a.header.Get("Cache-Control"))
	assert.Equal(t, "no-cache", a.header.Get("Pragma"))
	for name, value := range a.body {
		assert.NotNil(t, value, "a null member: "+name)
	}
}

// granted requires a success that all clients accept, with these types, and that it is recorded.
func (a reply) granted(t *testing.T, issued, tokenType string) reply {
	t.Helper()
	require.Equal(t, http.StatusOK, a.status, "%s\nlogged: %v", a.raw, a.logged)
	a.isJSON(t)
	require.NotEmpty(t, a.token())
	assert.Equal(t, issued, a.text("issued_token_type"))
	assert.Equal(t, tokenType, a.text("token_type"))
	number, _ := a.body["expires_in"].(json.Number)
	assert.Regexp(t, regexp.MustCompile(`^[1-9][0-9]{0,8}$`), string(number))
	for _, name := range []string{"scope", "id_token", "refresh_token"} {
		if value, there := a.body[name]; there {
			assert.IsType(t, "", value, name)
			assert.NotEmpty(t, value, name)
		}
	}
	assert.NotContains(t, a.body, "error")
	event := a.event(t)
	assert.Equal(t, "granted", event["outcome"])
	return a
}

// opaque, jwt and idToken are granted for the three types that are issued.
func (a reply) opaque(t *testing.T) reply {
	t.Helper()
	a.granted(t, urnAccess, "Bearer")
	assert.NotContains(t, a.token(), ".")
	return a
}

func (a reply) jwt(t *testing.T) reply { t.Helper(); return a.granted(t, urnJWT, "Bearer") }

func (a reply) idToken(t *testing.T) reply { t.Helper(); return a.granted(t, urnID, "N_A") }

// refused requires an OAuth error that all clients accept, that repeats nothing of the request, and
// that is recorded with each of the reasons: a row such as "D21", or another part of the reason.
func (a reply) refused(t *testing.T, code tokenexchange.Code, reasons ...string) reply {
	t.Helper()
	require.Equal(t, string(code), a.text("error"), "%d %s\nlogged: %v", a.status, a.raw, a.logged)
	assert.Equal(t, code.Status(), a.status)
	a.isJSON(t)
	for name, value := range a.body {
		assert.Contains(t, []string{"error", "error_description", "error_uri"}, name)
		assert.IsType(t, "", value)
	}
	assert.Equal(t, a.status == http.StatusUnauthorized && a.basic,
		a.header.Get("WWW-Authenticate") != "", "WWW-Authenticate")
	a.notLeaked(t, a.raw)
	if code == tokenexchange.InvalidClient || code == tokenexchange.UnauthorizedClient &&
		!a.hasEvent() {
		require.NotEmpty(t, a.logged, "nothing is on record")
		return a
	}
	event := a.event(t)
	assert.Equal(t, "refused", event["outcome"])
	assert.Equal(t, string(code), event["error"])
	for _, reason := range reasons {
		assert.Contains(t, noted(event, "reason")+noted(event, "detail")+noted(event, "cause"),
			reason)
	}
	return a
}

func noted(event object, name string) string { s, _ := event[name].(string); return s + "\n" }

// inside is a member of a member, or nil.
func inside(o object, outer, inner string) any {
	within, _ := o[outer].(object)
	return within[inner]
}

// notLeaked requires that a text has no token, secret or signature of the request (I08).
func (a reply) notLeaked(t *testing.T, text string) {
	t.Helper()
	for _, name := range []string{"subject_token", "actor_token", "refresh_token", "client_secret",
		"client_assertion", "token"} {
		value := a.sent.Get(name)
		if isName := a.sent.Get(name+"_type") == urnUserID; len(value) > 12 && !isName {
			assert.NotContains(t, text, value, name)
		}
	}
}

const exchangeEvent = "token exchange"

func (a reply) hasEvent() bool {
	return slices.ContainsFunc(a.logged, func(line object) bool {
		return line["msg"] == exchangeEvent
	})
}

// event is the one audit event of the request.
func (a reply) event(t *testing.T) object {
	t.Helper()
	var events []object
	for _, line := range a.logged {
		if line["msg"] == exchangeEvent {
			events = append(events, line)
		}
	}
	require.Len(t, events, 1, "audit events: %v", a.logged)
	return events[0]
}

// auditTrail collects the lines of a log.
type auditTrail struct {
	mu    sync.Mutex
	lines []string
}

// Write is called by slog once for each line.
func (l *auditTrail) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(line))
	return len(line), nil
}

func (l *auditTrail) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines)
}
