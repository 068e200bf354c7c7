package zitadelexchange

import (
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/go-tokenexchange/tokenexchange"
)

// Issuer is what makes the tokens of a request by the client.
func (g *Grant) Issuer(client op.Client) tokenexchange.TokenIssuer { return &issuer{g, client} }
