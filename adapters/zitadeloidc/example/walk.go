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

// step is one request and the expected lines of its result. It is a revocation if the form has
// token, and otherwise an exchange.
type step struct {
	title  string
	client string
	form   []string // names and values; tokens are given by name
	want   []string // the response, the claims of the new token and the audit event
}

const idToken = string(tokenexchange.TypeIDToken)

var steps = []step{
	{"NARROW: web narrows the user's token", "web",
		[]string{"subject_token", "user", "scope", "email"}, []string{
			`response 200 no-store issued_token_type=access_token token_type=Bearer ` +
				`expires_in=240 scope=email`,
			`token    sub=id2 client_id=web aud=web scope=email act=none`,
			`audit    granted by rule "narrow"`,
		}},
	{"DELEGATE: an administrator acts for the user", "web",
		[]string{"subject_token", "user", "actor_token", "administrator", "audience", "api",
			"scope", "profile email"}, []string{
			`response 200 no-store issued_token_type=access_token token_type=Bearer ` +
				`expires_in=120 scope=profile email`,
			`token    sub=id2 client_id=web aud=api scope=profile email ` +
				`act={"iss":"ISSUER","sub":"id1","client_id":"web"}`,
			`audit    granted by rule "support"`,
		}},
	{"SECOND HOP: the API calls the next one; the chain is complete", "api",
		[]string{"subject_token", "step 2", "audience", "billing", "scope", "email"}, []string{
			`response 200 no-store issued_token_type=access_token token_type=Bearer ` +
				`expires_in=60 scope=email`,
			`token    sub=id2 client_id=api aud=billing scope=email ` +
				`act={"iss":"ISSUER","sub":"api","client_id":"api",` +
				`"act":{"iss":"ISSUER","sub":"id1","client_id":"web"}}`,
			`audit    granted by rule "next hop"`,
		}},
	{"IMPERSONATION REFUSED: web sends no actor token for another target", "web",
		[]string{"subject_token", "user", "audience", "api", "scope", "email"}, []string{
			`response 400 no-store error=invalid_target`,
			`audit    refused by rule "narrow": target_not_allowed`,
		}},
	{"IMPERSONATION REFUSED: no rule lets billing act as the user", "billing",
		[]string{"subject_token", "step 3", "audience", "api", "scope", "email"}, []string{
			`response 400 no-store error=invalid_request`,
			`audit    refused: rule_other_client`,
		}},
	{"DELEGATION REFUSED: the user would act for the administrator", "web",
		[]string{"subject_token", "administrator", "actor_token", "user", "audience", "api"},
		[]string{
			`response 400 no-store error=invalid_request`,
			`audit    refused: no_authorizer_allows`,
		}},
	{"ID TOKEN: the administrator gets an ID token about the user", "web",
		[]string{"subject_token", "user", "actor_token", "administrator",
			"requested_token_type", idToken, "scope", "email"}, []string{
			`response 200 no-store issued_token_type=id_token token_type=N_A expires_in=120 ` +
				`scope=email`,
			`audit    granted by rule "support"`,
		}},
	{"SCOPE REFUSED: the ID token keeps the scope limit of its origin", "web",
		[]string{"subject_token", "step 7", "subject_token_type", idToken,
			"actor_token", "administrator", "audience", "api", "scope", "profile email"}, []string{
			`response 400 no-store error=invalid_scope`,
			`audit    refused by rule "support by ID token": scope_not_allowed`,
		}},
	{"DELEGATE: the ID token is exchanged for an access token", "web",
		[]string{"subject_token", "step 7", "subject_token_type", idToken,
			"actor_token", "administrator", "audience", "api", "scope", "email"}, []string{
			`response 200 no-store issued_token_type=access_token token_type=Bearer ` +
				`expires_in=60 scope=email`,
			`token    sub=id2 client_id=web aud=api scope=email ` +
				`act={"iss":"ISSUER","sub":"id1","client_id":"web"}`,
			`audit    granted by rule "support by ID token"`,
		}},
	{"REVOKE: web revokes the user's token", "web",
		[]string{"token", "user"}, []string{
			`response 200`,
			`active   administrator`,
		}},
	{"REVOKED: a token that was made from it by two exchanges", "billing",
		[]string{"subject_token", "step 3", "audience", "api", "scope", "email"}, []string{
			`response 400 no-store error=invalid_request`,
			`audit    refused: invalid_request: the token or one of its origins is revoked`,
		}},
	{"REVOKED: the ID token", "web",
		[]string{"subject_token", "step 7", "subject_token_type", idToken,
			"actor_token", "administrator", "audience", "api", "scope", "email"}, []string{
			`response 400 no-store error=invalid_request`,
			`audit    refused: invalid_request: the token or one of its origins is revoked`,
		}},
}

