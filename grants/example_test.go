package grants_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"net/url"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/grants"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

var exampleNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// exampleServer is a server with one rule. Its people, keys and audit trail are those of package
// tokenexchangetest; a host has its own.
func exampleServer(rules ...tokenexchange.Rule) (*tokenexchange.Exchanger, *tokenstore.Tokens) {
	keys := tokenexchangetest.NewMinter("https://as.example")
	clock := func() time.Time { return exampleNow }
	tokens := &tokenstore.Tokens{Store: tokenstore.NewMemory(), JWT: keys.JWTIssuer(), Now: clock}
	policy, err := tokenexchange.NewPolicy(rules...)
	if err != nil {
		log.Fatal(err)
	}
	alice := tokenexchange.Identity{Issuer: "https://as.example", Kind: tokenexchange.KindUser,
		ID: "alice"}
	people := tokenexchangetest.NewDirectory(
		tokenexchange.Subject{Identity: alice, Scope: tokenexchange.Scope{"read", "write"}})
	for id, kind := range map[string]tokenexchange.Kind{"ines": tokenexchange.KindUser,
		"nightly": tokenexchange.KindClient} {
		people.Add(tokenexchange.Subject{
			Identity: tokenexchange.Identity{Issuer: "https://as.example", Kind: kind, ID: id}})
	}
	people.Link("https://idp.partner.example", "4711", alice)
	return &tokenexchange.Exchanger{
		Issuer: "https://as.example", Verify: tokenexchange.Verifiers{}, Resolver: people,
		Decide: policy.Decide, TokenIssuer: tokens,
		Authorizer: &tokenexchangetest.Authorizer{
			Func: func(context.Context, tokenexchange.Facts) error { return nil }},
		Audit: &tokenexchangetest.Recorder{}, Now: clock,
	}, tokens
}

// claimsOf prints some claims of a JWT; nobody has verified it.
func claimsOf(token string, names ...string) {
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		log.Fatal(err)
	}
	claims := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &claims); err != nil {
		log.Fatal(err)
	}
	for _, name := range names {
		fmt.Printf("%s: %s\n", name, claims[name])
	}
}

var (
	exampleUsers = []tokenexchange.Identity{{Kind: tokenexchange.KindUser, ID: "*"}}
	exampleRead  = tokenexchange.Scope{"read"}
)

// Ines, who has logged in, gets a ticket to act for Alice through the client helpdesk.
func ExampleTickets() {
	const typeTicket, typeNamed, typeSession = "urn:example:ticket", "urn:example:named",
		"urn:example:session"
	x, tokens := exampleServer(tokenexchange.Rule{
		Name: "tickets",
		Delegate: &tokenexchange.Delegation{
			OtherTokens: true,
			Actors:      exampleUsers,
			ActorTypes:  []tokenexchange.TokenType{typeSession},
		},
		Clients:  []string{"helpdesk"},
		Subjects: exampleUsers, SubjectTypes: []tokenexchange.TokenType{typeNamed},
		Types: []tokenexchange.TokenType{typeTicket}, Targets: []string{"helpdesk"},
		Scope: exampleRead, Lifetime: 2 * time.Minute,
	})
	tokens.JWT.Types = map[tokenexchange.TokenType]string{typeTicket: "ticket+jwt"}
	tickets := &grants.Tickets{Tokens: tokens, Type: typeTicket, Named: typeNamed}

	session := tokenexchange.Token{Type: typeSession, Kind: tokenexchange.KindUser,
		ID: "the session of ines", Issuer: x.Issuer,
		Subject: "ines", ClientID: "helpdesk", Expires: exampleNow.Add(time.Hour)}
	helpdesk := tokenexchange.Client{ID: "helpdesk", Scope: exampleRead}
	ticket, err := tickets.Mint(context.Background(), x, helpdesk, session, "alice", exampleRead)
	if err != nil {
		log.Fatal(err)
	}
	claimsOf(ticket.AccessToken, "sub", "aud", "scope", "may_act")
	fmt.Println("seconds:", ticket.ExpiresIn)
	// Output:
	// sub: "alice"
	// aud: "helpdesk"
	// scope: "read"
	// may_act: {"iss":"https://as.example","sub":"ines","client_id":"helpdesk"}
	// seconds: 120
}

