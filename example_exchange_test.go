package tokenexchange_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

// threeMaps is an authorization server with opaque tokens. It has all the code that a host writes,
// over three maps. A server with a database has three tables instead.
type threeMaps struct {
	clients map[string]string  // id to secret
	users   map[string]*helped // nil is a record that cannot be read
	tokens  sync.Map           // SHA-256 of a token to tokenexchange.Token
}

// helped is a user of the server. Other users may help, which means to act for this one.
type helped struct {
	locked  bool
	helpers []string // ids of users
}

// saysNo is the error of a host that refuses. It wraps a code, which the client gets. The audit
// trail gets the text as well. An error without a code is a failure of the host, and the client
// gets status 500. In both cases no token is issued.
func saysNo(why string) error { return fmt.Errorf("%w: %s", tokenexchange.InvalidRequest, why) }

// Verify looks up a token. The policy checks the expiry.
func (h *threeMaps) Verify(
	_ context.Context, c tokenexchange.Credential,
) (tokenexchange.Token, error) {
	tok, known := h.tokens.Load(sha256.Sum256([]byte(c.Token)))
	if !known {
		return tokenexchange.Token{}, saysNo("not a token of ours, or a revoked one")
	}
	return tok.(tokenexchange.Token), nil
}

// ResolveSubject looks up the subject and the actor of an exchange, and refuses locked users.
func (h *threeMaps) ResolveSubject(
	_ context.Context, tok tokenexchange.Token,
) (tokenexchange.Subject, error) {
	u, known := h.users[tok.Subject]
	switch {
	case known && u == nil:
		return tokenexchange.Subject{}, errors.New("users: the record cannot be read")
	case !known || u.locked:
		return tokenexchange.Subject{}, saysNo("unknown or locked")
	}
	// The kind comes from the record of the token, since a client may have the name of a user.
	id := tokenexchange.Identity{Issuer: tok.Issuer, Kind: tok.Kind, ID: tok.Subject}
	return tokenexchange.Subject{Identity: id}, nil
}

// AuthorizeActor reports whether the actor may act for the subject. Without an actor it is asked
// about the client, which this server does not allow to act.
func (h *threeMaps) AuthorizeActor(_ context.Context, f tokenexchange.Facts) error {
	if f.Actor == nil || !slices.Contains(h.users[f.Subject.ID].helpers, f.Actor.ID) {
		return saysNo("not a helper of the subject")
	}
	return nil
}

// IssueToken issues the token of a decision. Discard revokes it if the event cannot be recorded.
func (h *threeMaps) IssueToken(
	_ context.Context, d tokenexchange.Decision,
) (tokenexchange.IssuedToken, error) {
	t := tokenexchange.IssuedToken{Value: rand.Text(), ID: rand.Text(), Expires: d.Expires}
	key := sha256.Sum256([]byte(t.Value))
	h.tokens.Store(key, d.Token(t.ID))
	t.Discard = func(context.Context) error { h.tokens.Delete(key); return nil }
	return t, nil
}

// RecordExchange records each outcome before the client gets the answer.
func (h *threeMaps) RecordExchange(_ context.Context, ev tokenexchange.Event) error {
	if ev.Err != nil {
		fmt.Println("audit:", ev.Err)
		return nil
	}
	actor, subject := ev.Facts.Actor.ID, ev.Facts.Subject.ID
	fmt.Printf("audit: rule %q lets %s act for %s\n", ev.Decision.Rule, actor, subject)
	return nil
}

// authenticate is client_secret_basic. Id and secret are form-encoded inside the base64 (RFC 6749
// §2.3.1). A malformed id is read as empty, which no client has.
func (h *threeMaps) authenticate(r *http.Request) (tokenexchange.Client, error) {
	user, password, _ := r.BasicAuth()
	id, _ := url.QueryUnescape(user)
	secret, _ := url.QueryUnescape(password)
	return h.client(id, secret)
}

func (h *threeMaps) client(id, secret string) (tokenexchange.Client, error) {
	registered, known := h.clients[id]
	got, want := sha256.Sum256([]byte(secret)), sha256.Sum256([]byte(registered))
	if same := subtle.ConstantTimeCompare(got[:], want[:]) == 1; !known || !same {
		err := fmt.Errorf("%w: unknown, or a wrong secret", tokenexchange.InvalidClient)
		return tokenexchange.Client{}, err
	}
	scope := tokenexchange.Scope{"orders:read", "orders:write"}
	return tokenexchange.Client{ID: id, Scope: scope}, nil
}

