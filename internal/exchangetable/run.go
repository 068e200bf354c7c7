package exchangetable

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
)

// Run holds a server to every case of the table, each a test of its own with tokens of its own.
func Run(t *testing.T, s Server) {
	table := usual()
	for _, c := range table.Cases {
		t.Run(c.Name, func(t *testing.T) {
			differs, ok := c.Differs[s.Name+" "+s.Format]
			if !ok {
				differs = c.Differs[s.Name]
			}
			if differs.Steps != nil {
				c.Steps = differs.Steps
			}
			r := &run{Server: s, T: t, world: table.World, tokens: map[string]string{}}
			for i, step := range c.Steps {
				if other, ok := differs.Expect[i+1]; ok {
					step.Expect = other
				}
				r.number = i + 1
				r.take(step)
			}
		})
	}
}

// run is one case on its way.
type run struct {
	Server
	*testing.T
	world
	tokens map[string]string // by name: those that this case has minted or got
	number int               // of the step, from one
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   map[string]json.RawMessage
}

func (a answer) text(name string) string {
	var s string
	_ = json.Unmarshal(a.body[name], &s)
	return s
}

// take makes one request and looks at everything that is to be seen of it.
func (r *run) take(s step) {
	for _, user := range s.Lock {
		r.lock(r.T, r.Issuer, user)
	}
	for _, name := range s.Revoke {
		r.Revoke(r.T, r.token(name))
	}
	for _, name := range s.Inactive {
		assert.Nil(r, r.Read(r.T, r.token(name)), r.step("%s is inactive", name))
	}
	form := r.form(s)
	before := len(r.Events())
	a := r.post(s, form)
	r.checkEvent(s, a, r.Events()[before:])
	if s.Expect.Error != "" {
		r.checkError(s, a)
		return
	}
	r.checkAnswer(s.Expect, a)
	r.checkToken(s, a, form)
}

// token returns the token of a name: one that an earlier step got, or one that is minted when it is first spoken of.
func (r *run) token(name string) string {
	if r.tokens[name] == "" {
		m, known := r.Tokens[name]
		require.True(r, known, "no token %q", name)
		if m.Lifetime == 0 {
			m.Lifetime = 3600
		}
		r.tokens[name] = r.Mint(r.T, m)
		require.NotEmpty(r, r.tokens[name], "Mint %q", name)
	}
	return r.tokens[name]
}

const typePrefix = "urn:ietf:params:oauth:token-type:"

// form is the body of a request: the names of the table replaced, and what goes without saying added.
func (r *run) form(s step) url.Values {
	form := url.Values{}
	for _, p := range s.Form {
		value := p.value
		if name, ok := strings.CutPrefix(value, "$"); ok {
			name, cut := strings.CutSuffix(name, ":cut")
			if value = r.token(name); cut {
				value = value[:len(value)-5]
			}
		} else if strings.HasSuffix(p.name, "_token_type") && value != "" && !strings.Contains(value, ":") {
			value = typePrefix + value
		}
		form.Add(p.name, value)
	}
	if s.Bare {
		return form
	}
	form.Set("grant_type", tokenexchange.GrantType)
	for _, parameter := range []string{"subject_token", "actor_token"} {
		if form.Get(parameter) != "" && !form.Has(parameter+"_type") {
			form.Set(parameter+"_type", typePrefix+"access_token")
		}
	}
	return form
}

func (r *run) client(id string) Client {
	for _, c := range r.Clients {
		if c.ID == id {
			return c
		}
	}
	require.Fail(r, "no such client", id)
	return Client{}
}

