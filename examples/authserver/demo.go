package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
)

// demoLine is what -demo prints when the server is ready: all that a stranger needs to try it.
type demoLine struct {
	Issuer                string              `json:"issuer"`
	TokenEndpoint         string              `json:"token_endpoint"`
	IntrospectionEndpoint string              `json:"introspection_endpoint"`
	RevocationEndpoint    string              `json:"revocation_endpoint"`
	JWKSURI               string              `json:"jwks_uri"`
	Clients               []demoClient        `json:"clients"`
	Users                 []userInfo          `json:"users"`
	Tokens                map[string]tokenSet `json:"tokens"`
}

// demoClient is a client and its secret, where it has one and the world has it in the plain.
type demoClient struct {
	ID         string `json:"id"`
	Secret     string `json:"secret"`
	AuthMethod string `json:"auth_method"` // the first of its methods
	Public     bool   `json:"public"`
}

// demo logs in whom the world says, and tells everything.
func (s *server) demo(ctx context.Context, w *world) (demoLine, error) {
	line := demoLine{Issuer: s.issuer, TokenEndpoint: s.issuer + pathToken, IntrospectionEndpoint: s.issuer + pathIntrospect,
		RevocationEndpoint: s.issuer + pathRevoke, JWKSURI: s.issuer + pathJWKS, Tokens: map[string]tokenSet{}}
	for _, c := range w.Clients {
		line.Clients = append(line.Clients, demoClient{c.ID, c.Secret, cmp.Or(append(slices.Clone(c.AuthMethods), "none")...), c.public()})
	}
	for _, u := range s.directory.everybody() {
		line.Users = append(line.Users, u.info())
	}
	for _, name := range slices.Sorted(maps.Keys(w.Logins)) {
		tokens, err := s.logIn(ctx, w.Logins[name].User, w.Logins[name].Client)
		if err != nil {
			return demoLine{}, err
		}
		line.Tokens[name] = tokens
	}
	return line, nil
}
