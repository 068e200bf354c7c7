package tokenexchange_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

// A framework that has parsed the form and authenticated the client calls Exchange. A Response
// prints without its tokens. An error has two readers: the client gets its code and its
// description, and the log gets all of it.
func ExampleExchanger_Exchange() {
	h, exchanger := newThreeMaps() // see the example of the package
	client := tokenexchange.Client{ID: "helpdesk", Scope: tokenexchange.Scope{"orders:read"}}
	form := url.Values{
		"grant_type":         {tokenexchange.GrantType},
		"subject_token":      {h.logIn("alice", "webapp")},
		"subject_token_type": {string(tokenexchange.TypeAccessToken)},
		"actor_token":        {h.logIn("bob", "helpdesk")},
		"actor_token_type":   {string(tokenexchange.TypeAccessToken)},
		"audience":           {"https://orders.example"},
	}
	answer, err := exchanger.Exchange(context.Background(), client, form)
	fmt.Println(answer, err)

	form.Set("audience", "https://payroll.example")
	_, err = exchanger.Exchange(context.Background(), client, form)
	fmt.Println("is it the target?", errors.Is(err, tokenexchange.InvalidTarget))
	fmt.Println("to the client:", tokenexchange.AsError(err).Description)
	fmt.Println("to the log:", err)
	// Output:
	// audit: rule "support" lets bob act for alice
	// {issued_token_type:urn:ietf:params:oauth:token-type:access_token token_type:Bearer expires_in:300 scope:"orders:read"} <nil>
	// audit: invalid_target: rule "support": target_not_allowed: target "https://payroll.example" is not in the targets of the rule, "https://orders.example" (D24)
	// is it the target? true
	// to the client: A requested audience or resource is malformed, unknown or not acceptable.
	// to the log: invalid_target: rule "support": target_not_allowed: target "https://payroll.example" is not in the targets of the rule, "https://orders.example" (D24)
}

