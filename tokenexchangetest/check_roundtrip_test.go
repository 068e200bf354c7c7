package tokenexchangetest_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

// everything is a decision of which nothing may be forgotten.
func everything() tx.Decision {
	d := decided()
	d.Actor.Prior = &tx.Actor{Issuer: "https://idp.example", Subject: "bob"}
	d.Confirmation = tx.Confirmation{JKT: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}
	d.IDToken = true
	d.Facts.Subject.Token = tx.Token{AuthTime: noon.Add(-time.Hour), ACR: "2", AMR: []string{"pwd", "otp"}}
	return d
}

func TestCheckRoundTripPasses(t *testing.T) {
	var opaque tokenexchangetest.Issuer
	both := tx.Verifiers{tx.TypeAccessToken: opaque.Verify, tx.TypeIDToken: opaque.Verify, tx.TypeJWT: opaque.Verify}
	assert.NoError(t, tokenexchangetest.CheckRoundTrip(ctx, &opaque, both, everything()))
	assert.Zero(t, opaque.Len())

	m := tokenexchangetest.NewMinter(as)
	v := verifier(t, m.Trust())
	jwts := tx.Verifiers{tx.TypeAccessToken: v.Verify, tx.TypeIDToken: v.Verify, tx.TypeJWT: v.Verify}
	for _, typ := range []tx.TokenType{tx.TypeAccessToken, tx.TypeJWT, tx.TypeIDToken} {
		d := everything()
		if d.Type = typ; typ == tx.TypeIDToken {
			d.IDToken, d.Scope, d.Audience = false, nil, []string{d.Client}
		}
		assert.NoError(t, tokenexchangetest.CheckRoundTrip(ctx, m.JWTIssuer(), jwts, d), typ)
		turned := m.JWTIssuer()
		turned.ActAs = true
		assert.NoError(t, tokenexchangetest.CheckRoundTrip(ctx, turned, jwts, d), "D18: the other claim shape, %s", typ)
	}
}

// An actor without iss has that of the token.
func TestCheckRoundTripReadsChainsAsTheyAre(t *testing.T) {
	var i tokenexchangetest.Issuer
	verify := func(ctx context.Context, c tx.Credential) (tx.Token, error) {
		tok, err := i.Verify(ctx, c)
		if err == nil {
			tok.Actor.Issuer = ""
		}
		return tok, err
	}
	assert.NoError(t, tokenexchangetest.CheckRoundTrip(ctx, &i, tx.Verifiers{tx.TypeAccessToken: verify}, everything()))
}

func TestCheckRoundTripFinds(t *testing.T) {
	for _, tt := range []struct {
		name   string
		decide func(*tx.Decision) // what the issuer makes of the decision
		read   func(*tx.Token)    // what the verifier makes of the token
		want   []string
	}{
		{"forgets the actor", func(d *tx.Decision) { d.Mode, d.Actor = tx.Impersonate, nil }, nil,
			[]string{"the token says another chain of actors than was decided: [], not [", "the ID token says another chain"}},
		{"cuts the chain", func(d *tx.Decision) { d.Actor.Prior = nil }, nil,
			[]string{"the token says another chain of actors", "the ID token says another chain"}},
		{"takes the actor for the subject", func(d *tx.Decision) { d.Subject.ID = d.Actor.Subject }, nil,
			[]string{`the token says another subject than was decided: "orders-api", not "alice"`, "the ID token says another subject"}},
		{"drops an audience", func(d *tx.Decision) { d.Audience = d.Audience[:1] }, nil, []string{"the token says another audience"}},
		{"adds a scope", func(d *tx.Decision) { d.Scope = append(d.Scope, "admin") }, nil, []string{"the token says another scope"}},
		{"forgets the key", func(d *tx.Decision) { d.Confirmation = tx.Confirmation{} }, nil,
			[]string{"the token says another confirmation", "the ID token says another confirmation"}},
		{"lives on", func(d *tx.Decision) { d.Expires = d.Expires.Add(time.Hour) }, nil,
			[]string{"the token says another expiry", "the ID token says another expiry", "verifying an expired token: it is accepted"}},
		{"names another client", func(d *tx.Decision) { d.Client = "web" }, nil,
			[]string{"the token says another client", "the ID token says another client", "the ID token says another audience"}},
		{"renews the login", func(d *tx.Decision) { d.Facts.Subject.Token.AuthTime = d.Issued }, nil,
			[]string{"the ID token says another login time (D27)"}},
		{"strengthens the login", func(d *tx.Decision) { d.Facts.Subject.Token.ACR = "3" }, nil, []string{"the ID token says another acr (D27)"}},
		{"forgets how", func(d *tx.Decision) { d.Facts.Subject.Token.AMR = nil }, nil, []string{"the ID token says another amr (D27)"}},
		{"loses the ID", nil, func(t *tx.Token) { t.ID = "" }, []string{"the token has no ID (D29)"}},
		{"says another issuer", nil, func(t *tx.Token) { t.Issuer = "https://other.example" },
			[]string{"the token says another issuer", "the ID token says another issuer"}},
		{"says another type", nil, func(t *tx.Token) { t.Type = tx.TypeJWT }, []string{"the token says another type", "the ID token says another type"}},
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
			finds(t, tokenexchangetest.CheckRoundTrip(ctx, issuer, both, everything()), tt.want...)
		})
	}
}

