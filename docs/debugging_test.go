package docs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/auditlog"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

// TestDebugging_ShowsEveryAnswer checks that debugging.md has each code with its status and its
// description.
func TestDebugging_ShowsEveryAnswer(t *testing.T) {
	text := read(t, "docs/debugging.md")
	for code, status := range map[tx.Code]string{
		tx.InvalidRequest: "400", tx.InvalidClient: "401", tx.InvalidGrant: "400",
		tx.UnauthorizedClient: "400", tx.UnsupportedGrantType: "400", tx.InvalidScope: "400",
		tx.InvalidTarget: "400", tx.InvalidAuthorizationDetails: "400", tx.ServerError: "500",
		tx.TemporarilyUnavailable: "503",
	} {
		row := "| `" + string(code) + "` | " + status + " | " + tx.AsError(code).Description + " |"
		requireText(t, text, row, "an answer is not shown")
	}
}

// TestDebugging_ShowsWhatIsLogged runs the examples of debugging.md, and checks that the page shows
// the line that is logged, and explains each field of it.
func TestDebugging_ShowsWhatIsLogged(t *testing.T) {
	text := read(t, "docs/debugging.md")
	_, fields, _ := strings.Cut(text, "## What the operator sees")
	fields, _, found := strings.Cut(fields, "## From the line to the rule")
	require.True(t, found)
	block := regexp.MustCompile("(?s)<!-- example: (\\w+) -->\n```json\n(.*?)```")
	shown := map[string]string{}
	for _, m := range block.FindAllStringSubmatch(text, -1) {
		shown[m[1]] = m[2]
	}
	require.Len(t, shown, len(refusals)+1)
	for name, example := range refusals {
		line := logLine(t, example)
		require.JSONEq(t, line, shown[name], "the example %q logs\n%s", name, line)
		requireFields(t, fields, line)
	}
	granted := logLine(t, request{})
	id := regexp.MustCompile(`("expires":"2027-01-15T08:05:00Z","token_id":")[^"]*`)
	granted = id.ReplaceAllString(granted, "${1}n1")
	require.JSONEq(t, granted, shown["granted"], "the example \"granted\" logs\n%s", granted)
	requireFields(t, fields, granted)
}

// requireFields checks that the table of fields has the name of each member of the line.
func requireFields(t *testing.T, table, line string) {
	t.Helper()
	var members map[string]any
	require.NoError(t, json.Unmarshal([]byte(line), &members))
	var check func(prefix string, members map[string]any)
	check = func(prefix string, members map[string]any) {
		for name, value := range members {
			if inner, ok := value.(map[string]any); ok {
				check(name+".", inner)
				continue
			}
			requireText(t, table, "`"+prefix+name+"`", "the field is not explained")
		}
	}
	check("", members)
}

// request is one request of debugging.md. Bob acts for alice at the help desk, unless a field is
// set.
type request struct {
	client, subject, audience string
	noActor                   bool
	down                      bool // the directory fails
}

var refusals = map[string]request{
	"target":     {client: "webapp", noActor: true, audience: "https://payroll.example"},
	"client":     {client: "orders"},
	"may_act":    {subject: "erin"},
	"locked":     {subject: "mallory"},
	"authorizer": {subject: "dave"},
	"failed":     {down: true},
}

const debuggedPolicy = `{"rules": [{
	"name": "support", "clients": ["helpdesk"],
	"delegate": {
		"actors": [{"kind": "user", "id": "*"}],
		"actor_types": ["urn:ietf:params:oauth:token-type:access_token"]
	},
	"subjects": [{"kind": "user", "id": "*"}],
	"subject_types": ["urn:ietf:params:oauth:token-type:access_token"],
	"types": ["urn:ietf:params:oauth:token-type:access_token"],
	"targets": ["https://orders.example"], "scope": ["orders:read"], "lifetime": "5m"
}, {
	"name": "narrow", "clients": ["webapp"], "narrow": {},
	"subjects": [{"kind": "user", "id": "*"}],
	"subject_types": ["urn:ietf:params:oauth:token-type:access_token"],
	"types": ["urn:ietf:params:oauth:token-type:access_token"],
	"targets": ["https://orders.example"], "scope": ["orders:read"], "lifetime": "5m"
}]}`

// logLine returns what an auditlog.Sink writes about a request.
func logLine(t *testing.T, r request) string {
	t.Helper()
	const issuer = "https://as.example"
	now := time.Date(2027, 1, 15, 8, 0, 0, 0, time.UTC)
	policy, err := tx.ParsePolicy([]byte(debuggedPolicy))
	require.NoError(t, err)
	user := func(id string) tx.Identity {
		return tx.Identity{Issuer: issuer, Kind: tx.KindUser, ID: id}
	}
	people := tokenexchangetest.NewDirectory()
	for _, id := range []string{"alice", "bob", "dave", "erin", "mallory"} {
		people.Add(tx.Subject{Identity: user(id)})
	}
	people.Disable(user("mallory"))
	if r.down {
		people.Fail(errors.New("users: the database is down"))
	}
	var issued tokenexchangetest.Issuer
	logIn := func(id, client string) string {
		tok := tx.Token{Kind: tx.KindUser, ID: "login-of-" + id, Issuer: issuer, Subject: id,
			ClientID: client, Audience: []string{"helpdesk", "https://orders.example"},
			Scope: tx.Scope{"orders:read"}, Issued: now, Expires: now.Add(time.Hour)}
		if id == "erin" {
			tok.MayAct = &tx.Actor{Subject: "carol"}
		}
		return issued.Put(tok)
	}
	var log bytes.Buffer
	x := tx.Exchanger{Issuer: issuer, Resolver: people, Decide: policy.Decide, TokenIssuer: &issued,
		Verify: tx.Verifiers{tx.TypeAccessToken: issued.Verify},
		Authorizer: &tokenexchangetest.Authorizer{Pairs: []tokenexchangetest.Pair{
			{Actor: user("bob"), Subject: user("alice")},
			{Actor: user("bob"), Subject: user("erin")}}},
		Audit: auditlog.Sink{Handler: slog.NewJSONHandler(&log, nil)},
		Now:   func() time.Time { return now }}
	subject, client := "alice", "helpdesk"
	if r.subject != "" {
		subject = r.subject
	}
	if r.client != "" {
		client = r.client
	}
	form := url.Values{"grant_type": {tx.GrantType}, "scope": {"orders:read"},
		"subject_token":      {logIn(subject, "webapp")},
		"subject_token_type": {string(tx.TypeAccessToken)},
		"audience":           {"https://orders.example"}}
	if !r.noActor {
		form.Set("actor_token", logIn("bob", "helpdesk"))
		form.Set("actor_token_type", string(tx.TypeAccessToken))
	}
	if r.audience != "" {
		form.Set("audience", r.audience)
	}
	registered := tx.Client{ID: client, Scope: tx.Scope{"orders:read"}}
	_, _ = x.Exchange(context.Background(), registered, form)
	require.Equal(t, 1, strings.Count(log.String(), "\n"))
	return strings.TrimSpace(log.String())
}
