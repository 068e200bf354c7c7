// Package client asks an authorization server for exchanged tokens (RFC 8693), as an
// oauth2.TokenSource or one at a time. It works with any server that implements token exchange.
package client

import (
	"fmt"
	"log/slog"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/go-tokenexchange/tokenexchange"
)

// Config describes the exchange that a client asks for. Using a Config does not change it, and many
// goroutines may use it at the same time; the caller must not change it while it is in use. A
// Config never prints the client secret.
//
// If Server.AuthStyle is zero, a client with a secret authenticates in the Authorization header,
// and a client without one sends its ID in the form. Nothing is probed, because a probe would send
// the tokens twice. Redirects are never followed, so the tokens go to the token URL only.
type Config struct {
	// Server has the client ID and secret, the token URL, and further parameters of the request.
	// Server.Scopes is used if Request.Scope is nil. To set both is an error.
	Server clientcredentials.Config

	// Request has the token types, targets and scope. It must not hold tokens: they come from
	// Subject and Actor. An empty token type is an access token.
	Request tokenexchange.Request

	// Subject gives the subject token, and is required. For a subject token type of TypeIDToken the
	// id_token of the source is sent, or its access token if it has no id_token; for
	// TypeRefreshToken its refresh token; for every other type its access token.
	Subject oauth2.TokenSource

	// Actor gives the actor token in the same way. Without Actor no actor token is sent.
	Actor oauth2.TokenSource
}

// Format prints the client ID and the request, whatever the verb. It never prints a secret.
func (c Config) Format(w fmt.State, _ rune) {
	fmt.Fprintf(w, "{client:%q request:%v}", c.Server.ClientID, c.Request)
}

// LogValue returns the text that Format prints, so that structured logs hold no secret.
func (c Config) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(c)) }

// MarshalText returns the text that Format prints, so that a value with a Config in it can be
// logged as JSON without a secret.
func (c Config) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(c)), nil }
