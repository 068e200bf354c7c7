package zitadelexchange

import (
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/go-tokenexchange/tokenexchange"
)

// Issuer returns the issuer for requests of the client.
func (g *Grant) Issuer(client op.Client) tokenexchange.TokenIssuer { return &issuer{g, client} }
