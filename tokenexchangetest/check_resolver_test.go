package tokenexchangetest_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

var (
	alicesToken = tx.Token{Type: tx.TypeAccessToken, Issuer: as, Subject: "alice", ClientID: "web",
		Audience: []string{orders}}
	userReports = tx.Token{Type: tx.TypeAccessToken, Kind: tx.KindUser, Issuer: as,
		Subject: "reports", ClientID: "reports"}
	ownOfReports = tx.Token{Type: tx.TypeAccessToken, Kind: tx.KindClient, Issuer: as,
		Subject: "reports", ClientID: "reports"}
)

func TestCheckResolverPasses(t *testing.T) {
	d := tokenexchangetest.NewDirectory(tx.Subject{Identity: alice},
		tx.Subject{Identity: ordersAPI},
		tx.Subject{Identity: tx.Identity{Issuer: as, Kind: tx.KindUser, ID: "reports"}},
		tx.Subject{Identity: tx.Identity{Issuer: as, Kind: tx.KindClient, ID: "reports"}})
	assert.NoError(t, tokenexchangetest.CheckResolver(ctx, d, alicesToken))
	assert.NoError(t, tokenexchangetest.CheckResolver(ctx, d, alicesToken, userReports,
		ownOfReports))
	assert.NoError(t, tokenexchangetest.CheckResolver(ctx, d, ownOfReports, userReports),
		"a party that no chain can name")
	assert.NoError(t, tokenexchangetest.CheckResolver(ctx, resolverFunc(resolve), alicesToken),
		"ignores its context")
}

// resolve is a correct resolver. It knows the user alice, and a user and a client named reports.
func resolve(_ context.Context, t tx.Token) (tx.Subject, error) {
	kind := t.Kind
	if t.Subject == "alice" {
		kind = tx.KindUser
	}
	if t.Issuer != as || t.Subject != "alice" && t.Subject != "reports" || kind == "" {
		return tx.Subject{}, errNo
	}
	return tx.Subject{Identity: tx.Identity{Issuer: as, Kind: kind, ID: t.Subject}}, nil
}