// The host authenticates the client, here by HTTP Basic or by the form. It returns InvalidClient
// for an unknown client, and UnauthorizedClient for a client that is not registered for this grant.
// Any other error is a failure of the host.
func ExampleExchanger_Handler() {
	h, exchanger := newThreeMaps() // see the example of the package
	mux := http.NewServeMux()
	mux.Handle("/token", exchanger.Handler(func(r *http.Request) (tokenexchange.Client, error) {
		if _, _, basic := r.BasicAuth(); basic {
			return h.authenticate(r)
		}
		id := r.PostForm.Get("client_id") // the form has been read by now
		if id == "newsletter" {
			return tokenexchange.Client{}, fmt.Errorf("%w: %s does not exchange tokens",
				tokenexchange.UnauthorizedClient, id)
		}
		return h.client(id, r.PostForm.Get("client_secret"))
	}))

	for _, form := range []string{
		"client_id=helpdesk&client_secret=a+guess",
		"client_id=newsletter",
		"client_id=helpdesk&client_secret=a+secret",
	} {
		r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	// Output:
	// 401 {"error":"invalid_client","error_description":"Client authentication failed."}
	// 400 {"error":"unauthorized_client","error_description":"The client is not allowed to use this grant."}
	// audit: invalid_request: parameter_missing: The parameter grant_type is missing.
	// 400 {"error":"invalid_request","error_description":"The parameter grant_type is missing."}
}

// Decide is a pure function from facts to a decision. A test of a policy needs no server, no token
// and no clock.
func ExamplePolicy_Decide() {
	policy, err := tokenexchange.NewPolicy(tokenexchange.Rule{
		Name:            "narrow",
		Narrow:          &tokenexchange.Narrowing{},
		Clients:         []string{"webapp"},
		Subjects:        []tokenexchange.Identity{{Kind: tokenexchange.KindUser, ID: "*"}},
		SubjectTypes:    []tokenexchange.TokenType{tokenexchange.TypeAccessToken},
		Types:           []tokenexchange.TokenType{tokenexchange.TypeAccessToken},
		SubjectAudience: true, // what the token that is presented is for
		Scope:           tokenexchange.Scope{"*"},
		Lifetime:        time.Hour,
	})
	if err != nil {
		log.Fatal(err)
	}
	noon := time.Date(2026, time.January, 2, 12, 0, 0, 0, time.UTC)
	facts := tokenexchange.Facts{
		Grant:  tokenexchange.GrantType,
		Issuer: "https://as.example",
		Client: tokenexchange.Client{
			ID: "webapp", Scope: tokenexchange.Scope{"orders:read", "orders:write"},
		},
		Subject: tokenexchange.Subject{
			Identity: tokenexchange.Identity{Issuer: "https://as.example",
				Kind: tokenexchange.KindUser, ID: "alice"},
			Token: tokenexchange.Token{
				Type:     tokenexchange.TypeAccessToken,
				Issuer:   "https://as.example",
				Subject:  "alice",
				ClientID: "webapp",
				Audience: []string{"https://orders.example", "https://billing.example"},
				Scope:    tokenexchange.Scope{"orders:read", "billing:read"},
				Expires:  noon.Add(10 * time.Minute),
			},
		},
		Request: tokenexchange.Request{Audience: []string{"https://orders.example"}},
		Now:     noon,
	}
	d, err := policy.Decide(facts)
	fmt.Println(d.Rule, d.Audience, d.Scope, "until", d.Expires.Format(time.TimeOnly), err)

	facts.Request.Audience = []string{"https://payroll.example"}
	_, err = policy.Decide(facts)
	refused := tokenexchange.AsError(err)
	fmt.Println("to the client:", refused.Code)
	fmt.Println("to the operator:", refused.Rule+":", refused.Detail)
	// Output:
	// narrow [https://orders.example] orders:read until 12:10:00 <nil>
	// to the client: invalid_target
	// to the operator: narrow: target "https://payroll.example" is not in the audience of the subject token, "https://orders.example", "https://billing.example" (D24)
}

// A policy can be a file. ParsePolicy is strict: a member that is misspelt or unknown, and a rule
// that could never match, is an error that names the rule. So the server does not start, and no
// request fails later.
func ExampleParsePolicy() {
	const file = `{"rules": [{
		"name":          "support",
		"clients":       ["helpdesk"],
		"delegate": {
			"actors":      [{"kind": "user", "id": "*"}],
			"actor_types": ["urn:ietf:params:oauth:token-type:access_token"]
		},
		"subjects":      [{"kind": "user", "id": "*"}],
		"subject_types": ["urn:ietf:params:oauth:token-type:access_token"],
		"types":         ["urn:ietf:params:oauth:token-type:access_token"],
		"targets":       ["https://orders.example"],
		"scope":         ["orders:read"],
		"lifetime":      "5m"
	}]}`
	policy, err := tokenexchange.ParsePolicy([]byte(file))
	fmt.Println(policy != nil, err)

	_, err = tokenexchange.ParsePolicy([]byte(strings.Replace(file, `"actors"`, `"actor"`, 1)))
	fmt.Println(err)
	_, err =
		tokenexchange.ParsePolicy(
			[]byte(strings.Replace(file, `"lifetime"`, `"self": true, "lifetime"`, 1)))
	fmt.Println(err)
	// Output:
	// true <nil>
	// tokenexchange: rule "support" (number 1): delegate: unknown member "actor"
	// tokenexchange: rule "support" (number 1): unknown member "self"
}

// An API verifies a token that an exchange has issued. To the API the server is another issuer, so
// the Trust is Foreign and the type is TypeJWT. ActClaims lets the API believe the actors in the
// token.
func ExampleNewVerifier() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	issuer, err := tokenexchange.NewJWTIssuer(key, "2026-01", "")
	if err != nil {
		log.Fatal(err)
	}
	keys, err := issuer.JWKS()
	if err != nil {
		log.Fatal(err)
	}
	verifier, err := tokenexchange.NewVerifier(tokenexchange.Trust{
		Issuer:    "https://as.example",
		JWKS:      keys, // or JWKSURL, to fetch them from the server
		Types:     map[tokenexchange.TokenType]string{tokenexchange.TypeJWT: ""},
		Foreign:   true,
		Audience:  []string{"https://orders.example"},
		ActClaims: true,
		// Any other scope means nothing to this API.
		Scopes: map[string]tokenexchange.Scope{"orders:read": {"orders:read"}},
	})
	if err != nil {
		log.Fatal(err)
	}

	noon := time.Date(2026, time.January, 2, 12, 0, 0, 0, time.UTC)
	issued, err := issuer.IssueToken(context.Background(), tokenexchange.Decision{
		Mode: tokenexchange.Delegate, Issuer: "https://as.example", Client: "helpdesk",
		Subject: tokenexchange.Identity{Issuer: "https://as.example", Kind: tokenexchange.KindUser,
			ID: "alice"},
		Actor: &tokenexchange.Actor{Issuer: "https://as.example", Subject: "bob",
			ClientID: "helpdesk"},
		Audience: []string{"https://orders.example"}, Scope: tokenexchange.Scope{"orders:read"},
		Type: tokenexchange.TypeAccessToken, Issued: noon, Expires: noon.Add(5 * time.Minute),
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, now := range []time.Time{noon, noon.Add(time.Hour)} {
		tok, err := verifier.Verify(context.Background(), tokenexchange.Credential{
			Token:  issued.Value,
			Type:   tokenexchange.TypeJWT,
			Issuer: "https://orders.example",
			Now:    now,
		})
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(tok.Subject, "by", tok.Actor.Subject, "to", tok.Scope)
	}

	// A Trust that accepts more than it seems to is an error. A server must be able to check that
	// its own tokens have not been revoked.
	_, err = tokenexchange.NewVerifier(tokenexchange.Trust{
		Issuer: "https://as.example", JWKS: keys,
		Types: map[tokenexchange.TokenType]string{tokenexchange.TypeAccessToken: ""},
	})
	fmt.Println(err)
	// Output:
	// alice by bob to orders:read
	// invalid_request: token_expired: the token expired at 2026-01-02T12:05:00Z (D26)
	// tokenexchange: issuer "https://as.example": an issuer that is not Foreign needs Live
}

// The next three examples are quoted in docs/building-blocks.md (C06).

// actFor exchanges for bob of the help desk, who wants to act for alice.
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

// trained is a host whose users must have passed a training before they act for others.
type trained struct {
	*threeMaps
	passed []string
}

// ResolveSubject adds the privilege of users who have passed the training.
func (t *trained) ResolveSubject(
	ctx context.Context, tok tokenexchange.Token,
) (tokenexchange.Subject, error) {
	s, err := t.threeMaps.ResolveSubject(ctx, tok)
	if err == nil && slices.Contains(t.passed, s.ID) {
		s.Privileges = append(s.Privileges, "trained")
	}
	return s, err
}

// AuthorizeActor refuses before the policy decides about scopes or targets.
func (t *trained) AuthorizeActor(ctx context.Context, f tokenexchange.Facts) error {
	if f.Actor == nil || !slices.Contains(f.Actor.Privileges, "trained") {
		return saysNo("has had no training")
	}
	return t.threeMaps.AuthorizeActor(ctx, f)
}

// Other servers have authentication actions, which check whether a process is open to a user. Here
// SubjectResolver looks up the user, and ActorAuthorizer decides whether the user may act for the
// subject.
func ExampleSubjectResolver() {
	h, x := newThreeMaps() // see the example of the package
	host := &trained{threeMaps: h}
	x.Resolver, x.Authorizer = host, host

	_, err := actFor(h, x)
	fmt.Println("to the client:", tokenexchange.AsError(err).Code)
	host.passed = []string{"bob"}
	answer, _ := actFor(h, x)
	fmt.Println("granted:", answer.Scope)
	// Output:
	// audit: invalid_request: actor_not_authorized: ActorAuthorizer did not allow the actor (D11): invalid_request: has had no training
	// to the client: invalid_request
	// audit: rule "support" lets bob act for alice
	// granted: orders:read
}

// Other servers have claims providers. Here JWTIssuer.Claims adds claims of the host. It cannot
// change the subject, the actor or the scope.
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

// brief issues less than was decided: an actor gets a token for a minute, and no token about a user
// whose account is being closed.
type brief struct {
	next    tokenexchange.TokenIssuer
	closing map[string]bool
}

func (b *brief) IssueToken(
	ctx context.Context, d tokenexchange.Decision,
) (tokenexchange.IssuedToken, error) {
	if b.closing[d.Subject.ID] {
		return tokenexchange.IssuedToken{}, saysNo("the account is being closed")
	}
	if end := d.Issued.Add(time.Minute); d.Actor != nil && d.Expires.After(end) {
		d.Expires = end
	}
	return b.next.IssueToken(ctx, d)
}

// Other servers have token procedures. Here a TokenIssuer calls another TokenIssuer. It can issue
// less than was decided, or nothing. If it issues more, no token leaves.
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

// A server without records keeps a list of revoked names. Each token names the tokens that it was
// made from.
func ExampleToken_Origin() {
	revoked := map[string]bool{}
	live := func(_ context.Context, tok tokenexchange.Token) error {
		names := []string{tok.Origin()}
		if tok.Lineage != nil {
			names = append(names, tok.Lineage.From...)
		}
		for _, name := range names {
			if revoked[name] {
				return fmt.Errorf("%w: %s is revoked", tokenexchange.InvalidRequest, name)
			}
		}
		return nil
	}
	server := tokenexchangetest.NewMinter("https://as.example")
	exchange := narrowing(server, live)
	login := server.AccessToken(tokenexchangetest.Claims{
		Subject: "alice", Client: "webapp", Audience: []string{"https://orders.example"},
		Scope: tokenexchange.Scope{"read"}, Now: time.Now(),
		Extra: map[string]any{"jti": "login-1"},
	})

	once, err := exchange(login)
	fmt.Println("narrowed:", err)
	revoked[tokenexchange.Token{Issuer: "https://as.example", ID: "login-1"}.Origin()] = true
	_, err = exchange(once)
	fmt.Println("narrowed again, after the first token was revoked:",
		tokenexchange.AsError(err).Code)
	// Output:
	// narrowed: <nil>
	// narrowed again, after the first token was revoked: invalid_request
}

// narrowing returns a function by which webapp narrows its own tokens at a server without records.
func narrowing(
	server *tokenexchangetest.Minter, live func(context.Context, tokenexchange.Token) error,
) func(token string) (string, error) {
	trust := server.Trust()
	trust.Live = live
	verifier, err := tokenexchange.NewVerifier(trust)
	if err != nil {
		panic(err)
	}
	access := []tokenexchange.TokenType{tokenexchange.TypeAccessToken}
	policy, err := tokenexchange.NewPolicy(tokenexchange.Rule{
		Name: "narrow", Narrow: &tokenexchange.Narrowing{}, Clients: []string{"webapp"},
		Subjects:     []tokenexchange.Identity{{Kind: tokenexchange.KindUser, ID: "*"}},
		SubjectTypes: access, Types: access,
		SubjectAudience: true, Scope: tokenexchange.Scope{"*"}, Lifetime: time.Hour,
	})
	if err != nil {
		panic(err)
	}
	alice := tokenexchange.Identity{
		Issuer: "https://as.example", Kind: tokenexchange.KindUser, ID: "alice",
	}
	x := tokenexchange.Exchanger{
		Issuer:      "https://as.example",
		Verify:      tokenexchange.Verifiers{tokenexchange.TypeAccessToken: verifier.Verify},
		Resolver:    tokenexchangetest.NewDirectory(tokenexchange.Subject{Identity: alice}),
		Decide:      policy.Decide,
		Authorizer:  &tokenexchangetest.Authorizer{},
		TokenIssuer: server.JWTIssuer(),
		Audit:       &tokenexchangetest.Recorder{},
	}
	client := tokenexchange.Client{ID: "webapp", Scope: tokenexchange.Scope{"read"}}
	return func(token string) (string, error) {
		answer, err := x.Exchange(context.Background(), client, url.Values{
			"grant_type":         {tokenexchange.GrantType},
			"subject_token":      {token},
			"subject_token_type": {string(tokenexchange.TypeAccessToken)},
		})
		return answer.AccessToken, err
	}
}