// newThreeMaps returns a server with four users and one rule, and its Exchanger.
func newThreeMaps() (*threeMaps, *tokenexchange.Exchanger) {
	h := &threeMaps{
		clients: map[string]string{"helpdesk": "a secret"},
		users: map[string]*helped{
			"alice": {helpers: []string{"bob"}}, "bob": {}, "mallory": {locked: true}, "dave": nil,
		},
	}
	users := []tokenexchange.Identity{{Kind: tokenexchange.KindUser, ID: "*"}}
	access := []tokenexchange.TokenType{tokenexchange.TypeAccessToken}
	policy, err := tokenexchange.NewPolicy(tokenexchange.Rule{
		Name: "support", Clients: []string{"helpdesk"}, Lifetime: 5 * time.Minute,
		Delegate: &tokenexchange.Delegation{Actors: users, ActorTypes: access},
		Subjects: users, SubjectTypes: access, Types: access,
		Targets: []string{"https://orders.example"}, Scope: tokenexchange.Scope{"orders:read"},
	})
	if err != nil {
		log.Fatal(err)
	}
	return h, &tokenexchange.Exchanger{
		Issuer:   "https://as.example",
		Verify:   tokenexchange.Verifiers{tokenexchange.TypeAccessToken: h.Verify},
		Resolver: h, Decide: policy.Decide, Authorizer: h, TokenIssuer: h, Audit: h,
	}
}

// logIn stands for the logins of the server. A user logs in at a client, and the token is for the
// help desk.
func (h *threeMaps) logIn(user, client string) (token string) {
	token = "the token of " + user
	now := time.Now()
	h.tokens.Store(sha256.Sum256([]byte(token)), tokenexchange.Token{
		Type:     tokenexchange.TypeAccessToken,
		Kind:     tokenexchange.KindUser,
		ID:       "login of " + user,
		Issuer:   "https://as.example",
		Subject:  user,
		ClientID: client,
		Audience: []string{"helpdesk"},
		Scope:    tokenexchange.Scope{"orders:read", "orders:write"},
		Issued:   now,
		Expires:  now.Add(time.Hour),
	})
	return token
}

// A host with three maps embeds the library. Bob works at the help desk. He wants to act for alice,
// who allows it, for mallory, who is locked, and for dave, whose record cannot be read.
func Example() {
	h, exchanger := newThreeMaps()
	server := httptest.NewServer(exchanger.Handler(h.authenticate))
	defer server.Close()

	for _, user := range []string{"alice", "mallory", "dave"} {
		form := url.Values{
			"grant_type":         {tokenexchange.GrantType},
			"subject_token":      {h.logIn(user, "webapp")},
			"subject_token_type": {string(tokenexchange.TypeAccessToken)},
			"actor_token":        {h.logIn("bob", "helpdesk")},
			"actor_token_type":   {string(tokenexchange.TypeAccessToken)},
			"audience":           {"https://orders.example"},
			"scope":              {"orders:read"},
		}
		r, err := http.NewRequest(http.MethodPost, server.URL, strings.NewReader(form.Encode()))
		if err != nil {
			log.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("helpdesk", "a secret")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			log.Fatal(err)
		}
		var answer struct {
			tokenexchange.Response
			Error tokenexchange.Code `json:"error"`
		}
		err = json.NewDecoder(resp.Body).Decode(&answer)
		resp.Body.Close()
		if err != nil {
			log.Fatal(err)
		}
		if answer.Error != "" {
			fmt.Println(resp.StatusCode, answer.Error)
			continue
		}
		c := tokenexchange.Credential{Token: answer.AccessToken}
		tok, err := h.Verify(context.Background(), c)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(resp.StatusCode, answer.TokenType, "token for", answer.ExpiresIn, "seconds")
		fmt.Println("    about", tok.Subject, "acted for by", tok.Actor.Subject,
			"at", tok.Audience, "to", tok.Scope)
	}
	// Output:
	// audit: rule "support" lets bob act for alice
	// 200 Bearer token for 300 seconds
	//     about alice acted for by bob at [https://orders.example] to orders:read
	// audit: invalid_request: subject_not_resolved: SubjectResolver did not resolve the subject (D07): invalid_request: unknown or locked
	// 400 invalid_request
	// audit: server_error: subject_not_resolved: SubjectResolver did not resolve the subject (D07): users: the record cannot be read
	// 500 server_error
}