// walk is the client side. It knows the URL of the server and reads the audit events, as an
// operator would.
type walk struct {
	issuer string
	out    io.Writer
	audit  *trail
	tokens map[string]string // by the printed name
}

// run logs two users in and runs the steps. It prints each step and stops at the first unexpected
// result.
func (k *walk) run(ctx context.Context) (err error) {
	host, _, _ := strings.Cut(strings.TrimPrefix(k.issuer, "http://"), ":")
	for name, user := range map[string]string{"user": "test-user2",
		"administrator": "test-user@" + host} {
		if k.tokens[name], err = k.logIn(ctx, user); err != nil {
			return fmt.Errorf("login of %s: %w", name, err)
		}
	}
	for i, s := range steps {
		send := k.exchange
		if s.form[0] == "token" {
			send = k.revoke
		}
		got, err := send(ctx, s, fmt.Sprintf("step %d", i+1))
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

// print prints a step and its result.
func (k *walk) print(n int, s step, got []string) error {
	request := s.client
	for pair := range slices.Chunk(s.form, 2) {
		value := pair[1]
		if k.tokens[value] != "" {
			value = "<" + value + ">"
		}
		request += " " + pair[0] + "=" + value
	}
	_, err := fmt.Fprintf(k.out, "%d. %s\n  request  %s\n  %s\n\n", n, s.title, request,
		strings.Join(got, "\n  "))
	return err
}

// exchange sends an exchange request and returns the lines of its result. It stores the new token
// by name.
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
	got := []string{fmt.Sprintf("response %d %s", resp.status, resp.header.Get("Cache-Control"))}
	for _, member := range []string{"error", "issued_token_type", "token_type", "expires_in",
		"scope"} {
		if value, there := resp.body[member]; there {
			got[0] += fmt.Sprintf(" %s=%s", member,
				strings.TrimPrefix(fmt.Sprint(value), "urn:ietf:params:oauth:token-type:"))
		}
	}
	token, ok := resp.body["access_token"].(string)
	if ok {
		k.tokens[name] = token
	}
	if ok && resp.body["issued_token_type"] != idToken {
		info, err := k.introspect(ctx, token, s.client)
		if err != nil {
			return nil, err
		}
		got = append(got, info)
	}
	for _, ev := range k.audit.take() {
		got = append(got, "audit    "+outcome(ev))
	}
	return got, nil
}

// revoke revokes a token (RFC 7009) and returns the names of the tokens that are still active.
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
	answer := fmt.Sprintf("response %d", resp.status)
	return []string{answer, "active   " + strings.Join(active, ", ")}, nil
}

var errInactive = errors.New("the token is not active")

// introspect does what an API does with a token that it receives (RFC 7662). A token without an API
// as its audience is introspected by its client.
func (k *walk) introspect(ctx context.Context, token, client string) (string, error) {
	for _, api := range append([]string{client}, clients...) {
		resp, err := k.post(ctx, "/oauth/introspect", api, url.Values{"token": {token}})
		if err != nil {
			return "", err
		}
		audience := texts(resp.body["aud"])
		if resp.body["active"] != true || api == client && !slices.Contains(audience, client) {
			continue
		}
		act := []byte("none")
		if chain, there := resp.body["act"]; there {
			if act, err = orderedChain(chain); err != nil {
				return "", err
			}
		}
		return fmt.Sprintf("token    sub=%s client_id=%s aud=%s scope=%s act=%s", resp.body["sub"],
			resp.body["client_id"],
			strings.Join(audience, ","), resp.body["scope"],
			strings.ReplaceAll(string(act), k.issuer, "ISSUER")), nil
	}
	return "", errInactive
}

// orderedChain encodes a chain with its members in the order of the token, which a decoded map has
// lost.
func orderedChain(chain any) ([]byte, error) {
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
		prior, err := orderedChain(actor.Prior)
		if err != nil {
			return nil, err
		}
		actor.Prior = json.RawMessage(prior)
	}
	return json.Marshal(actor)
}

// texts converts an aud claim, which is a string or an array of strings.
func texts(v any) (list []string) {
	values, isList := v.([]any)
	if !isList {
		values = []any{v}
	}
	for _, value := range values {
		list = append(list, fmt.Sprint(value))
	}
	return list
}

// outcome returns the rule that granted an exchange, or the reason of a refusal.
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

// response is an HTTP response.
type response struct {
	status int
	header http.Header
	body   map[string]any
}

// post sends a form as a client.
func (k *walk) post(ctx context.Context, path, client string, form url.Values) (response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, k.issuer+path,
		strings.NewReader(form.Encode()))
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
	if errors.Is(err, io.EOF) { // the response to a revocation is empty
		err = nil
	}
	return got, err
}