func TestCheckResolverFinds(t *testing.T) {
	var calls, busy atomic.Int64
	anyUser := func(_ context.Context, t tx.Token) (tx.Subject, error) {
		return tx.Subject{Identity: tx.Identity{Issuer: as, Kind: tx.KindUser, ID: t.Subject}}, nil
	}
	for _, tt := range []struct {
		name     string
		resolver resolverFunc
		want     []string
	}{
		{"knows every subject", anyUser, []string{"ResolveSubject accepted the zero Token",
			"ResolveSubject accepted an unknown subject",
			"ResolveSubject accepted a known subject of an unknown issuer",
			"ResolveSubject accepted an unknown subject in a concurrent call",
			"ResolveSubject accepted an unknown subject under a cancelled context",
			`ResolveSubject returned the user "reports" for two different parties (D19)`}},
		{"ignores the issuer", func(ctx context.Context, t tx.Token) (tx.Subject, error) {
			t.Issuer = as
			return resolve(ctx, t)
		}, []string{"ResolveSubject accepted a known subject of an unknown issuer"}},
		{"returns the zero Subject", func(ctx context.Context, t tx.Token) (tx.Subject, error) {
			_, err := resolve(ctx, t)
			return tx.Subject{}, err
		}, []string{"ResolveSubject for the known token returned an identity without issuer",
			"ResolveSubject for another token returned an identity",
			"ResolveSubject for the known token in a concurrent call returned an identity"}},
		{"returns an unknown kind", func(ctx context.Context, t tx.Token) (tx.Subject, error) {
			s, err := resolve(ctx, t)
			s.Kind = "person"
			return s, err
		}, []string{"returned an identity without issuer, kind or id (D07)"}},
		{"returns no id", func(ctx context.Context, t tx.Token) (tx.Subject, error) {
			s, err := resolve(ctx, t)
			s.ID = ""
			return s, err
		}, []string{"returned an identity without issuer, kind or id (D07)"}},
		{"returns no issuer", func(ctx context.Context, t tx.Token) (tx.Subject, error) {
			s, err := resolve(ctx, t)
			s.Issuer = ""
			return s, err
		}, []string{"returned an identity without issuer, kind or id (D07)"}},
		{"refuses without a Code", func(ctx context.Context, t tx.Token) (tx.Subject, error) {
			s, err := resolve(ctx, t)
			if err != nil {
				err = errDown
			}
			return s, err
		}, []string{"ResolveSubject for an unknown subject returned an error without a Code; " +
			"a refusal has one, such as InvalidRequest (I12): the database is down",
			"ResolveSubject for a known subject of an unknown issuer returned an error",
			"ResolveSubject for an unknown subject in a concurrent call returned an error"}},
		{"returns another kind the second time",
			func(ctx context.Context, t tx.Token) (tx.Subject, error) {
				s, err := resolve(ctx, t)
				if calls.Add(1) == 2 {
					s.Kind = tx.KindWorkload
				}
				return s, err
			},
			[]string{
				"ResolveSubject for the known token returned a different identity than before"}},
		{"returns another identity under load",
			func(ctx context.Context, t tx.Token) (tx.Subject, error) {
				s, err := resolve(ctx, t)
				if busy.Add(1) > 9 && err == nil {
					s.ID = "bob"
				}
				return s, err
			},
			[]string{
				"ResolveSubject for the known token in a concurrent call returned a different"}},
		{"confuses user and client", func(ctx context.Context, t tx.Token) (tx.Subject, error) {
			if t.ClientID == t.Subject && t.Subject != "" {
				t.Kind = tx.KindClient
			}
			return resolve(ctx, t)
		},
			[]string{
				`ResolveSubject returned the client "reports" for two different parties (D19)`}},
		{"derives the kind from the type",
			func(ctx context.Context, t tx.Token) (tx.Subject, error) {
				s, err := resolve(ctx, t)
				if t.Type == "" && err == nil {
					s.Kind = tx.KindClient
				}
				return s, err
			},
			[]string{"ResolveSubject for a carried actor returned another identity than before"}},
		{"needs a type", func(ctx context.Context, t tx.Token) (tx.Subject, error) {
			if t.Type == "" {
				return tx.Subject{}, errDown
			}
			return resolve(ctx, t)
		}, []string{"ResolveSubject for a carried actor, a token without Type, returned an error"}},
		{"needs an audience", func(ctx context.Context, t tx.Token) (tx.Subject, error) {
			if t.Subject != "" && t.Subject == alicesToken.Subject && t.Type != "" {
				_ = t.Audience[0]
			}
			if t.Subject == "" {
				panic("no subject")
			}
			return resolve(ctx, t)
		}, []string{"ResolveSubject for the zero Token panicked: no subject"}},
		{"refuses when its store is down",
			func(ctx context.Context, t tx.Token) (tx.Subject, error) {
				if ctx.Err() != nil {
					return tx.Subject{}, errNo
				}
				return resolve(ctx, t)
			}, []string{"ResolveSubject refused the known token under a cancelled context"}},
		{"knows every subject when its store is down",
			func(ctx context.Context, t tx.Token) (tx.Subject, error) {
				if ctx.Err() != nil {
					return anyUser(ctx, t)
				}
				return resolve(ctx, t)
			}, []string{"ResolveSubject accepted an unknown subject under a cancelled context"}},
		{"refuses every subject", func(context.Context, tx.Token) (tx.Subject, error) {
			return tx.Subject{}, errNo
		}, []string{
			"ResolveSubject refused the known token: invalid_request",
			"ResolveSubject refused another token",
			"ResolveSubject refused the known token in a concurrent call",
			"ResolveSubject refused the known token under a cancelled context"}},
		{"modifies the token", func(ctx context.Context, t tx.Token) (tx.Subject, error) {
			if len(t.Audience) > 0 {
				t.Audience[0] = "changed"
			}
			return resolve(ctx, t)
		}, []string{"modified its argument"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			finds(t, tokenexchangetest.CheckResolver(ctx, tt.resolver, alicesToken, userReports,
				ownOfReports), tt.want...)
		})
	}
}

func TestCheckResolverNeedsTokens(t *testing.T) {
	for _, tokens := range [][]tx.Token{{{}}, {alicesToken, {}}} {
		err := tokenexchangetest.CheckResolver(ctx, resolverFunc(resolve), tokens[0], tokens[1:]...)
		assert.ErrorContains(t, err, "needs tokens with an issuer and a subject")
	}
}