// An issuer that is trusted says who somebody is, once.
func ExampleAssertions() {
	const typeAssertion = "urn:example:assertion"
	x, tokens := exampleServer(tokenexchange.Rule{
		Name: "partner",
		Impersonate: &tokenexchange.Impersonation{
			Issuers: []string{"https://idp.partner.example"},
		},
		Clients:  []string{"portal"},
		Subjects: exampleUsers, SubjectTypes: []tokenexchange.TokenType{typeAssertion},
		Types:          []tokenexchange.TokenType{tokenexchange.TypeAccessToken},
		Targets:        []string{"https://api.example"},
		DefaultTargets: []string{"https://api.example"}, Scope: exampleRead,
		Lifetime: 10 * time.Minute,
	})
	idp := tokenexchangetest.NewMinter("https://idp.partner.example")
	trust := idp.ForeignTrust(x.Issuer)
	trust.Types = map[tokenexchange.TokenType]string{typeAssertion: "JWT"}
	verifier, err := tokenexchange.NewVerifier(trust)
	if err != nil {
		log.Fatal(err)
	}
	assertions := &grants.Assertions{Type: typeAssertion, Verify: verifier.Verify,
		Store: tokens.Store}

	form := url.Values{"grant_type": {grants.GrantJWTBearer}, "scope": {"read"},
		"assertion": {idp.Sign("JWT", map[string]any{
			"iss": "https://idp.partner.example", "sub": "4711", "aud": x.Issuer, "jti": "1",
			"iat": exampleNow.Unix(), "exp": exampleNow.Add(time.Minute).Unix()})}}
	portal := tokenexchange.Client{ID: "portal", Scope: exampleRead}
	for range 2 {
		answer, err := assertions.Exchange(context.Background(), x, portal, form)
		if err != nil {
			fmt.Println(tokenexchange.AsError(err).Code)
			continue
		}
		fmt.Println(answer.TokenType, answer.Scope, answer.ExpiresIn)
	}
	// Output:
	// Bearer read 600
	// invalid_grant
}

// A batch job gets a token of its own by client_credentials, and names by a scope for whom it
// works.
func ExampleActAs() {
	const typeNamed, typeClient = "urn:example:named", "urn:example:client"
	x, tokens := exampleServer(tokenexchange.Rule{
		Name: "nightly",
		Delegate: &tokenexchange.Delegation{
			OtherTokens: true,
			Actors:      []tokenexchange.Identity{{Kind: tokenexchange.KindClient, ID: "nightly"}},
			ActorTypes:  []tokenexchange.TokenType{typeClient},
		},
		Clients:  []string{"nightly"},
		Subjects: exampleUsers, SubjectTypes: []tokenexchange.TokenType{typeNamed},
		Types:          []tokenexchange.TokenType{tokenexchange.TypeJWT},
		Targets:        []string{"https://api.example"},
		DefaultTargets: []string{"https://api.example"}, Scope: exampleRead,
		Lifetime: 10 * time.Minute,
	})
	x.TokenIssuer = tokens
	actAs := grants.ActAs{Named: typeNamed, Prefix: "act_as:"}

	nightly := tokenexchange.Client{ID: "nightly", Scope: exampleRead}
	answer, err := x.Run(context.Background(), "client_credentials", nightly,
		func(_ context.Context, now time.Time) (
			tokenexchange.Request, tokenexchange.Token, *tokenexchange.Token, error) {
			self := tokenexchange.Token{Type: typeClient, Kind: tokenexchange.KindClient,
				ID: "this run", Issuer: x.Issuer, Subject: "nightly",
				ClientID: "nightly", Scope: nightly.Scope, Issued: now,
				Expires: now.Add(time.Minute)}
			return actAs.Open(
				tokenexchange.Request{Scope: tokenexchange.Scope{"act_as:alice", "read"}},
				"", self)
		})
	if err != nil {
		log.Fatal(err)
	}
	claimsOf(answer.AccessToken, "sub", "act", "scope")
	// Output:
	// sub: "alice"
	// act: {"iss":"https://as.example","sub":"nightly","client_id":"nightly"}
	// scope: "read"
}

