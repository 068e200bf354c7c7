package mayact_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/internal/mayact"
)

func TestClaim_Names(t *testing.T) {
	claim := func(iss, sub, clientID, tokenIssuer string) mayact.Claim {
		return mayact.Claim{Issuer: iss, Subject: sub, ClientID: clientID, TokenIssuer: tokenIssuer}
	}
	type name = mayact.Name
	const own, other = "https://as.example", "https://other.example"
	ann := mayact.Actor{Resolved: name{Issuer: own, Subject: "ann"},
		Token: name{Issuer: other, Subject: "pairwise-7"}}
	svc := mayact.Actor{Resolved: name{Issuer: own, Subject: "svc"},
		IsClient: true, IsRequester: true}
	app := mayact.Actor{Resolved: name{Issuer: own, Subject: "app"}, IsClient: true}
	for what, c := range map[string]struct {
		claim mayact.Claim
		actor mayact.Actor
		want  bool
	}{
		"the zero claim":               {claim("", "", "", ""), ann, false},
		"zero, the client acts":        {claim("", "", "", own), svc, false},
		"sub":                          {claim("", "ann", "", own), ann, true},
		"sub and iss":                  {claim(own, "ann", "", other), ann, true},
		"sub as the token has it":      {claim("", "pairwise-7", "", other), ann, true},
		"sub of one, iss of the other": {claim(other, "ann", "", ""), ann, false},
		"another sub":                  {claim("", "eve", "", own), ann, false},
		"another iss":                  {claim(other, "ann", "", own), ann, false},
		"no issuer anywhere": {claim("", "x", "", ""),
			mayact.Actor{Token: name{Subject: "x"}}, false},
		"iss alone":                    {claim(own, "", "", own), ann, false},
		"sub and client_id":            {claim("", "ann", "svc", own), ann, true},
		"another client_id":            {claim("", "ann", "app", own), ann, false},
		"client_id alone":              {claim("", "", "svc", own), svc, true},
		"client_id alone, a user acts": {claim("", "", "svc", own), ann, false},
		"client_id and iss":            {claim(own, "", "svc", own), svc, false},
		"a client by both":             {claim("", "svc", "svc", own), svc, true},
		"a client by sub alone":        {claim("", "svc", "", own), svc, false},
		"another client by sub":        {claim("", "app", "svc", own), app, false},
	} {
		require.Equal(t, c.want, c.claim.Names(c.actor, "svc"), what)
	}
}