func TestCheckRoundTripFindsBadEnds(t *testing.T) {
	var i tokenexchangetest.Issuer
	undone := func(undo func(context.Context) error) issuerFunc {
		return func(ctx context.Context, d tx.Decision) (tx.IssuedToken, error) {
			made, err := i.IssueToken(ctx, d)
			made.Discard = undo
			return made, err
		}
	}
	trusting := func(_ context.Context, c tx.Credential) (tx.Token, error) { return tx.Token{}, nil }
	uncoded := func(ctx context.Context, c tx.Credential) (tx.Token, error) {
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
		{"discards nothing", undone(func(context.Context) error { return nil }), i.Verify, []string{"verifying a discarded token: it is accepted"}},
		{"cannot discard", undone(func(context.Context) error { return errDown }), i.Verify, []string{"Discard failed: the database is down"}},
		{"panics at discarding", undone(func(context.Context) error { panic("no") }), i.Verify, []string{"Discard panicked: no"}},
		{"fails", issuerFunc(func(context.Context, tx.Decision) (tx.IssuedToken, error) { return tx.IssuedToken{}, errDown }), i.Verify,
			[]string{"IssueToken failed: the database is down"}},
		{"panics", issuerFunc(func(context.Context, tx.Decision) (tx.IssuedToken, error) { panic("no") }), i.Verify,
			[]string{"IssueToken panicked: no"}},
		{"a no without a Code", &i, uncoded, []string{"verifying an expired token failed; a no carries a Code",
			"verifying a token that nobody has issued failed", "verifying a discarded token failed"}},
		{"a verifier that panics", &i, func(context.Context, tx.Credential) (tx.Token, error) { panic("no") }, []string{
			"verifying the token panicked", "verifying an expired token panicked", "verifying a token that nobody has issued panicked",
			"verifying a discarded token panicked"}},
		{"refuses everything", &i, func(context.Context, tx.Credential) (tx.Token, error) { return tx.Token{}, errNo },
			[]string{"verifying the token: it is refused: invalid_request"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			finds(t, tokenexchangetest.CheckRoundTrip(ctx, tt.issuer, tx.Verifiers{tx.TypeAccessToken: tt.verify}, decided()), tt.want...)
		})
	}
	err := tokenexchangetest.CheckRoundTrip(ctx, &i, tx.Verifiers{tx.TypeAccessToken: trusting}, decided())
	assert.ErrorContains(t, err, "verifying an expired token: it is accepted")
	assert.ErrorContains(t, err, "verifying a token that nobody has issued: it is accepted")
}

func TestCheckRoundTripNeedsADecisionAndAVerifier(t *testing.T) {
	var i tokenexchangetest.Issuer
	noActor := decided()
	noActor.Actor = nil
	assert.ErrorContains(t, tokenexchangetest.CheckRoundTrip(ctx, &i, nil, noActor), "without its actor")
	assert.ErrorContains(t, tokenexchangetest.CheckRoundTrip(ctx, &i, nil, decided()), "needs a verifier for urn:ietf:")
}
