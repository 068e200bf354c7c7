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

// Run runs every case of the table against a server, each as a subtest with new tokens.
func Run(t *testing.T, s Server) {
	table := builtIn()
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
				r.do(step)
			}
		})
	}
}

// run is the state of one case.
type run struct {
	Server
	*testing.T
	world
	tokens map[string]string // the tokens of this case so far, by name
	number int               // number of the step, from 1
}

// response is the response of the token endpoint.
type response struct {
	status int
	header http.Header
	body   map[string]json.RawMessage
}

// text returns a string parameter; "" if it is absent or not a string.
func (resp response) text(name string) string {
	var s string
	_ = json.Unmarshal(resp.body[name], &s)
	return s
}

// do makes one request and checks the response, the audit event and the issued token.
func (r *run) do(s step) {
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
	resp := r.post(s, form)
	r.checkEvent(s, resp, r.Events()[before:])
	if s.Expect.Error != "" {
		r.checkError(s, resp)
		return
	}
	r.checkResponse(s.Expect, resp)
	r.checkToken(s, resp, form)
}

// token returns the token with the name: a token of an earlier step, or a token of the world, which
// is minted when it is first used.
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

// form returns the form of a step, with the abbreviations of the table expanded.
func (r *run) form(s step) url.Values {
	form := url.Values{}
	for _, p := range s.Form {
		value := p.value
		if name, ok := strings.CutPrefix(value, "$"); ok {
			name, cut := strings.CutSuffix(name, ":cut")
			if value = r.token(name); cut {
				value = value[:len(value)-5]
			}
		} else if strings.HasSuffix(p.name, "_token_type") && value != "" &&
			!strings.Contains(value, ":") {
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

// post sends the form and checks what holds for every response: the headers, and that the body is
// JSON without null.
func (r *run) post(s step, form url.Values) response {
	secret := s.Secret
	if secret == "" {
		secret = r.client(s.Client).Secret
	}
	if secret == "" {
		form.Set("client_id", s.Client)
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, r.URL,
		strings.NewReader(form.Encode()))
	require.NoError(r, err)
	req.URL.RawQuery = s.Query
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if secret != "" {
		req.SetBasicAuth(url.QueryEscape(s.Client), url.QueryEscape(secret))
	}
	answer, err := r.HTTP.Do(req)
	require.NoError(r, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(r, err)

	media, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	assert.NoError(r, err, r.step("R11: Content-Type"))
	assert.Equal(r, "application/json", media, r.step("R11: Content-Type"))
	assert.Contains(r, answer.Header.Get("Cache-Control"), "no-store", r.step("R12"))
	assert.Equal(r, "no-cache", answer.Header.Get("Pragma"), r.step("R12"))
	resp := response{status: answer.StatusCode, header: answer.Header}
	require.NoError(r, json.Unmarshal(body, &resp.body), r.step("R11: the response is JSON"))
	for name, value := range resp.body {
		assert.NotEqual(r, "null", string(value), r.step("R11: %s", name))
	}
	return resp
}

// step prefixes a failure message with the number of the step.
func (r *run) step(format string, args ...any) string {
	return fmt.Sprintf("step %d: ", r.number) + fmt.Sprintf(format, args...)
}

// checkError expects the code with its status and its fixed description, and no other parameter
// (R13).
func (r *run) checkError(s step, resp response) {
	e, description := s.Expect, resp.text("error_description")
	assert.Equal(r, string(e.Error), resp.text("error"), r.step("error: %s", description))
	assert.Equal(r, cmp.Or(e.Status, e.Error.Status()), resp.status, r.step("status"))
	for name := range resp.body {
		assert.Contains(r, []string{"error", "error_description"}, name,
			r.step("R13: a parameter of the error"))
	}
	if e.OwnWords {
		return
	}
	if e.Parameter != "" {
		assert.Contains(r, description, e.Parameter, r.step("R03: the error names the parameter"))
		for _, secret := range r.secrets(resp) {
			assert.NotContains(r, description, secret, r.step("I08"))
		}
	} else {
		assert.Equal(r, tokenexchange.AsError(e.Error).Description, description,
			r.step("R13: the description of the code"))
	}
	if e.Error == tokenexchange.InvalidClient {
		assert.Contains(r, resp.header.Get("WWW-Authenticate"), "Basic", r.step("R09"))
	}
}

// checkResponse checks the parameters of a successful response (R11).
func (r *run) checkResponse(e expectation, resp response) {
	require.Equal(r, http.StatusOK, resp.status,
		r.step("%s: %s", resp.text("error"), resp.text("error_description")))
	want := map[string]string{
		"issued_token_type": typePrefix + cmp.Or(e.IssuedTokenType, "access_token"),
		"token_type":        cmp.Or(e.TokenType, "Bearer"),
		"scope":             e.Scope.String(),
	}
	for name, value := range want {
		assert.Equal(r, value, resp.text(name), r.step("R11: %s", name))
	}
	for name, value := range resp.body {
		switch name {
		case "access_token", "issued_token_type", "token_type", "expires_in":
		case "scope":
			assert.NotEqual(r, `""`, string(value), r.step("R11: an empty scope"))
		case "id_token":
			assert.True(r, e.IDToken, r.step("D23: an unexpected id_token"))
		default:
			assert.Fail(r, "R11: an unexpected parameter", r.step("%s", name))
		}
	}
	assert.Equal(r, e.IDToken, resp.body["id_token"] != nil, r.step("D23: id_token"))
	var expires int64
	assert.NoError(r, json.Unmarshal(resp.body["expires_in"], &expires), r.step("R11: expires_in"))
	assert.Positive(r, expires, r.step("R11: expires_in"))
	assert.GreaterOrEqual(r, expires, e.ExpiresAtLeast, r.step("D25: expires_in"))
	if e.ExpiresAtMost > 0 {
		assert.LessOrEqual(r, expires, e.ExpiresAtMost, r.step("D25: expires_in"))
	}
}

// checkToken checks the claims of the issued tokens, as the server reads them.
func (r *run) checkToken(s step, resp response, form url.Values) {
	e, token := s.Expect, resp.text("access_token")
	r.tokens[fmt.Sprintf("step%d", r.number)] = token
	got := r.Read(r.T, token)
	require.NotNil(r, got, r.step("the issued token is valid"))
	if e.IssuedTokenType != "id_token" {
		scope, _ := got["scope"].(string)
		assert.Equal(r, e.Scope.String(), scope, r.step("D21: scope"))
		assert.Equal(r, s.Client, got["client_id"], r.step("R17: client_id"))
	}
	assert.Equal(r, e.Audience, audience(got["aud"]), r.step("D24: aud"))
	r.checkParties(e, got)
	lineage, _ := got["lineage"].(map[string]any)
	tenant, _ := lineage["tenant"].(string)
	assert.Equal(r, e.Tenant, tenant, r.step("D24: organisation"))
	for name, want := range e.Claims {
		r.checkClaim(name, want, got)
	}
	r.checkExpiry(got, resp, form)
	if e.IDToken {
		r.tokens[fmt.Sprintf("step%d:id", r.number)] = resp.text("id_token")
		id := r.Read(r.T, resp.text("id_token"))
		require.NotNil(r, id, r.step("the ID token is valid"))
		assert.Equal(r, []string{s.Client}, audience(id["aud"]), r.step("D27: aud of the ID token"))
		r.checkParties(e, id)
		r.checkExpiry(id, resp, form)
	}
}

// checkParties checks iss, sub, act and may_act (D17).
func (r *run) checkParties(e expectation, got map[string]any) {
	assert.Equal(r, r.Issuer, got["iss"], r.step("iss"))
	assert.Equal(r, e.Subject, got["sub"], r.step("sub"))
	r.checkClaim("act", e.Actor, got)
	r.checkClaim("may_act", e.Claims["may_act"], got)
}

func (r *run) checkClaim(name string, want json.RawMessage, claims map[string]any) {
	value, present := claims[name]
	if want == nil || string(want) == "null" {
		assert.False(r, present, r.step("%s must be absent: %v", name, value))
		return
	}
	got, err := json.Marshal(value)
	require.NoError(r, err)
	assert.JSONEq(r, strings.ReplaceAll(string(want), "$issuer", r.Issuer), string(got),
		r.step("%s", name))
}

// checkExpiry checks that exp matches expires_in, and that the token does not outlive a presented
// token, which no rule of the world allows (I04).
func (r *run) checkExpiry(got map[string]any, resp response, form url.Values) {
	exp := seconds(got["exp"])
	assert.InDelta(r, time.Now().Unix(), exp-seconds(resp.body["expires_in"]), 10,
		r.step("R11: expires_in and exp"))
	for _, parameter := range []string{"subject_token", "actor_token"} {
		if presented := form.Get(parameter); presented != "" {
			claims := r.Read(r.T, presented)
			require.NotNil(r, claims, r.step("the %s is still valid", parameter))
			assert.LessOrEqual(r, exp, seconds(claims["exp"]),
				r.step("I04: exp is after that of the %s", parameter))
		}
	}
}

// seconds converts a NumericDate of any numeric type.
func seconds(v any) (n float64) {
	text, _ := json.Marshal(v)
	_ = json.Unmarshal(text, &n)
	return n
}

// audience converts an aud claim, which is a string or an array of strings.
func audience(v any) []string {
	text, _ := json.Marshal(v)
	var one string
	if json.Unmarshal(text, &one) == nil {
		return []string{one}
	}
	var list []string
	_ = json.Unmarshal(text, &list)
	return list
}

// checkEvent expects one audit event (I07) that states the result and contains no secret (I08).
func (r *run) checkEvent(s step, resp response, events []tokenexchange.Event) {
	e := s.Expect
	for _, ev := range events {
		r.checkSecrets(ev, resp)
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
	hasReason := refusal.Reason != "" || refusal.Err != nil
	assert.True(r, hasReason, r.step("I07: the event has a reason"))
	assert.Contains(r, refusal.Error(), e.Reason, r.step("I07: the reason in the event"))
	if e.Rule != "" {
		assert.Equal(r, e.Rule, refusal.Rule, r.step("I07: the rule in the event"))
	}
}

// checkSecrets checks that no encoding of an event contains a token, a signature or a secret.
func (r *run) checkSecrets(ev tokenexchange.Event, resp response) {
	data, err := json.Marshal(ev)
	require.NoError(r, err)
	text := fmt.Sprintf("%s %+v %v", data, ev, ev.LogValue())
	for _, secret := range r.secrets(resp) {
		assert.NotContains(r, text, secret, r.step("I08"))
	}
}

// secrets returns the texts that must not be shown: the secrets of the clients, and the tokens of
// this case and their signatures.
func (r *run) secrets(resp response) []string {
	var list []string
	for _, c := range r.Clients {
		list = append(list, c.Secret)
	}
	tokens := append(slices.Collect(maps.Values(r.tokens)),
		resp.text("access_token"), resp.text("id_token"))
	for _, token := range tokens {
		list = append(list, token, token[strings.LastIndexByte(token, '.')+1:])
	}
	return slices.DeleteFunc(list, func(s string) bool { return s == "" })
}
