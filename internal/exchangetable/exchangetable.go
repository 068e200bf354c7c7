// Package exchangetable runs one table of exchanges over HTTP against different servers, so that
// plain net/http, ory/fosite and zitadel/oidc issue the same claims and refuse with the same error
// codes. The cases are in table.json. Those in sequences.json check that several exchanges together
// do not grant what one exchange refuses.
//
// Where a framework forces another result, the case states that result and the reason.
package exchangetable

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/go-tokenexchange/tokenexchange"
)

// Client is a client that the server under test must register. It authenticates by HTTP Basic.
type Client struct {
	ID        string              `json:"id"`
	Secret    string              `json:"secret"` // empty: a public client
	Scope     tokenexchange.Scope `json:"scope"`
	Audiences []string            `json:"audiences,omitempty"` // tokenexchange.Client.Audiences
	NoGrant   bool                `json:"no_grant,omitempty"`  // may not use the exchange grant
}

// Kind is the kind of a token to mint.
type Kind string

// The kinds. The server decides whether its access tokens are opaque or JWTs.
const (
	Access Kind = "access"
	ID     Kind = "id"
)

// Minted describes a token that the server under test issues at a login or by client credentials,
// without package tokenexchange. Client is the client that it is issued to, and the aud and azp of
// an ID token.
type Minted struct {
	Kind     Kind                `json:"kind"`
	User     string              `json:"user"` // empty: the token is about the client
	Client   string              `json:"client"`
	Scope    tokenexchange.Scope `json:"scope,omitempty"`    // for an access token
	Audience []string            `json:"audience,omitempty"` // for an access token
	Lifetime int                 `json:"lifetime"`           // seconds; negative: already expired
	MayAct   json.RawMessage     `json:"may_act,omitempty"`
	AuthTime int64               `json:"auth_time,omitempty"` // for an ID token, in Unix seconds
	ACR      string              `json:"acr,omitempty"`       // for an ID token
	AMR      []string            `json:"amr,omitempty"`       // for an ID token
}

// Server is a token endpoint under test. Its Exchanger comes from the function Exchanger.
type Server struct {
	Name   string // as in the table: net/http, fosite or zitadel/oidc
	Format string // of its access tokens: opaque or JWT; may be empty if no case depends on it
	Issuer string
	URL    string // of the token endpoint
	HTTP   *http.Client

	// Mint issues a token and Revoke revokes it, both by the means of the server.
	Mint   func(t testing.TB, m Minted) string
	Revoke func(t testing.TB, token string)

	// Read returns the claims of a token, or nil if it is not valid. For an access token it uses
	// introspection or verifies a JWT with the server's key; for an ID token it verifies the JWT.
	Read func(t testing.TB, token string) map[string]any

	// Events returns all audit events so far.
	Events func() []tokenexchange.Event
}