func (r *run) post(s step, form url.Values) answer {
	secret := s.Secret
	if secret == "" {
		secret = r.client(s.Client).Secret
	}
	if secret == "" {
		form.Set("client_id", s.Client)
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, r.URL, strings.NewReader(form.Encode()))
	require.NoError(r, err)
	req.URL.RawQuery = s.Query
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if secret != "" {
		req.SetBasicAuth(url.QueryEscape(s.Client), url.QueryEscape(secret))
	}
	resp, err := r.HTTP.Do(req)
	require.NoError(r, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(r, err)

	media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	assert.NoError(r, err, r.step("R11: Content-Type"))
	assert.Equal(r, "application/json", media, r.step("R11: Content-Type"))
	assert.Contains(r, resp.Header.Get("Cache-Control"), "no-store", r.step("R12"))
	assert.Equal(r, "no-cache", resp.Header.Get("Pragma"), r.step("R12"))
	a := answer{status: resp.StatusCode, header: resp.Header}
	require.NoError(r, json.Unmarshal(body, &a.body), r.step("R11: the answer is JSON"))
	for name, value := range a.body {
		assert.NotEqual(r, "null", string(value), r.step("R11: %s", name))
	}
	return a
}

// step says in a failure which step it is about.
func (r *run) step(format string, args ...any) string {
	return fmt.Sprintf("step %d: ", r.number) + fmt.Sprintf(format, args...)
}

// checkError: a code, its status, the one fixed description of that code, and nothing else (R13).
func (r *run) checkError(s step, a answer) {
	e := s.Expect
	assert.Equal(r, string(e.Error), a.text("error"), r.step("error: %s", a.text("error_description")))
	assert.Equal(r, cmp.Or(e.Status, e.Error.Status()), a.status, r.step("status"))
	for name := range a.body {
		assert.Contains(r, []string{"error", "error_description"}, name, r.step("R13: a member of the error"))
	}
	if e.OwnWords {
		return
	}
	description := a.text("error_description")
	if e.Parameter != "" {
		assert.Contains(r, description, e.Parameter, r.step("R03: the error names the parameter"))
		for _, secret := range r.secrets(a) {
			assert.NotContains(r, description, secret, r.step("I08"))
		}
	} else {
		assert.Equal(r, tokenexchange.AsError(e.Error).Description, description, r.step("R13: one description"))
	}
	if e.Error == tokenexchange.InvalidClient {
		assert.Contains(r, a.header.Get("WWW-Authenticate"), "Basic", r.step("R09"))
	}
}

// checkAnswer: the members of the response (R11).
func (r *run) checkAnswer(e expectation, a answer) {
	require.Equal(r, http.StatusOK, a.status, r.step("%s: %s", a.text("error"), a.text("error_description")))
	want := map[string]string{
		"issued_token_type": typePrefix + cmp.Or(e.IssuedTokenType, "access_token"), "token_type": cmp.Or(e.TokenType, "Bearer"), "scope": e.Scope.String(),
	}
	for name, value := range want {
		assert.Equal(r, value, a.text(name), r.step("R11: %s", name))
	}
	for name, value := range a.body {
		switch name {
		case "access_token", "issued_token_type", "token_type", "expires_in":
		case "scope":
			assert.NotEqual(r, `""`, string(value), r.step("R11: an empty scope"))
		case "id_token":
			assert.True(r, e.IDToken, r.step("D23: an id_token that nobody asked for"))
		default:
			assert.Fail(r, "R11: a member that nobody expects", r.step("%s", name))
		}
	}
	assert.Equal(r, e.IDToken, a.body["id_token"] != nil, r.step("D23: id_token"))
	var expires int64
	assert.NoError(r, json.Unmarshal(a.body["expires_in"], &expires), r.step("R11: expires_in"))
	assert.Positive(r, expires, r.step("R11: expires_in"))
	assert.GreaterOrEqual(r, expires, e.ExpiresAtLeast, r.step("D25: expires_in"))
	if e.ExpiresAtMost > 0 {
		assert.LessOrEqual(r, expires, e.ExpiresAtMost, r.step("D25: expires_in"))
	}
}

// checkToken reads what was issued, by the server's own means.
func (r *run) checkToken(s step, a answer, form url.Values) {
	e, token := s.Expect, a.text("access_token")
	r.tokens[fmt.Sprintf("step%d", r.number)] = token
	got := r.Read(r.T, token)
	require.NotNil(r, got, r.step("the issued token is good"))
	if e.IssuedTokenType != "id_token" {
		scope, _ := got["scope"].(string)
		assert.Equal(r, e.Scope.String(), scope, r.step("D21: scope"))
		assert.Equal(r, s.Client, got["client_id"], r.step("R17: client_id"))
	}
	assert.Equal(r, e.Audience, list(got["aud"]), r.step("D24: aud"))
	r.checkParties(e, got)
	lineage, _ := got["lineage"].(map[string]any)
	tenant, _ := lineage["tenant"].(string)
	assert.Equal(r, e.Tenant, tenant, r.step("D24: organisation"))
	for name, want := range e.Claims {
		r.checkClaim(name, want, got)
	}
	r.checkExpiry(got, a, form)
	if e.IDToken {
		r.tokens[fmt.Sprintf("step%d:id", r.number)] = a.text("id_token")
		id := r.Read(r.T, a.text("id_token"))
		require.NotNil(r, id, r.step("the ID token is good"))
		assert.Equal(r, []string{s.Client}, list(id["aud"]), r.step("D27: aud of the ID token"))
		r.checkParties(e, id)
		r.checkExpiry(id, a, form)
	}
}

// checkParties: the subject, the chain, and the party that may act, where one is carried (D17).
func (r *run) checkParties(e expectation, got map[string]any) {
	assert.Equal(r, r.Issuer, got["iss"], r.step("iss"))
	assert.Equal(r, e.Subject, got["sub"], r.step("sub"))
	r.checkClaim("act", e.Actor, got)
	r.checkClaim("may_act", e.Claims["may_act"], got)
}

func (r *run) checkClaim(name string, want json.RawMessage, claims map[string]any) {
	value, there := claims[name]
	if want == nil || string(want) == "null" {
		assert.False(r, there, r.step("%s is absent: %v", name, value))
		return
	}
	got, err := json.Marshal(value)
	require.NoError(r, err)
	assert.JSONEq(r, strings.ReplaceAll(string(want), "$issuer", r.Issuer), string(got), r.step("%s", name))
}

// checkExpiry: the answer says how long the token lives, and no rule of the world lets it outlive what it is made from (I04).
func (r *run) checkExpiry(got map[string]any, a answer, form url.Values) {
	exp := seconds(got["exp"])
	assert.InDelta(r, time.Now().Unix(), exp-seconds(a.body["expires_in"]), 10, r.step("R11: expires_in and exp"))
	for _, parameter := range []string{"subject_token", "actor_token"} {
		if presented := form.Get(parameter); presented != "" {
			claims := r.Read(r.T, presented)
			require.NotNil(r, claims, r.step("the %s is good still", parameter))
			assert.LessOrEqual(r, exp, seconds(claims["exp"]), r.step("I04: exp beyond the %s", parameter))
		}
	}
}

// seconds is a date of a claim, as whatever type of number it has been decoded to.
func seconds(v any) (n float64) {
	text, _ := json.Marshal(v)
	_ = json.Unmarshal(text, &n)
	return n
}

// list is an aud claim, which is a string where it is one.
func list(v any) []string {
	text, _ := json.Marshal(v)
	var one string
	if json.Unmarshal(text, &one) == nil {
		return []string{one}
	}
	var several []string
	_ = json.Unmarshal(text, &several)
	return several
}

// checkEvent: one event for every outcome (I07), which says why, and holds no secret (I08).
func (r *run) checkEvent(s step, a answer, events []tokenexchange.Event) {
	e := s.Expect
	for _, ev := range events {
		r.checkSecrets(ev, a)
	}
	if e.NotAudited {
		assert.Empty(r, events, r.step("events"))
		return
	}
	if !assert.Len(r, events, 1, r.step("I07: events")) {
		return
	}
	ev := events[0]
	assert.Equal(r, s.Client, ev.Facts.Client.ID, r.step("I07: the client in the event"))
	if e.Error == "" {
		assert.NoError(r, ev.Err, r.step("I07: granted"))
		assert.Equal(r, e.Rule, ev.Decision.Rule, r.step("I07: the rule in the event"))
		assert.NotEmpty(r, ev.TokenID, r.step("I07: the token in the event"))
		return
	}
	if !assert.Error(r, ev.Err, r.step("I07: refused")) {
		return
	}
	refusal := tokenexchange.AsError(ev.Err)
	assert.Equal(r, e.Error, refusal.Code, r.step("I07: the code in the event"))
	assert.True(r, refusal.Reason != "" || refusal.Err != nil, r.step("I07: no reason in the event"))
	found := strings.Contains(refusal.Reason, e.Reason)
	assert.True(r, found, r.step("%s in %q", e.Reason, refusal.Reason))
	if e.Rule != "" {
		assert.Equal(r, e.Rule, refusal.Rule, r.step("I07: the rule in the event"))
	}
}

// checkSecrets looks for tokens, their signatures and secrets in everything that an event can be written as.
func (r *run) checkSecrets(ev tokenexchange.Event, a answer) {
	data, err := json.Marshal(ev)
	require.NoError(r, err)
	written := fmt.Sprintf("%s %+v %v", data, ev, ev.LogValue())
	for _, secret := range r.secrets(a) {
		assert.NotContains(r, written, secret, r.step("I08"))
	}
}

// secrets are all that this case must not show: the secrets of clients, and tokens, their signatures by themselves too.
func (r *run) secrets(a answer) []string {
	var list []string
	for _, c := range r.Clients {
		list = append(list, c.Secret)
	}
	tokens := append(slices.Collect(maps.Values(r.tokens)), a.text("access_token"), a.text("id_token"))
	for _, token := range tokens {
		list = append(list, token, token[strings.LastIndexByte(token, '.')+1:])
	}
	return slices.DeleteFunc(list, func(s string) bool { return s == "" })
}
