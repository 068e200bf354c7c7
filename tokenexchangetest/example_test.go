package tokenexchangetest_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

// The orders API has received a token of alice. It exchanges the token for one that lets it call
// billing on her behalf. All four host interfaces are fakes.
func Example() {
	const issuer = "https://as.example"
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	alice := tokenexchange.Identity{Issuer: issuer, Kind: tokenexchange.KindUser, ID: "alice"}
	orders := tokenexchange.Identity{Issuer: issuer, Kind: tokenexchange.KindClient, ID: "orders"}

	policy, err := tokenexchange.NewPolicy(tokenexchange.Rule{
		Name: "orders calls billing",
		Delegate: &tokenexchange.Delegation{
			Actors:     []tokenexchange.Identity{orders},
			ActorTypes: []tokenexchange.TokenType{tokenexchange.TypeAccessToken},
		},
		Clients:      []string{"orders"},
		Subjects:     []tokenexchange.Identity{{Kind: tokenexchange.KindUser, ID: "*"}},
		SubjectTypes: []tokenexchange.TokenType{tokenexchange.TypeAccessToken},
		Types:        []tokenexchange.TokenType{tokenexchange.TypeAccessToken},
		Targets:      []string{"https://billing.example"}, Scope: tokenexchange.Scope{
			"read"}, Lifetime: 5 * time.Minute,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	tokens, audit := &tokenexchangetest.Issuer{}, &tokenexchangetest.Recorder{}
	x := tokenexchange.Exchanger{
		Issuer: issuer,
		Verify: tokenexchange.Verifiers{tokenexchange.TypeAccessToken: tokens.Verify},
		Resolver: tokenexchangetest.NewDirectory(tokenexchange.Subject{Identity: alice},
			tokenexchange.Subject{Identity: orders}),
		Decide: policy.Decide,
		Authorizer: &tokenexchangetest.Authorizer{Pairs: []tokenexchangetest.Pair{{Actor: orders,
			Subject: alice}}},
		TokenIssuer: tokens,
		Audit:       audit,
		Now:         func() time.Time { return now },
	}

	request := tokenexchange.Request{
		SubjectTokenType: tokenexchange.TypeAccessToken,
		ActorTokenType:   tokenexchange.TypeAccessToken,
		Audience:         []string{"https://billing.example"},
		SubjectToken: tokens.Put(tokenexchange.Token{Issuer: issuer, Subject: "alice",
			ClientID: "shop", Audience: []string{"orders"},
			Scope: tokenexchange.Scope{"read", "write"}, Expires: now.Add(time.Hour)}),
		ActorToken: tokens.Put(tokenexchange.Token{Issuer: issuer, Subject: "orders",
			ClientID: "orders", Expires: now.Add(time.Hour)}),
	}
	client := tokenexchange.Client{ID: "orders", Scope: tokenexchange.Scope{"read"}}
	response, err := x.Exchange(context.Background(), client, request.Values())
	if err != nil {
		fmt.Println(err)
		return
	}

	fmt.Println(response.TokenType, response.ExpiresIn, response.Scope)
	d, _ := tokens.Decision(response.AccessToken)
	fmt.Println(d.Subject.ID, "by", d.Actor.Subject, "at", d.Audience)
	fmt.Println("recorded:", audit.Last().Decision.Rule)
	// Output:
	// Bearer 300 read
	// alice by orders at [https://billing.example]
	// recorded: orders calls billing
}

// staff is the directory of a host. It has two mistakes.
type staff map[string]tokenexchange.Identity

func (s staff) ResolveSubject(_ context.Context,
	tok tokenexchange.Token) (tokenexchange.Subject, error) {
	id, ok := s[tok.Subject] // mistake: it ignores the issuer
	if !ok {
		// mistake: the error has no Code, so the client gets status 500
		return tokenexchange.Subject{}, fmt.Errorf("no employee %q", tok.Subject)
	}
	return tokenexchange.Subject{Identity: id}, nil
}

func ExampleCheckResolver() {
	const issuer = "https://as.example"
	directory := staff{"alice": {Issuer: issuer, Kind: tokenexchange.KindUser, ID: "alice"}}
	known := tokenexchange.Token{Type: tokenexchange.TypeAccessToken, Issuer: issuer,
		Subject: "alice"}

	err := tokenexchangetest.CheckResolver(context.Background(), directory, known)
	for _, finding := range err.(interface{ Unwrap() []error }).Unwrap() {
		text, _, _ := strings.Cut(finding.Error(), ";")
		fmt.Println(text)
	}
	// Output:
	// ResolveSubject for an unknown subject returned an error without a Code
	// ResolveSubject accepted a known subject of an unknown issuer
	// ResolveSubject for an unknown subject in a concurrent call returned an error without a Code
}
