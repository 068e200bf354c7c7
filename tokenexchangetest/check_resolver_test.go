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
	alicesToken  = tx.Token{Type: tx.TypeAccessToken, Issuer: as, Subject: "alice", ClientID: "web", Audience: []string{orders}}
	userReports  = tx.Token{Type: tx.TypeAccessToken, Kind: tx.KindUser, Issuer: as, Subject: "reports", ClientID: "reports"}
	ownOfReports = tx.Token{Type: tx.TypeAccessToken, Kind: tx.KindClient, Issuer: as, Subject: "reports", ClientID: "reports"}
)

func TestCheckResolverPasses(t *testing.T) {
	d := tokenexchangetest.NewDirectory(tx.Subject{Identity: alice}, tx.Subject{Identity: ordersAPI},
		tx.Subject{Identity: tx.Identity{Issuer: as, Kind: tx.KindUser, ID: "reports"}},
		tx.Subject{Identity: tx.Identity{Issuer: as, Kind: tx.KindClient, ID: "reports"}})
	assert.NoError(t, tokenexchangetest.CheckResolver(ctx, d, alicesToken))
	assert.NoError(t, tokenexchangetest.CheckResolver(ctx, d, alicesToken, userReports, ownOfReports))
	assert.NoError(t, tokenexchangetest.CheckResolver(ctx, d, ownOfReports, userReports), "whom a chain cannot name")
	assert.NoError(t, tokenexchangetest.CheckResolver(ctx, resolverFunc(knowing), alicesToken), "one that never looks at its context")
}

