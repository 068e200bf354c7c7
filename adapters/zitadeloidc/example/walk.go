package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

// step is one request: an exchange, or a revocation where the form has token. It says what a
// client asks, and the lines that must come of it.
type step struct {
	title  string
	client string
	form   []string // names and values; tokens by name
	want   []string // the answer, what the new token says, what is on record
}

const idToken = string(tokenexchange.TypeIDToken)

var steps = []step{
	{"NARROW: web makes the user's token smaller", "web",
		[]string{"subject_token", "user", "scope", "email"}, []string{
			`answer   200 no-store issued_token_type=access_token token_type=Bearer expires_in=240 scope=email`,
			`says     sub=id2 client_id=web aud=web scope=email act=none`,
			`record   granted by rule "smaller"`,
		}},
	{"DELEGATE: an administrator acts for the user", "web",
		[]string{"subject_token", "user", "actor_token", "administrator", "audience", "api", "scope", "profile email"}, []string{
			`answer   200 no-store issued_token_type=access_token token_type=Bearer expires_in=120 scope=profile email`,
			`says     sub=id2 client_id=web aud=api scope=profile email act={"iss":"ISSUER","sub":"id1","client_id":"web"}`,
			`record   granted by rule "support"`,
		}},
	{"SECOND HOP: the API calls the next one; nobody is lost", "api",
		[]string{"subject_token", "step 2", "audience", "billing", "scope", "email"}, []string{
			`answer   200 no-store issued_token_type=access_token token_type=Bearer expires_in=60 scope=email`,
			`says     sub=id2 client_id=api aud=billing scope=email act={"iss":"ISSUER","sub":"api","client_id":"api","act":{"iss":"ISSUER","sub":"id1","client_id":"web"}}`,
			`record   granted by rule "next hop"`,
		}},
	{"IMPERSONATION REFUSED: web without an actor token gets no more than it has", "web",
		[]string{"subject_token", "user", "audience", "api", "scope", "email"}, []string{
			`answer   400 no-store error=invalid_target`,
			`record   refused by rule "smaller": target_not_allowed`,
		}},
	{"IMPERSONATION REFUSED: billing would go on as the user, and no rule says that it may", "billing",
		[]string{"subject_token", "step 3", "audience", "api", "scope", "email"}, []string{
			`answer   400 no-store error=invalid_request`,
			`record   refused: rule_other_client`,
		}},
	{"DELEGATION REFUSED: the user would act for the administrator", "web",
		[]string{"subject_token", "administrator", "actor_token", "user", "audience", "api"}, []string{
			`answer   400 no-store error=invalid_request`,
			`record   refused: no authorizer allows the acting party (D11)`,
		}},
	{"ID TOKEN: the administrator gets an ID token about the user", "web",
		[]string{"subject_token", "user", "actor_token", "administrator",
			"requested_token_type", idToken, "scope", "email"}, []string{
			`answer   200 no-store issued_token_type=id_token token_type=N_A expires_in=120 ` +
				`scope=email`,
			`record   granted by rule "support"`,
		}},
	{"SCOPE REFUSED: the ID token gives no more than was granted with it", "web",
		[]string{"subject_token", "step 7", "subject_token_type", idToken,
			"actor_token", "administrator", "audience", "api", "scope", "profile email"}, []string{
			`answer   400 no-store error=invalid_scope`,
			`record   refused by rule "support by ID token": scope_not_allowed`,
		}},
	{"DELEGATE: an access token is made from the ID token", "web",
		[]string{"subject_token", "step 7", "subject_token_type", idToken,
			"actor_token", "administrator", "audience", "api", "scope", "email"}, []string{
			`answer   200 no-store issued_token_type=access_token token_type=Bearer ` +
				`expires_in=60 scope=email`,
			`says     sub=id2 client_id=web aud=api scope=email ` +
				`act={"iss":"ISSUER","sub":"id1","client_id":"web"}`,
			`record   granted by rule "support by ID token"`,
		}},
	{"REVOKE: web ends the user's token", "web",
		[]string{"token", "user"}, []string{
			`answer   200`,
			`active   administrator`,
		}},
	{"REVOKED: what was made from it over two exchanges ends too", "billing",
		[]string{"subject_token", "step 3", "audience", "api", "scope", "email"}, []string{
			`answer   400 no-store error=invalid_request`,
			`record   refused: invalid_request: it, or its origin, was revoked`,
		}},
	{"REVOKED: and so does the ID token", "web",
		[]string{"subject_token", "step 7", "subject_token_type", idToken,
			"actor_token", "administrator", "audience", "api", "scope", "email"}, []string{
			`answer   400 no-store error=invalid_request`,
			`record   refused: invalid_request: it, or its origin, was revoked`,
		}},
}

