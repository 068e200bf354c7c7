package tokenexchangetest_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

// fullDecision returns a decision with every field that a token must show.
func fullDecision() tx.Decision {
	d := decided()
	d.Actor.Prior = &tx.Actor{Issuer: "https://idp.example", Subject: "bob"}
	d.Confirmation = tx.Confirmation{JKT: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}
	d.IDToken = true
	d.Facts.Subject.Token = tx.Token{AuthTime: noon.Add(-time.Hour), ACR: "2",
		AMR: []string{"pwd", "otp"}}
	return d
}

func TestCheckRoundTripPasses(t *testing.T) {
	var opaque tokenexchangetest.Issuer
	both := tx.Verifiers{tx.TypeAccessToken: opaque.Verify, tx.TypeIDToken: opaque.Verify,
		tx.TypeJWT: opaque.Verify}
	assert.NoError(t, tokenexchangetest.CheckRoundTrip(ctx, &opaque, both, fullDecision()))
	assert.Zero(t, opaque.Len())

	m := tokenexchangetest.NewMinter(as)
	v := verifier(t, m.Trust())
	jwts := tx.Verifiers{tx.TypeAccessToken: v.Verify, tx.TypeIDToken: v.Verify,
		tx.TypeJWT: v.Verify}
	for _, typ := range []tx.TokenType{tx.TypeAccessToken, tx.TypeJWT, tx.TypeIDToken} {
		d := fullDecision()
		if d.Type = typ; typ == tx.TypeIDToken {
			d.IDToken, d.Scope, d.Audience = false, nil, []string{d.Client}
		}
		assert.NoError(t, tokenexchangetest.CheckRoundTrip(ctx, m.JWTIssuer(), jwts, d), typ)
		actAs := m.JWTIssuer()
		actAs.ActAs = true
		assert.NoError(t, tokenexchangetest.CheckRoundTrip(ctx, actAs, jwts, d), "D18: act_as, %s",
			typ)
	}
}

// An actor without iss has the issuer of the token.
func TestCheckRoundTripAcceptsActorsWithoutIssuer(t *testing.T) {
	var i tokenexchangetest.Issuer
	verify := func(ctx context.Context, c tx.Credential) (tx.Token, error) {
		tok, err := i.Verify(ctx, c)
		if err == nil {
			tok.Actor.Issuer = ""
		}
		return tok, err
	}
	assert.NoError(t, tokenexchangetest.CheckRoundTrip(ctx, &i,
		tx.Verifiers{tx.TypeAccessToken: verify}, fullDecision()))
}

func TestCheckRoundTripFinds(t *testing.T) {
	for _, tt := range []struct {
		name   string
		decide func(*tx.Decision) // how the issuer modifies the decision
		read   func(*tx.Token)    // how the verifier modifies the token
		want   []string
	}{
		{"omits the actor", func(d *tx.Decision) { d.Mode, d.Actor = tx.Impersonate, nil }, nil,
			[]string{`the token has the chain of actors [], want [`,
				"the ID token has the chain of actors"}},
		{"cuts the chain", func(d *tx.Decision) { d.Actor.Prior = nil }, nil,
			[]string{"the token has the chain of actors", "the ID token has the chain of actors"}},
		{"issues for the actor", func(d *tx.Decision) { d.Subject.ID = d.Actor.Subject }, nil,
			[]string{`the token has the subject "orders-api", want "alice"`,
				"the ID token has the subject"}},
		{"drops an audience", func(d *tx.Decision) { d.Audience = d.Audience[:1] }, nil,
			[]string{"the token has the audience"}},
		{"adds a scope", func(d *tx.Decision) { d.Scope = append(d.Scope, "admin") }, nil,
			[]string{"the token has the scope"}},
		{"omits the key", func(d *tx.Decision) { d.Confirmation = tx.Confirmation{} }, nil,
			[]string{"the token has the confirmation", "the ID token has the confirmation"}},
		{"expires later", func(d *tx.Decision) { d.Expires = d.Expires.Add(time.Hour) }, nil,
			[]string{"the token has the expiry", "the ID token has the expiry",
				"the verifier accepted an expired token"}},
		{"names another client", func(d *tx.Decision) { d.Client = "web" }, nil,
			[]string{"the token has the client", "the ID token has the client",
				"the ID token has the audience"}},
		{"sets a later auth_time", func(d *tx.Decision) {
			d.Facts.Subject.Token.AuthTime = d.Issued
		}, nil,
			[]string{"the ID token has the auth_time"}},
		{"sets a stronger acr", func(d *tx.Decision) { d.Facts.Subject.Token.ACR = "3" }, nil,
			[]string{"the ID token has the acr"}},
		{"omits amr", func(d *tx.Decision) { d.Facts.Subject.Token.AMR = nil }, nil,
			[]string{"the ID token has the amr"}},
		{"reads no ID", nil, func(t *tx.Token) { t.ID = "" },
			[]string{"the token has no ID (D29)"}},
		{"reads another issuer", nil, func(t *tx.Token) { t.Issuer = "https://other.example" },
			[]string{"the token has the issuer", "the ID token has the issuer"}},
		{"reads another type", nil, func(t *tx.Token) { t.Type = tx.TypeJWT },
			[]string{"the token has the type", "the ID token has the type"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var i tokenexchangetest.Issuer
			issuer := issuerFunc(func(ctx context.Context, d tx.Decision) (tx.IssuedToken, error) {
				if tt.decide != nil {
					tt.decide(&d)
				}
				return i.IssueToken(ctx, d)
			})
			verify := func(ctx context.Context, c tx.Credential) (tx.Token, error) {
				tok, err := i.Verify(ctx, c)
				if tt.read != nil && err == nil {
					tt.read(&tok)
				}
				return tok, err
			}
			both := tx.Verifiers{tx.TypeAccessToken: verify, tx.TypeIDToken: verify}
			finds(t, tokenexchangetest.CheckRoundTrip(ctx, issuer, both, fullDecision()),
				tt.want...)
		})
	}
}