// knowing is a resolver without fault that knows alice, and reports in both kinds.
func knowing(_ context.Context, t tx.Token) (tx.Subject, error) {
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
	everybody := func(_ context.Context, t tx.Token) (tx.Subject, error) {
		return tx.Subject{Identity: tx.Identity{Issuer: as, Kind: tx.KindUser, ID: t.Subject}}, nil
	}
	for _, tt := range []struct {
		name     string
		resolver resolverFunc
		want     []string
	}{
		{"answers for everybody", everybody, []string{"ResolveSubject for the zero Token found somebody",
			"ResolveSubject for an unknown subject found somebody", "ResolveSubject for a known subject of an unknown issuer found somebody",
			"ResolveSubject for an unknown subject, concurrently, found somebody", "under a cancelled context found somebody unknown",
			"ResolveSubject took two parties for one: both are the user \"reports\" (D19)"}},
		{"ignores the issuer", func(ctx context.Context, t tx.Token) (tx.Subject, error) {
			t.Issuer = as
			return knowing(ctx, t)
		}, []string{"ResolveSubject for a known subject of an unknown issuer found somebody"}},
		{"answers with nobody", func(ctx context.Context, t tx.Token) (tx.Subject, error) {
			_, err := knowing(ctx, t)
			return tx.Subject{}, err
		}, []string{"ResolveSubject for the known token answered with an identity without issuer, kind or id (D07)",
			"ResolveSubject for another token answered with an identity", "ResolveSubject for the known token, concurrently, answered with an identity"}},
		{"a kind that does not exist", func(ctx context.Context, t tx.Token) (tx.Subject, error) {
			s, err := knowing(ctx, t)
			s.Kind = "person"
			return s, err
		}, []string{"answered with an identity without issuer, kind or id (D07)"}},
		{"no id", func(ctx context.Context, t tx.Token) (tx.Subject, error) {
			s, err := knowing(ctx, t)
			s.ID = ""
			return s, err
		}, []string{"answered with an identity without issuer, kind or id (D07)"}},
		{"no issuer", func(ctx context.Context, t tx.Token) (tx.Subject, error) {
			s, err := knowing(ctx, t)
			s.Issuer = ""
			return s, err
		}, []string{"answered with an identity without issuer, kind or id (D07)"}},
		{"a no without a Code", func(ctx context.Context, t tx.Token) (tx.Subject, error) {
			s, err := knowing(ctx, t)
			if err != nil {
				err = errDown
			}
			return s, err
		}, []string{"ResolveSubject for an unknown subject failed; a no carries a Code, such as InvalidRequest (I12): the database is down",
			"ResolveSubject for a known subject of an unknown issuer failed", "ResolveSubject for an unknown subject, concurrently, failed"}},
		{"changes its mind", func(ctx context.Context, t tx.Token) (tx.Subject, error) {
			s, err := knowing(ctx, t)
			if calls.Add(1) == 2 {
				s.Kind = tx.KindWorkload
			}
			return s, err
		}, []string{"ResolveSubject for the known token gave two different answers"}},
		{"changes its mind when busy", func(ctx context.Context, t tx.Token) (tx.Subject, error) {
			s, err := knowing(ctx, t)
			if busy.Add(1) > 9 && err == nil {
				s.ID = "somebody else"
			}
			return s, err
		}, []string{"ResolveSubject for the known token, concurrently, gave two different answers"}},
		{"confuses user and client", func(ctx context.Context, t tx.Token) (tx.Subject, error) {
			if t.ClientID == t.Subject && t.Subject != "" {
				t.Kind = tx.KindClient
			}
			return knowing(ctx, t)
		}, []string{"ResolveSubject took two parties for one: both are the client \"reports\" (D19)"}},
		{"decides by type", func(ctx context.Context, t tx.Token) (tx.Subject, error) {
			s, err := knowing(ctx, t)
			if t.Type == "" && err == nil {
				s.Kind = tx.KindClient
			}
			return s, err
		}, []string{"ResolveSubject for a carried actor found somebody else than for the token"}},
		{"needs a type", func(ctx context.Context, t tx.Token) (tx.Subject, error) {
			if t.Type == "" {
				return tx.Subject{}, errDown
			}
			return knowing(ctx, t)
		}, []string{"ResolveSubject for a carried actor, a token without Type, failed"}},
		{"needs an audience", func(ctx context.Context, t tx.Token) (tx.Subject, error) {
			if t.Subject != "" && t.Subject == alicesToken.Subject && t.Type != "" {
				_ = t.Audience[0]
			}
			if t.Subject == "" {
				panic("no subject")
			}
			return knowing(ctx, t)
		}, []string{"ResolveSubject for the zero Token panicked: no subject"}},
		{"a dead store is a no", func(ctx context.Context, t tx.Token) (tx.Subject, error) {
			if ctx.Err() != nil {
				return tx.Subject{}, errNo
			}
			return knowing(ctx, t)
		}, []string{"ResolveSubject under a cancelled context refused"}},
		{"a dead store knows everybody", func(ctx context.Context, t tx.Token) (tx.Subject, error) {
			if ctx.Err() != nil {
				return everybody(ctx, t)
			}
			return knowing(ctx, t)
		}, []string{"ResolveSubject under a cancelled context found somebody unknown"}},
		{"knows nobody", func(context.Context, tx.Token) (tx.Subject, error) { return tx.Subject{}, errNo }, []string{
			"ResolveSubject for the known token refused: invalid_request", "ResolveSubject for another token refused",
			"ResolveSubject for the known token, concurrently, refused", "ResolveSubject under a cancelled context refused"}},
		{"changes the token", func(ctx context.Context, t tx.Token) (tx.Subject, error) {
			if len(t.Audience) > 0 {
				t.Audience[0] = "changed"
			}
			return knowing(ctx, t)
		}, []string{"changed the token that it was given"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			finds(t, tokenexchangetest.CheckResolver(ctx, tt.resolver, alicesToken, userReports, ownOfReports), tt.want...)
		})
	}
}

func TestCheckResolverNeedsTokens(t *testing.T) {
	for _, tokens := range [][]tx.Token{{{}}, {alicesToken, {}}} {
		err := tokenexchangetest.CheckResolver(ctx, resolverFunc(knowing), tokens[0], tokens[1:]...)
		assert.ErrorContains(t, err, "needs tokens with an issuer and a subject")
	}
}