// Who is named, for a page that asks the user.
func ExampleActAs_Parse() {
	actAs := grants.ActAs{Named: "urn:example:named", Prefix: "act_as:"}
	user, rest, err := actAs.Parse(tokenexchange.Scope{"openid", "act_as:alice"}, "")
	fmt.Println(user, rest, err)
	user, rest, err = actAs.Parse(tokenexchange.Scope{"openid"},
		`{"id_token": {"act_as": {"value": "alice"}}}`)
	fmt.Println(user, rest, err)
	// Output:
	// alice openid <nil>
	// alice openid <nil>
}

// The token for the API of orders carries one for the service of stock, which may do less.
func ExampleEmbedded() {
	const typeOuter = "urn:example:outer"
	rule := tokenexchange.Rule{
		Name: "orders", Impersonate: &tokenexchange.Impersonation{}, Clients: []string{"portal"},
		Subjects:     exampleUsers,
		SubjectTypes: []tokenexchange.TokenType{tokenexchange.TypeAccessToken},
		Types:        []tokenexchange.TokenType{tokenexchange.TypeJWT},
		Targets:      []string{"https://orders.example"},
		Scope:        tokenexchange.Scope{"*"}, Lifetime: 10 * time.Minute,
	}
	inner := rule
	inner.Name, inner.SubjectTypes = "stock", []tokenexchange.TokenType{typeOuter}
	inner.Targets, inner.Scope = []string{"https://stock.example"}, exampleRead
	x, tokens := exampleServer(rule, inner)
	x.Verify = tokenexchange.Verifiers{tokenexchange.TypeAccessToken: tokens.VerifyToken}

	embedded := &grants.Embedded{Exchanger: x, Store: tokens.Store, Type: typeOuter,
		Claim: "stock_token",
		Rules: map[string]tokenexchange.Request{
			"orders": {Audience: []string{"https://stock.example"}}}}
	tokens.JWT.Claims = embedded.AddClaims
	x.TokenIssuer = embedded.Issuer(tokens)

	login, err := tokens.Mint(context.Background(),
		tokenexchange.Token{Type: tokenexchange.TypeAccessToken, Kind: tokenexchange.KindUser,
			Issuer: x.Issuer, Subject: "alice", ClientID: "portal",
			Audience: []string{"https://portal.example"},
			Scope:    tokenexchange.Scope{"read", "write"}, Issued: exampleNow,
			Expires: exampleNow.Add(time.Hour)})
	if err != nil {
		log.Fatal(err)
	}
	request := tokenexchange.Request{SubjectToken: login.Value,
		SubjectTokenType: tokenexchange.TypeAccessToken,
		Audience:         []string{"https://orders.example"},
		Scope:            tokenexchange.Scope{"read", "write"}}
	portal := tokenexchange.Client{ID: "portal", Scope: tokenexchange.Scope{"read", "write"}}
	answer, err := x.Exchange(context.Background(), portal, request.Values())
	if err != nil {
		log.Fatal(err)
	}
	claimsOf(answer.AccessToken, "aud", "scope")
	var outer struct {
		Stock string `json:"stock_token"`
	}
	raw, _ := base64.RawURLEncoding.DecodeString(strings.Split(answer.AccessToken, ".")[1])
	if err := json.Unmarshal(raw, &outer); err != nil {
		log.Fatal(err)
	}
	claimsOf(outer.Stock, "aud", "scope")
	// Output:
	// aud: "https://orders.example"
	// scope: "read write"
	// aud: "https://stock.example"
	// scope: "read"
}
