package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/go-tokenexchange/tokenexchange"
)

// step is one exchange and its expected result. Tokens in the form are given by name.
type step struct {
	name   string
	client string
	form   []string // names and values, in the order of the output
	answer string   // the response, as printed
	token  string   // claims of the issued token, as printed; empty: no token
	audit  string   // result in the audit event, as printed
}

var steps = []step{
	{"narrowing: my-client narrows the token of peter", "my-client",
		[]string{"subject_token", "peter's token", "scope", "photos", "audience",
			"https://photos.example"},
		"200 expires_in=600 scope=photos",
		"sub=peter client_id=my-client aud=[https://photos.example] scope=photos act=none",
		"granted by narrow"},
	{"delegation: susan of the help desk acts for peter", "helpdesk",
		[]string{"subject_token", "peter's token", "actor_token", "susan's token", "audience",
			"https://photos.example", "scope", "photos"},
		"200 expires_in=300 scope=photos",
		"sub=peter client_id=helpdesk aud=[https://photos.example] scope=photos act=susan",
		"granted by support"},
	{"second hop: the called API calls another API", "photo-service",
		[]string{"subject_token", "token 2", "audience", "https://storage.example"},
		"200 expires_in=60 scope=photos",
		"sub=peter client_id=photo-service aud=[https://storage.example] scope=photos " +
			"act=photo-service<susan", "granted by behind photos"},
	{"impersonation: the help desk sends no actor token", "helpdesk",
		[]string{"subject_token", "peter's token", "audience", "https://photos.example", "scope",
			"photos"},
		"400 error=invalid_request", "", "refused: narrow_other_token"},
}

// walk runs the steps.
type walk struct {
	base   string
	out    io.Writer
	audit  *trail
	tokens map[string]string // by name
}

// run logs in two users, runs the steps, and finally revokes the token of peter.
func (w *walk) run(ctx context.Context, steps []step) (err error) {
	if w.tokens["peter's token"], err = w.logIn(ctx, "peter", "my-client",
		"fosite photos offline"); err != nil {
		return fmt.Errorf("peter: %w", err)
	}
	if w.tokens["susan's token"], err = w.logIn(ctx, "susan", "helpdesk", "fosite"); err != nil {
		return fmt.Errorf("susan: %w", err)
	}
	fmt.Fprintln(w.out, "peter has logged in at my-client, susan at the help desk.")
	for i, s := range steps {
		fmt.Fprintf(w.out, "\n%d. %s\n", i+1, s.name)
		if err := w.exchange(ctx, i+1, s); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	fmt.Fprintln(w.out, "\nmy-client revokes the token of peter:")
	if _, _, err := w.post(ctx, "revoke", "my-client",
		url.Values{"token": {w.tokens["peter's token"]}}); err != nil {
		return err
	}
	for i := range steps {
		name := fmt.Sprintf("token %d", i+1)
		if w.tokens[name] == "" {
			continue
		}
		info, err := w.introspect(ctx, w.tokens[name])
		if err != nil {
			return err
		}
		if err := w.print(name, info, "not active"); err != nil {
			return err
		}
	}
	return nil
}

// exchange runs one step.
func (w *walk) exchange(ctx context.Context, number int, s step) error {
	form := url.Values{"grant_type": {tokenexchange.GrantType}}
	var params []string
	for pair := range slices.Chunk(s.form, 2) {
		params = append(params, pair[0]+"="+pair[1])
		if form.Set(pair[0], pair[1]); strings.HasSuffix(pair[0], "_token") {
			form.Set(pair[0], w.tokens[pair[1]])
			form.Set(pair[0]+"_type", string(tokenexchange.TypeAccessToken))
		}
	}
	fmt.Fprintf(w.out, "   %s requests: %s\n", s.client, strings.Join(params, ", "))
	status, body, err := w.post(ctx, "token", s.client, form)
	if err != nil {
		return err
	}
	answer := fmt.Sprint(status)
	for _, member := range []string{"expires_in", "scope", "error"} {
		if value, ok := body[member]; ok {
			answer += fmt.Sprintf(" %s=%v", member, value)
		}
	}
	token, _ := body["access_token"].(string)
	w.tokens[fmt.Sprintf("token %d", number)] = token
	info := ""
	if token != "" {
		if info, err = w.introspect(ctx, token); err != nil {
			return err
		}
	}
	for _, o := range [][3]string{{"answer", answer, s.answer}, {"token", info, s.token},
		{"audit", w.audit.last(), s.audit}} {
		if err := w.print(o[0], o[1], o[2]); err != nil {
			return err
		}
	}
	return nil
}

// print prints a result unless it is empty. It fails if the result is not the expected one.
func (w *walk) print(name, got, want string) error {
	if got != want {
		return fmt.Errorf("%s: expected %q, got %q", name, want, got)
	}
	if got != "" {
		fmt.Fprintf(w.out, "   %s: %s\n", name, got)
	}
	return nil
}

// introspect does what an API does with a token that it receives (RFC 7662).
func (w *walk) introspect(ctx context.Context, token string) (string, error) {
	_, info, err := w.post(ctx, "introspect", "photo-service", url.Values{"token": {token}})
	if err != nil || info["active"] != true {
		return "not active", err
	}
	chain := []string{}
	for act, _ := info["act"].(map[string]any); act != nil; act, _ = act["act"].(map[string]any) {
		chain = append(chain, fmt.Sprint(act["sub"]))
	}
	if len(chain) == 0 {
		chain = []string{"none"}
	}
	return fmt.Sprintf("sub=%v client_id=%v aud=%v scope=%v act=%s", info["sub"], info["client_id"],
		info["aud"], info["scope"], strings.Join(chain, "<")), nil
}

// logIn logs a user in by authorization code (RFC 6749 §4.1).
func (w *walk) logIn(ctx context.Context, user, client, scope string) (string, error) {
	query := url.Values{"response_type": {"code"}, "client_id": {client}, "scope": {scope},
		"audience": {"https://photos.example helpdesk"},
		"state":    {"a random state"}, "redirect_uri": {"http://localhost:3846/callback"},
		"username": {user}, "password": {"secret"}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.base+"auth?"+query.Encode(), nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultTransport.RoundTrip(r) // does not follow redirects
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	back, err := resp.Location()
	if err != nil {
		return "", err
	}
	_, body, err := w.post(ctx, "token", client,
		url.Values{"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")},
			"redirect_uri": query["redirect_uri"]})
	token, _ := body["access_token"].(string)
	if err == nil && token == "" {
		err = fmt.Errorf("no token: %v %v", back.Query().Get("error"), body["error"])
	}
	return token, err
}

// post sends a form. All clients of the example store have the same secret.
func (w *walk) post(ctx context.Context, endpoint, client string, form url.Values) (status int,
	body map[string]any, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.base+endpoint,
		strings.NewReader(form.Encode()))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(client, "foobar")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	if resp.ContentLength != 0 {
		err = json.NewDecoder(resp.Body).Decode(&body)
	}
	return resp.StatusCode, body, err
}

// trail is an AuditSink that stores events for printing. A real server uses a log or a database.
type trail struct {
	mu     sync.Mutex
	events []tokenexchange.Event
}

func (t *trail) RecordExchange(_ context.Context, ev tokenexchange.Event) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, ev)
	return nil
}

func (t *trail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.events) == 0 {
		return "nothing"
	}
	ev := t.events[len(t.events)-1]
	if ev.Err != nil {
		return "refused: " + tokenexchange.AsError(ev.Err).Reason
	}
	return "granted by " + ev.Decision.Rule
}