// walk is the clients. All that it has of the server is its URL, and the audit trail, which it reads as an operator would.
type walk struct {
	issuer string
	out    io.Writer
	audit  *trail
	tokens map[string]string // by the name that is printed
}

// take logs two users in and takes all steps, prints each, and stops at the first that has another outcome than it should.
func (k *walk) take(ctx context.Context) (err error) {
	host, _, _ := strings.Cut(strings.TrimPrefix(k.issuer, "http://"), ":")
	for name, user := range map[string]string{"user": "test-user2", "administrator": "test-user@" + host} {
		if k.tokens[name], err = k.logIn(ctx, user); err != nil {
			return fmt.Errorf("login of %s: %w", name, err)
		}
	}
	for i, s := range steps {
		ask := k.exchange
		if s.form[0] == "token" {
			ask = k.revoke
		}
		got, err := ask(ctx, s, fmt.Sprintf("step %d", i+1))
		if err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
		if err := k.print(i+1, s, got); err != nil {
			return err
		}
		if !slices.Equal(got, s.want) {
			return fmt.Errorf("step %d: expected\n  %s", i+1, strings.Join(s.want, "\n  "))
		}
	}
	return nil
}

func (k *walk) print(n int, s step, got []string) error {
	asked := s.client
	for pair := range slices.Chunk(s.form, 2) {
		value := pair[1]
		if k.tokens[value] != "" {
			value = "<" + value + ">"
		}
		asked += " " + pair[0] + "=" + value
	}
	_, err := fmt.Fprintf(k.out, "%d. %s\n  asks     %s\n  %s\n\n", n, s.title, asked, strings.Join(got, "\n  "))
	return err
}

// exchange sends the form, and says what came of it. The new token will go by name.
func (k *walk) exchange(ctx context.Context, s step, name string) ([]string, error) {
	form := url.Values{"grant_type": {tokenexchange.GrantType}}
	for pair := range slices.Chunk(s.form, 2) {
		if token := k.tokens[pair[1]]; token != "" {
			form.Set(pair[0], token)
			form.Set(pair[0]+"_type", string(tokenexchange.TypeAccessToken))
		} else {
			form.Set(pair[0], pair[1])
		}
	}
	resp, err := k.post(ctx, "/oauth/token", s.client, form)
	if err != nil {
		return nil, err
	}
	got := []string{fmt.Sprintf("answer   %d %s", resp.status, resp.header.Get("Cache-Control"))}
	for _, member := range []string{"error", "issued_token_type", "token_type", "expires_in", "scope"} {
		if value, there := resp.body[member]; there {
			got[0] += fmt.Sprintf(" %s=%s", member, strings.TrimPrefix(fmt.Sprint(value), "urn:ietf:params:oauth:token-type:"))
		}
	}
	token, ok := resp.body["access_token"].(string)
	if ok {
		k.tokens[name] = token
	}
	if ok && resp.body["issued_token_type"] != idToken {
		says, err := k.introspect(ctx, token, s.client)
		if err != nil {
			return nil, err
		}
		got = append(got, says)
	}
	for _, ev := range k.audit.take() {
		got = append(got, "record   "+outcome(ev))
	}
	return got, nil
}

