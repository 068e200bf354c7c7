package tokenexchange_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

// A framework that has parsed the form and authenticated the client calls Exchange. Outcomes print without their tokens,
// and an error has two readers: the client gets code and description, the log gets all of it.
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

// Authentication is the host's: here by Basic, or by the form for clients that cannot do that. A client that is not
// known is InvalidClient, one that is known and not registered for this grant UnauthorizedClient; any other error is a
// failure of the host.
func ExampleExchanger_Handler() {
	h, exchanger := newThreeMaps() // see the example of the package
	mux := http.NewServeMux()
	mux.Handle("/token", exchanger.Handler(func(r *http.Request) (tokenexchange.Client, error) {
		if _, _, basic := r.BasicAuth(); basic {
			return h.authenticate(r)
		}
		id := r.PostForm.Get("client_id") // the form has been read by now
		if id == "newsletter" {
			return tokenexchange.Client{}, fmt.Errorf("%w: %s does not exchange tokens", tokenexchange.UnauthorizedClient, id)
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

// Decide is a pure function: facts in, decision out. A test of a policy needs no server, no token and no clock.
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
		Client: tokenexchange.Client{ID: "webapp", Scope: tokenexchange.Scope{"orders:read", "orders:write"}},
		Subject: tokenexchange.Subject{
			Identity: tokenexchange.Identity{Issuer: "https://as.example", Kind: tokenexchange.KindUser, ID: "alice"},
			Token: tokenexchange.Token{
				Type: tokenexchange.TypeAccessToken, Issuer: "https://as.example", Subject: "alice", ClientID: "webapp",
				Audience: []string{"https://orders.example", "https://billing.example"},
				Scope:    tokenexchange.Scope{"orders:read", "billing:read"}, Expires: noon.Add(10 * time.Minute),
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

// A policy can be a file. It is read strictly: what is misspelt, unknown or would never match is an error that names the
// rule, when the server starts and not when the first request fails.
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
	_, err = tokenexchange.ParsePolicy([]byte(strings.Replace(file, `"lifetime"`, `"self": true, "lifetime"`, 1)))
	fmt.Println(err)
	// Output:
	// true <nil>
	// tokenexchange: rule "support" (number 1): delegate: unknown member "actor"
	// tokenexchange: rule "support" (number 1): unknown member "self"
}

// An API verifies what an exchange has issued. To an API the server is another issuer, hence Foreign, and a TypeJWT; it
// believes what that server says about actors.
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
		Scopes:    map[string]tokenexchange.Scope{"orders:read": {"orders:read"}}, // any other scope means nothing here
	})
	if err != nil {
		log.Fatal(err)
	}

	noon := time.Date(2026, time.January, 2, 12, 0, 0, 0, time.UTC)
	issued, err := issuer.IssueToken(context.Background(), tokenexchange.Decision{
		Mode: tokenexchange.Delegate, Issuer: "https://as.example", Client: "helpdesk",
		Subject:  tokenexchange.Identity{Issuer: "https://as.example", Kind: tokenexchange.KindUser, ID: "alice"},
		Actor:    &tokenexchange.Actor{Issuer: "https://as.example", Subject: "bob", ClientID: "helpdesk"},
		Audience: []string{"https://orders.example"}, Scope: tokenexchange.Scope{"orders:read"},
		Type: tokenexchange.TypeAccessToken, Issued: noon, Expires: noon.Add(5 * time.Minute),
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, now := range []time.Time{noon, noon.Add(time.Hour)} {
		tok, err := verifier.Verify(context.Background(), tokenexchange.Credential{
			Token: issued.Value, Type: tokenexchange.TypeJWT, Issuer: "https://orders.example", Now: now,
		})
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(tok.Subject, "by", tok.Actor.Subject, "to", tok.Scope)
	}

	// What could be looser than it looks is an error. A server must be able to say whether a token of its own is good still.
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