func TestCheckRoundTripFindsBadCalls(t *testing.T) {
	var i tokenexchangetest.Issuer
	discarding := func(discard func(context.Context) error) issuerFunc {
		return func(ctx context.Context, d tx.Decision) (tx.IssuedToken, error) {
			made, err := i.IssueToken(ctx, d)
			made.Discard = discard
			return made, err
		}
	}
	acceptAll := func(_ context.Context, c tx.Credential) (tx.Token, error) {
		return tx.Token{}, nil
	}
	withoutCode := func(ctx context.Context, c tx.Credential) (tx.Token, error) {
		t, err := i.Verify(ctx, c)
		if err != nil {
			err = errDown
		}
		return t, err
	}
	for _, tt := range []struct {
		name   string
		issuer tx.TokenIssuer
		verify func(context.Context, tx.Credential) (tx.Token, error)
		want   []string
	}{
		{"discards nothing", discarding(func(context.Context) error { return nil }), i.Verify,
			[]string{"the verifier accepted a discarded token"}},
		{"cannot discard", discarding(func(context.Context) error { return errDown }), i.Verify,
			[]string{"Discard failed: the database is down"}},
		{"panics in Discard", discarding(func(context.Context) error { panic("no") }), i.Verify,
			[]string{"Discard panicked: no"}},
		{"fails", issuerFunc(func(context.Context, tx.Decision) (tx.IssuedToken, error) {
			return tx.IssuedToken{}, errDown
		}), i.Verify,
			[]string{"IssueToken failed: the database is down"}},
		{"panics", issuerFunc(func(context.Context, tx.Decision) (tx.IssuedToken, error) {
			panic("no")
		}), i.Verify,
			[]string{"IssueToken panicked: no"}},
		{"refuses without a Code", &i, withoutCode,
			[]string{"verifying an expired token returned an error without a Code",
				"verifying a token that was never issued returned an error without a Code",
				"verifying a discarded token returned an error without a Code"}},
		{"a verifier that panics", &i, func(context.Context, tx.Credential) (tx.Token, error) {
			panic("no")
		}, []string{
			"verifying the token panicked", "verifying an expired token panicked",
			"verifying a token that was never issued panicked",
			"verifying a discarded token panicked"}},
		{"refuses everything", &i, func(context.Context, tx.Credential) (tx.Token, error) {
			return tx.Token{}, errNo
		}, []string{"the verifier refused the token: invalid_request"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			finds(t, tokenexchangetest.CheckRoundTrip(ctx, tt.issuer,
				tx.Verifiers{tx.TypeAccessToken: tt.verify}, decided()), tt.want...)
		})
	}
	err := tokenexchangetest.CheckRoundTrip(ctx, &i, tx.Verifiers{tx.TypeAccessToken: acceptAll},
		decided())
	assert.ErrorContains(t, err, "the verifier accepted an expired token")
	assert.ErrorContains(t, err, "the verifier accepted a token that was never issued")
}

func TestCheckRoundTripNeedsADecisionAndAVerifier(t *testing.T) {
	var i tokenexchangetest.Issuer
	noActor := decided()
	noActor.Actor = nil
	assert.ErrorContains(t, tokenexchangetest.CheckRoundTrip(ctx, &i, nil, noActor),
		"without its actor")
	assert.ErrorContains(t, tokenexchangetest.CheckRoundTrip(ctx, &i, nil, decided()),
		"needs a verifier for urn:ietf:")
}
