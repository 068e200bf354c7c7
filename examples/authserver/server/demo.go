package server

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

// DemoLine is what -demo prints when the server is ready: everything needed to try it.
type DemoLine struct {
	Issuer                string              `json:"issuer"`
	TokenEndpoint         string              `json:"token_endpoint"`
	IntrospectionEndpoint string              `json:"introspection_endpoint"`
	RevocationEndpoint    string              `json:"revocation_endpoint"`
	JWKSURI               string              `json:"jwks_uri"`
	Clients               []demoClient        `json:"clients"`
	Users                 []userInfo          `json:"users"`
	Tokens                map[string]TokenSet `json:"tokens"`
}

// demoClient is a client, with its secret if the world has it in plain text.
type demoClient struct {
	ID         string `json:"id"`
	Secret     string `json:"secret"`
	AuthMethod string `json:"auth_method"` // the first of its methods
	Public     bool   `json:"public"`
}

// Demo logs in the users that the world names.
func (s *Server) Demo(ctx context.Context, w *world.World) (DemoLine, error) {
	line := DemoLine{Issuer: s.Issuer, TokenEndpoint: s.Issuer + pathToken,
		IntrospectionEndpoint: s.Issuer + pathIntrospect,
		RevocationEndpoint:    s.Issuer + pathRevoke, JWKSURI: s.Issuer + pathJWKS,
		Tokens: map[string]TokenSet{}}
	for _, c := range w.Clients {
		line.Clients = append(line.Clients,
			demoClient{c.ID, c.Secret, cmp.Or(append(slices.Clone(c.AuthMethods), "none")...),
				c.Public()})
	}
	for _, u := range s.Directory.Users() {
		line.Users = append(line.Users, infoOf(u))
	}
	for _, name := range slices.Sorted(maps.Keys(w.Logins)) {
		tokens, err := s.LogIn(ctx, w.Logins[name].User, w.Logins[name].Client)
		if err != nil {
			return DemoLine{}, err
		}
		line.Tokens[name] = tokens
	}
	return line, nil
}