// revoke asks for a revocation (RFC 7009), and says which tokens an API still takes after it.
func (k *walk) revoke(ctx context.Context, s step, _ string) ([]string, error) {
	resp, err := k.post(ctx, "/revoke", s.client, url.Values{"token": {k.tokens[s.form[1]]}})
	if err != nil {
		return nil, err
	}
	var active []string
	for name, token := range k.tokens {
		switch _, err := k.introspect(ctx, token, s.client); {
		case err == nil:
			active = append(active, name)
		case !errors.Is(err, errInactive):
			return nil, err
		}
	}
	slices.Sort(active)
	answer := fmt.Sprintf("answer   %d", resp.status)
	return []string{answer, "active   " + strings.Join(active, ", ")}, nil
}

var errInactive = errors.New("no API takes the token")

// introspect is what the API does that a token is for. What nobody is told it is for, only its client may ask about.
func (k *walk) introspect(ctx context.Context, token, client string) (string, error) {
	for _, api := range append([]string{client}, clients...) {
		resp, err := k.post(ctx, "/oauth/introspect", api, url.Values{"token": {token}})
		if err != nil {
			return "", err
		}
		audience := list(resp.body["aud"])
		if resp.body["active"] != true || api == client && !slices.Contains(audience, client) {
			continue
		}
		act := []byte("none")
		if chain, there := resp.body["act"]; there {
			if act, err = inOrder(chain); err != nil {
				return "", err
			}
		}
		return fmt.Sprintf("says     sub=%s client_id=%s aud=%s scope=%s act=%s", resp.body["sub"], resp.body["client_id"],
			strings.Join(audience, ","), resp.body["scope"], strings.ReplaceAll(string(act), k.issuer, "ISSUER")), nil
	}
	return "", errInactive
}

// inOrder writes a chain as it is in a token, whose members a decoded map has lost the order of.
func inOrder(chain any) ([]byte, error) {
	data, err := json.Marshal(chain)
	if err != nil {
		return nil, err
	}
	var actor struct {
		Issuer   string `json:"iss"`
		Subject  string `json:"sub"`
		ClientID string `json:"client_id"`
		Prior    any    `json:"act,omitempty"`
	}
	if err := json.Unmarshal(data, &actor); err != nil {
		return nil, err
	}
	if actor.Prior != nil {
		prior, err := inOrder(actor.Prior)
		if err != nil {
			return nil, err
		}
		actor.Prior = json.RawMessage(prior)
	}
	return json.Marshal(actor)
}

func list(v any) (texts []string) {
	values, isList := v.([]any)
	if !isList {
		values = []any{v}
	}
	for _, value := range values {
		texts = append(texts, fmt.Sprint(value))
	}
	return texts
}

// outcome returns what an operator reads: the rule that decided, or the reason of the refusal.
func outcome(ev tokenexchange.Event) string {
	if ev.Err == nil {
		return fmt.Sprintf("granted by rule %q", ev.Decision.Rule)
	}
	e := tokenexchange.AsError(ev.Err)
	if e.Reason == "" {
		return "refused: " + e.Err.Error()
	}
	if e.Rule != "" {
		return fmt.Sprintf("refused by rule %q: %s", e.Rule, e.Reason)
	}
	return "refused: " + e.Reason
}

// response is what came back.
type response struct {
	status int
	header http.Header
	body   map[string]any
}

// post sends a form as a client.
func (k *walk) post(ctx context.Context, path, client string, form url.Values) (response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, k.issuer+path, strings.NewReader(form.Encode()))
	if err != nil {
		return response{}, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(client), url.QueryEscape(secretOf(client)))
	c := http.Client{Timeout: 10 * time.Second}
	resp, err := c.Do(r)
	if err != nil {
		return response{}, err
	}
	defer resp.Body.Close()
	got := response{status: resp.StatusCode, header: maps.Clone(resp.Header)}
	err = json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&got.body)
	if errors.Is(err, io.EOF) { // a revocation answers with nothing
		err = nil
	}
	return got, err
}
