package mayact_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/internal/mayact"
)

func TestClaim_Names(t *testing.T) {
	const own, other = "https://as.example", "https://other.example"
	ann := mayact.Actor{Resolved: mayact.Name{Issuer: own, Subject: "ann"},
		Token: mayact.Name{Issuer: other, Subject: "pairwise-7"}}
	svc := mayact.Actor{Resolved: mayact.Name{Issuer: own, Subject: "svc"}, IsClient: true, IsRequester: true}
	app := mayact.Actor{Resolved: mayact.Name{Issuer: own, Subject: "app"}, IsClient: true}
	for name, c := range map[string]struct {
		claim mayact.Claim
		actor mayact.Actor
		want  bool
	}{
		"the zero claim":               {mayact.Claim{}, ann, false},
		"zero, the client acts":        {mayact.Claim{TokenIssuer: own}, svc, false},
		"sub":                          {mayact.Claim{Subject: "ann", TokenIssuer: own}, ann, true},
		"sub and iss":                  {mayact.Claim{Issuer: own, Subject: "ann", TokenIssuer: other}, ann, true},
		"sub as the token has it":      {mayact.Claim{Subject: "pairwise-7", TokenIssuer: other}, ann, true},
		"sub of one, iss of the other": {mayact.Claim{Issuer: other, Subject: "ann"}, ann, false},
		"another sub":                  {mayact.Claim{Subject: "eve", TokenIssuer: own}, ann, false},
		"another iss":                  {mayact.Claim{Issuer: other, Subject: "ann", TokenIssuer: own}, ann, false},
		"no issuer anywhere":           {mayact.Claim{Subject: "x"}, mayact.Actor{Token: mayact.Name{Subject: "x"}}, false},
		"iss alone":                    {mayact.Claim{Issuer: own, TokenIssuer: own}, ann, false},
		"sub and client_id":            {mayact.Claim{Subject: "ann", ClientID: "svc", TokenIssuer: own}, ann, true},
		"another client_id":            {mayact.Claim{Subject: "ann", ClientID: "app", TokenIssuer: own}, ann, false},
		"client_id alone":              {mayact.Claim{ClientID: "svc", TokenIssuer: own}, svc, true},
		"client_id alone, a user acts": {mayact.Claim{ClientID: "svc", TokenIssuer: own}, ann, false},
		"client_id and iss":            {mayact.Claim{Issuer: own, ClientID: "svc", TokenIssuer: own}, svc, false},
		"a client by both":             {mayact.Claim{Subject: "svc", ClientID: "svc", TokenIssuer: own}, svc, true},
		"a client by sub alone":        {mayact.Claim{Subject: "svc", TokenIssuer: own}, svc, false},
		"another client by sub":        {mayact.Claim{Subject: "app", ClientID: "svc", TokenIssuer: own}, app, false},
	} {
		require.Equal(t, c.want, c.claim.Names(c.actor, "svc"), name)
	}
}
