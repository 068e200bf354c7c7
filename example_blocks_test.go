package tokenexchange_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

// The examples of this file are quoted in docs/building-blocks.md (C06).

// actFor is bob of the help desk, who wants to act for alice.
func actFor(h *threeMaps, x *tokenexchange.Exchanger) (tokenexchange.Response, error) {
	client := tokenexchange.Client{ID: "helpdesk", Scope: tokenexchange.Scope{"orders:read"}}
	return x.Exchange(context.Background(), client, url.Values{
		"grant_type":         {tokenexchange.GrantType},
		"subject_token":      {h.logIn("alice", "webapp")},
		"subject_token_type": {string(tokenexchange.TypeAccessToken)},
		"actor_token":        {h.logIn("bob", "helpdesk")},
		"actor_token_type":   {string(tokenexchange.TypeAccessToken)},
		"audience":           {"https://orders.example"},
	})
}

// trained is a host whose people must have had a training before they act for others.
type trained struct {
	*threeMaps
	passed []string
}

// ResolveSubject says what the directory knows about somebody at this moment.
func (t *trained) ResolveSubject(ctx context.Context, tok tokenexchange.Token) (tokenexchange.Subject, error) {
	s, err := t.threeMaps.ResolveSubject(ctx, tok)
	if err == nil && slices.Contains(t.passed, s.ID) {
		s.Privileges = append(s.Privileges, "trained")
	}
	return s, err
}

// AuthorizeActor says no before anything is decided about scopes or targets.
func (t *trained) AuthorizeActor(ctx context.Context, f tokenexchange.Facts) error {
	if f.Actor == nil || !slices.Contains(f.Actor.Privileges, "trained") {
		return saysNo("has had no training")
	}
	return t.threeMaps.AuthorizeActor(ctx, f)
}

// What is an authentication action elsewhere, a check that the process is open to the right people only, is two questions
// here: who is that now (SubjectResolver), and may they act for this one (ActorAuthorizer)?
func ExampleSubjectResolver() {
	h, x := newThreeMaps() // see the example of the package
	host := &trained{threeMaps: h}
	x.Resolver, x.Authorizer = host, host

	_, err := actFor(h, x)
	fmt.Println("to the client:", tokenexchange.AsError(err).Code)
	host.passed = []string{"bob"}
	answer, _ := actFor(h, x)
	fmt.Println(answer)
	// Output:
	// audit: invalid_request: actor_not_authorized: ActorAuthorizer did not allow the actor (D11): invalid_request: has had no training
	// to the client: invalid_request
	// audit: rule "support" lets bob act for alice
	// {issued_token_type:urn:ietf:params:oauth:token-type:access_token token_type:Bearer expires_in:300 scope:"orders:read"}
}

// What is a claims provider elsewhere is the hook of the issuer. It adds what the host knows, and cannot change who a token
// is about, who acts, or what it allows.
func ExampleJWTIssuer() {
	h, x := newThreeMaps() // see the example of the package
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	departments := map[string]string{"alice": "sales"}
	issuer, err := tokenexchange.NewJWTIssuer(key, "2026-01", "")
	if err != nil {
		log.Fatal(err)
	}
	issuer.Claims = func(_ context.Context, d tokenexchange.Decision, claims map[string]any) error {
		claims["department"] = departments[d.Subject.ID]
		claims["sub"], claims["scope"] = "the boss", "orders:write" // put back before it is signed
		return nil
	}
	x.TokenIssuer = issuer
	answer, err := actFor(h, x)
	if err != nil {
		log.Fatal(err)
	}
	var c struct {
		Subject    string `json:"sub"`
		Scope      string
		Department string
	}
	payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(answer.AccessToken, ".")[1])
	if err := json.Unmarshal(payload, &c); err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.Subject, "of", c.Department, "may", c.Scope)
	// Output:
	// audit: rule "support" lets bob act for alice
	// alice of sales may orders:read
}

// brief has the last word on what is issued: whoever acts for somebody else does so for a minute, and never on behalf of
// somebody whose account is being closed.
type brief struct {
	next    tokenexchange.TokenIssuer
	closing map[string]bool
}

func (b *brief) IssueToken(ctx context.Context, d tokenexchange.Decision) (tokenexchange.IssuedToken, error) {
	if b.closing[d.Subject.ID] {
		return tokenexchange.IssuedToken{}, saysNo("the account is being closed")
	}
	if end := d.Issued.Add(time.Minute); d.Actor != nil && d.Expires.After(end) {
		d.Expires = end
	}
	return b.next.IssueToken(ctx, d)
}

// What is a token procedure elsewhere is a TokenIssuer in front of another. It can make less of a decision, or nothing; where
// it goes beyond one, no token leaves.
func ExampleTokenIssuer() {
	h, x := newThreeMaps() // see the example of the package
	procedure := &brief{next: x.TokenIssuer, closing: map[string]bool{}}
	x.TokenIssuer = procedure

	answer, _ := actFor(h, x)
	fmt.Println("for", answer.ExpiresIn, "seconds")
	procedure.closing["alice"] = true
	_, err := actFor(h, x)
	fmt.Println("to the client:", tokenexchange.AsError(err).Code)
	// Output:
	// audit: rule "support" lets bob act for alice
	// for 60 seconds
	// audit: invalid_request: not_issued: TokenIssuer made no token: invalid_request: the account is being closed
	// to the client: invalid_request
}
