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
	assert.Zero(t, i.Len(), "all that was made was discarded")
	jwts := tokenexchangetest.NewMinter(as).JWTIssuer()
	assert.NoError(t, tokenexchangetest.CheckIssuer(ctx, jwts, decided()), "refresh tokens it need not make")
	finds(t, tokenexchangetest.CheckIssuer(ctx, jwts, all), "IssueToken for the decision failed: a JWTIssuer makes no refresh tokens",
		"IssueToken for the decision, concurrently, failed", "IssueToken for a decision with RefreshToken true and IDToken false failed")
}

// good is an issuer without fault, for others to spoil.
func good(ctx context.Context, d tx.Decision) (tx.IssuedToken, error) {
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

// spoilt changes what a good issuer made.
func spoilt(spoil func(*tx.IssuedToken)) issuerFunc {
	return func(ctx context.Context, d tx.Decision) (tx.IssuedToken, error) {
		t, err := good(ctx, d)
		if err == nil {
			spoil(&t)
		}
		return t, err
	}
}

func TestCheckIssuerFinds(t *testing.T) {
	assert.NoError(t, tokenexchangetest.CheckIssuer(ctx, issuerFunc(good), decided()))
	var race atomic.Int64
	for _, tt := range []struct {
		name   string
		issuer issuerFunc
		want   []string
	}{
		{"outlives the decision", spoilt(func(t *tx.IssuedToken) { t.Expires = t.Expires.Add(time.Second) }),
			[]string{"lives longer than was decided (I04)"}},
		{"has a lifetime of its own", spoilt(func(t *tx.IssuedToken) { t.Expires = noon.Add(5 * time.Minute) }),
			[]string{"IssueToken for a second made a token that lives longer than was decided (I04)"}},
		{"mints for the zero Decision", func(_ context.Context, d tx.Decision) (tx.IssuedToken, error) {
			d.Mode = tx.Narrow
			return good(ctx, d)
		}, []string{"IssueToken for the zero Decision made a token"}},
		{"panics for the zero Decision", func(_ context.Context, d tx.Decision) (tx.IssuedToken, error) {
			_ = d.Audience[0]
			return good(ctx, d)
		}, []string{"IssueToken for the zero Decision panicked: runtime error: index out of range"}},
		{"adds a refresh token", spoilt(func(t *tx.IssuedToken) { t.RefreshToken = rand.Text() }),
			[]string{"made a refresh token that was not decided"}},
		{"outlives by the refresh token", spoilt(func(t *tx.IssuedToken) {
			if t.RefreshToken != "" {
				t.RefreshExpires = t.RefreshExpires.Add(time.Second)
			}
		}), []string{"made a refresh token that outlives the decision"}},
		{"leaves the refresh token out", spoilt(func(t *tx.IssuedToken) { t.RefreshToken = "" }), []string{"left out the refresh token"}},
		{"adds an ID token", spoilt(func(t *tx.IssuedToken) { t.IDToken = rand.Text() }), []string{"made an ID token that was not decided"}},
		{"leaves the ID token out", spoilt(func(t *tx.IssuedToken) { t.IDToken = "" }), []string{"left out the ID token"}},
		{"is empty", spoilt(func(t *tx.IssuedToken) { t.Value = "" }), []string{"made an empty token"}},
		{"has no ID", spoilt(func(t *tx.IssuedToken) { t.ID = "" }), []string{"made a token without ID"}},
		{"repeats the token", spoilt(func(t *tx.IssuedToken) { t.Value = "always the same" }), []string{"made a token twice"}},
		{"repeats the ID", spoilt(func(t *tx.IssuedToken) { t.ID = "always the same" }), []string{"made an ID twice"}},
		{"repeats the ID when busy", spoilt(func(t *tx.IssuedToken) {
			if race.Add(1) > 5 {
				t.ID = "the same"
			}
		}), []string{"IssueToken for the decision, concurrently, made an ID twice"}},
		{"gives one token twice", spoilt(func(t *tx.IssuedToken) {
			if t.RefreshToken != "" {
				t.RefreshToken = t.Value
			}
		}), []string{"or the token itself once more"}},
		{"shows the token in the ID", spoilt(func(t *tx.IssuedToken) { t.ID = "id of " + t.Value }), []string{"made an ID that contains a token (I08)"}},
		{"has expired", spoilt(func(t *tx.IssuedToken) { t.Expires = noon }), []string{"made a token that has expired already"}},
		{"never says when it expires", spoilt(func(t *tx.IssuedToken) { t.Expires = time.Time{} }),
			[]string{"made a token that has expired already"}},
		{"cannot discard", spoilt(func(t *tx.IssuedToken) { t.Discard = func(context.Context) error { return errDown } }),
			[]string{"Discard failed: the database is down"}},
		{"panics at discarding", spoilt(func(t *tx.IssuedToken) { t.Discard = func(context.Context) error { panic("no record") } }),
			[]string{"Discard panicked: no record"}},
		{"sorts the audience", func(ctx context.Context, d tx.Decision) (tx.IssuedToken, error) {
			slices.Sort(d.Audience)
			return good(ctx, d)
		}, []string{"changed the decision that it was given"}},
		{"fails", func(context.Context, tx.Decision) (tx.IssuedToken, error) { return tx.IssuedToken{}, errDown },
			[]string{"IssueToken for the decision failed: the database is down", "IssueToken for the decision, concurrently, failed"}},
		{"blames the client when it was cancelled", func(ctx context.Context, d tx.Decision) (tx.IssuedToken, error) {
			if ctx.Err() != nil {
				return tx.IssuedToken{}, errNo
			}
			return good(ctx, d)
		}, []string{"IssueToken under a cancelled context refused"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			finds(t, tokenexchangetest.CheckIssuer(ctx, tt.issuer, decided()), tt.want...)
		})
	}
}

func TestCheckIssuerAsksForWhatAPolicyMayDecide(t *testing.T) {
	about := func(d tx.Decision) issuerFunc {
		return func(ctx context.Context, got tx.Decision) (tx.IssuedToken, error) {
			if got.Mode != "" {
				user := got.Subject.Kind == tx.KindUser && got.Type != tx.TypeIDToken
				assert.True(t, user || !got.RefreshToken && !got.IDToken, "D23")
				assert.Equal(t, got.RefreshToken, !got.RefreshExpires.IsZero())
			}
			return good(ctx, got)
		}
	}
	aboutClient, idToken := decided(), decided()
	aboutClient.Subject, idToken.Type = billerAPI, tx.TypeIDToken
	for _, d := range []tx.Decision{decided(), aboutClient, idToken} {
		assert.NoError(t, tokenexchangetest.CheckIssuer(ctx, about(d), d))
	}
}

func TestCheckIssuerNeedsADecision(t *testing.T) {
	assert.ErrorContains(t, tokenexchangetest.CheckIssuer(ctx, issuerFunc(good), tx.Decision{}), "without mode")
}
