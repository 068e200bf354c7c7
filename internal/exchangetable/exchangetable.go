// Package exchangetable runs one table of exchanges over HTTP against a server, whatever that is built on, so that plain
// net/http, ory/fosite and zitadel/oidc are held to the same claims and the same error codes. The
// table is table.json, and sequences.json for cases in which several exchanges together must not
// give what one refuses. What a framework forces to be different stands beside the case it
// concerns, with the reason.
package exchangetable

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/go-tokenexchange/tokenexchange"
)

// Client is a client that the server under test must know, with this secret and for the exchange grant. The secret is
// presented by HTTP Basic.
type Client struct {
	ID        string              `json:"id"`
	Secret    string              `json:"secret"` // empty: a public client
	Scope     tokenexchange.Scope `json:"scope"`
	Audiences []string            `json:"audiences,omitempty"` // Client.Audiences of the engine
	NoGrant   bool                `json:"no_grant,omitempty"`  // it is not registered for the exchange
}

// Kind is what a token is minted as.
type Kind string

// The kinds. An access token is opaque or a JWT as the server has it.
const (
	Access Kind = "access"
	ID     Kind = "id"
)

// Minted is a token as the server under test issues it at a login or by client credentials, with nothing of this library in
// between. Client is whom it is issued to; an ID token has it as aud and azp.
type Minted struct {
	Kind     Kind                `json:"kind"`
	User     string              `json:"user"` // empty: it is about the client
	Client   string              `json:"client"`
	Scope    tokenexchange.Scope `json:"scope,omitempty"`    // of an access token
	Audience []string            `json:"audience,omitempty"` // of an access token
	Lifetime int                 `json:"lifetime"`           // seconds; below zero: expired already
	MayAct   json.RawMessage     `json:"may_act,omitempty"`
	AuthTime int64               `json:"auth_time,omitempty"` // of an ID token, seconds since 1970
	ACR      string              `json:"acr,omitempty"`
	AMR      []string            `json:"amr,omitempty"`
}

// Server is a token endpoint under test, over an Exchanger that Exchanger has made.
type Server struct {
	Name   string // as in the table: net/http, fosite, zitadel/oidc
	Format string // of its access tokens: opaque, JWT; may be empty where that makes no difference
	Issuer string
	URL    string // of the token endpoint
	HTTP   *http.Client

	// Mint makes a token by the server's own means. Revoke ends it by the server's own means.
	Mint   func(t testing.TB, m Minted) string
	Revoke func(t testing.TB, token string)

	// Read says what the server itself says of an access token: introspection, or the claims of a JWT once the server's key
	// has verified it; an ID token is always the latter. Nil: it is not good.
	Read func(t testing.TB, token string) map[string]any

	// Events are what has been recorded so far.
	Events func() []tokenexchange.Event
}
