package tokenexchangetest_test

import (
	"context"
	"crypto/rand"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

func TestCheckIssuerPasses(t *testing.T) {
	var i tokenexchangetest.Issuer
	all := decided()
	all.IDToken, all.RefreshToken, all.RefreshExpires = true, true, noon.Add(time.Hour)
	aboutClient := decided()
	aboutClient.Subject = billerAPI
	for _, d := range []tx.Decision{decided(), all, aboutClient} {
		assert.NoError(t, tokenexchangetest.CheckIssuer(ctx, &i, d))
	}
	assert.Zero(t, i.Len(), "every token was discarded")
	jwts := tokenexchangetest.NewMinter(as).JWTIssuer()
	assert.NoError(t, tokenexchangetest.CheckIssuer(ctx, jwts, decided()),
		"an issuer need not make refresh tokens")
	finds(t, tokenexchangetest.CheckIssuer(ctx, jwts, all),
		"IssueToken for the decision failed: a JWTIssuer makes no refresh tokens",
		"IssueToken for the decision in a concurrent call failed",
		"IssueToken for a decision with RefreshToken true and IDToken false failed")
}

// issue is a correct issuer.
func issue(ctx context.Context, d tx.Decision) (tx.IssuedToken, error) {
	if d.Mode == "" || ctx.Err() != nil {
		return tx.IssuedToken{}, errDown
	}
	t := tx.IssuedToken{Value: rand.Text(), ID: rand.Text(), Expires: d.Expires}
	if d.RefreshToken {
		t.RefreshToken, t.RefreshExpires = rand.Text(), d.RefreshExpires
	}
	if d.IDToken {
		t.IDToken = rand.Text()
	}
	return t, nil
}

// modified returns an issuer that modifies the tokens of a correct one.
func modified(modify func(*tx.IssuedToken)) issuerFunc {
	return func(ctx context.Context, d tx.Decision) (tx.IssuedToken, error) {
		t, err := issue(ctx, d)
		if err == nil {
			modify(&t)
		}
		return t, err
	}
}

func TestCheckIssuerFinds(t *testing.T) {
	assert.NoError(t, tokenexchangetest.CheckIssuer(ctx, issuerFunc(issue), decided()))
	var race atomic.Int64
	for _, tt := range []struct {
		name   string
		issuer issuerFunc
		want   []string
	}{
		{"issues a later expiry", modified(func(t *tx.IssuedToken) {
			t.Expires = t.Expires.Add(time.Second)
		}),
			[]string{"expires later than decided (I04)"}},
		{"has a fixed lifetime", modified(func(t *tx.IssuedToken) {
			t.Expires = noon.Add(5 * time.Minute)
		}),
			[]string{
				"IssueToken for a lifetime of one second made a token that expires later"}},
		{"issues for the zero Decision",
			func(_ context.Context, d tx.Decision) (tx.IssuedToken, error) {
				d.Mode = tx.Narrow
				return issue(ctx, d)
			}, []string{"IssueToken for the zero Decision made a token"}},
		{"panics for the zero Decision",
			func(_ context.Context, d tx.Decision) (tx.IssuedToken, error) {
				_ = d.Audience[0]
				return issue(ctx, d)
			},
			[]string{
				"IssueToken for the zero Decision panicked: runtime error: index out of range"}},
		{"adds a refresh token", modified(func(t *tx.IssuedToken) { t.RefreshToken = rand.Text() }),
			[]string{"made a refresh token that was not decided"}},
		{"issues a later expiry of the refresh token", modified(func(t *tx.IssuedToken) {
			if t.RefreshToken != "" {
				t.RefreshExpires = t.RefreshExpires.Add(time.Second)
			}
		}), []string{"made a refresh token that expires later than decided"}},
		{"omits the refresh token", modified(func(t *tx.IssuedToken) { t.RefreshToken = "" }),
			[]string{"made no refresh token"}},
		{"adds an ID token", modified(func(t *tx.IssuedToken) { t.IDToken = rand.Text() }),
			[]string{"made an ID token that was not decided"}},
		{"omits the ID token", modified(func(t *tx.IssuedToken) { t.IDToken = "" }),
			[]string{"made no ID token"}},
		{"issues an empty token", modified(func(t *tx.IssuedToken) { t.Value = "" }),
			[]string{"made an empty token"}},
		{"issues no ID", modified(func(t *tx.IssuedToken) { t.ID = "" }),
			[]string{"made a token without ID"}},
		{"repeats the token", modified(func(t *tx.IssuedToken) { t.Value = "always the same" }),
			[]string{"made the same token twice"}},
		{"repeats the ID", modified(func(t *tx.IssuedToken) { t.ID = "always the same" }),
			[]string{"made the same ID twice"}},
		{"repeats the ID under load", modified(func(t *tx.IssuedToken) {
			if race.Add(1) > 5 {
				t.ID = "the same"
			}
		}), []string{"IssueToken for the decision in a concurrent call made the same ID twice"}},
		{"issues its token as refresh token too", modified(func(t *tx.IssuedToken) {
			if t.RefreshToken != "" {
				t.RefreshToken = t.Value
			}
		}), []string{"made a refresh token that equals an earlier token"}},
		{"issues an ID that contains the token", modified(func(t *tx.IssuedToken) {
			t.ID = "id of " + t.Value
		}), []string{"made an ID that contains a token (I08)"}},
		{"issues an expired token", modified(func(t *tx.IssuedToken) { t.Expires = noon }),
			[]string{"made a token that has already expired"}},
		{"issues no expiry", modified(func(t *tx.IssuedToken) { t.Expires = time.Time{} }),
			[]string{"made a token that has already expired"}},
		{"cannot discard", modified(func(t *tx.IssuedToken) {
			t.Discard = func(context.Context) error { return errDown }
		}),
			[]string{"Discard failed: the database is down"}},
		{"panics in Discard", modified(func(t *tx.IssuedToken) {
			t.Discard = func(context.Context) error { panic("no record") }
		}),
			[]string{"Discard panicked: no record"}},
		{"sorts the audience", func(ctx context.Context, d tx.Decision) (tx.IssuedToken, error) {
			slices.Sort(d.Audience)
			return issue(ctx, d)
		}, []string{"modified its argument"}},
		{"fails", func(context.Context, tx.Decision) (tx.IssuedToken, error) {
			return tx.IssuedToken{}, errDown
		}, []string{"IssueToken for the decision failed: the database is down",
			"IssueToken for the decision in a concurrent call failed"}},
		{"refuses when it is cancelled",
			func(ctx context.Context, d tx.Decision) (tx.IssuedToken, error) {
				if ctx.Err() != nil {
					return tx.IssuedToken{}, errNo
				}
				return issue(ctx, d)
			}, []string{"IssueToken refused the decision under a cancelled context"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			finds(t, tokenexchangetest.CheckIssuer(ctx, tt.issuer, decided()), tt.want...)
		})
	}
}

// CheckIssuer asks only for variants of a decision that a policy can make.
func TestCheckIssuerAsksForWhatAPolicyMayDecide(t *testing.T) {
	inspect := func(ctx context.Context, got tx.Decision) (tx.IssuedToken, error) {
		if got.Mode != "" {
			user := got.Subject.Kind == tx.KindUser && got.Type != tx.TypeIDToken
			assert.True(t, user || !got.RefreshToken && !got.IDToken, "D23")
			assert.Equal(t, got.RefreshToken, !got.RefreshExpires.IsZero())
		}
		return issue(ctx, got)
	}
	aboutClient, idToken := decided(), decided()
	aboutClient.Subject, idToken.Type = billerAPI, tx.TypeIDToken
	for _, d := range []tx.Decision{decided(), aboutClient, idToken} {
		assert.NoError(t, tokenexchangetest.CheckIssuer(ctx, issuerFunc(inspect), d))
	}
}

func TestCheckIssuerNeedsADecision(t *testing.T) {
	assert.ErrorContains(t, tokenexchangetest.CheckIssuer(ctx, issuerFunc(issue), tx.Decision{}),
		"without mode")
}
