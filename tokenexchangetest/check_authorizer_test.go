package tokenexchangetest_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

// agreed are facts to which the authorizer of newWorld says yes, as an exchange has them.
func agreed(t *testing.T) tx.Facts {
	w := newWorld(t)
	_, err := w.Exchange(ctx, ordersHost, form(w.login(), w.of("orders-api"), billing, "read"))
	require.NoError(t, err)
	f := w.allow.Asked()[0]
	f.Actor.Privileges = []string{"impersonate"}
	return f
}

func TestCheckAuthorizerPasses(t *testing.T) {
	pairs := []tokenexchangetest.Pair{{Actor: ordersAPI, Subject: alice}}
	f := agreed(t)
	withoutActor := f
	withoutActor.Actor = nil
	assert.NoError(t, tokenexchangetest.CheckAuthorizer(ctx, &tokenexchangetest.Authorizer{Pairs: pairs}, f))
	assert.NoError(t, tokenexchangetest.CheckAuthorizer(ctx, &tokenexchangetest.Authorizer{Pairs: pairs}, withoutActor))
	assert.NoError(t, tokenexchangetest.CheckAuthorizer(ctx, authorizerFunc(fair), f), "one that never looks at its context")

	sameTenant := func(_ context.Context, f tx.Facts) error {
		if f.Actor != nil && slices.Contains(f.Actor.Privileges, "impersonate") && f.Actor.Tenant == f.Subject.Tenant {
			return nil
		}
		return errNo
	}
	assert.NoError(t, tokenexchangetest.CheckAuthorizer(ctx, authorizerFunc(sameTenant), f), "a role within a tenant")
	mayAct := func(_ context.Context, f tx.Facts) error {
		if m := f.Subject.Token.MayAct; m != nil && f.Actor != nil && m.Subject == f.Actor.ID {
			return nil
		}
		return errNo
	}
	f.Subject.Token.MayAct = &tx.Actor{Subject: "orders-api"}
	assert.NoError(t, tokenexchangetest.CheckAuthorizer(ctx, authorizerFunc(mayAct), f), "the word of the token")
}

// fair is an authorizer without fault: orders-api may act for alice.
func fair(_ context.Context, f tx.Facts) error {
	if f.Actor != nil && f.Actor.Identity == ordersAPI && f.Subject.Identity == alice {
		return nil
	}
	return errNo
}

func TestCheckAuthorizerFinds(t *testing.T) {
	var busy atomic.Int64
	for _, tt := range []struct {
		name       string
		authorizer authorizerFunc
		want       []string
	}{
		{"always yes", func(context.Context, tx.Facts) error { return nil }, []string{
			"AuthorizeActor for the zero Facts said yes", "AuthorizeActor for an unknown acting party said yes",
			"AuthorizeActor for an unknown subject said yes", "AuthorizeActor for an unknown acting party, concurrently, said yes",
			"AuthorizeActor under a cancelled context said yes"}},
		{"always no", func(context.Context, tx.Facts) error { return errNo }, []string{
			"AuthorizeActor for the given facts said no: invalid_request", "AuthorizeActor for the given facts, concurrently, said no",
			"under a cancelled context said no"}},
		{"yes to nothing", func(ctx context.Context, f tx.Facts) error {
			if f.Subject.ID == "" {
				return nil
			}
			return fair(ctx, f)
		}, []string{"AuthorizeActor for the zero Facts said yes"}},
		{"yes to any actor", func(_ context.Context, f tx.Facts) error {
			if f.Subject.Identity == alice {
				return nil
			}
			return errNo
		}, []string{"AuthorizeActor for an unknown acting party said yes", "AuthorizeActor for an unknown acting party, concurrently, said yes",
			"under a cancelled context said yes"}},
		{"yes for any subject", func(_ context.Context, f tx.Facts) error {
			if f.Actor != nil && f.Actor.Identity == ordersAPI {
				return nil
			}
			return errNo
		}, []string{"AuthorizeActor for an unknown subject said yes"}},
		{"needs an actor", func(ctx context.Context, f tx.Facts) error {
			if f.Actor.ID == "" {
				return errNo
			}
			return fair(ctx, f)
		}, []string{"AuthorizeActor for facts without Actor panicked: runtime error: invalid memory address",
			"AuthorizeActor for the zero Facts panicked"}},
		{"a no without a Code", func(ctx context.Context, f tx.Facts) error {
			if fair(ctx, f) != nil {
				return errDown
			}
			return nil
		}, []string{"AuthorizeActor for an unknown acting party failed; a no carries a Code, such as InvalidRequest (I12)",
			"AuthorizeActor for an unknown subject failed", "AuthorizeActor for facts without Actor failed"}},
		{"a dead store is a no", func(ctx context.Context, f tx.Facts) error {
			if ctx.Err() != nil {
				return errNo
			}
			return fair(ctx, f)
		}, []string{"AuthorizeActor under a cancelled context said no"}},
		{"a dead store is a yes", func(ctx context.Context, f tx.Facts) error {
			if ctx.Err() != nil {
				return nil
			}
			return fair(ctx, f)
		}, []string{"AuthorizeActor under a cancelled context said yes"}},
		{"a yes that goes to another", func(ctx context.Context, f tx.Facts) error {
			if busy.Add(1) == 8 && fair(ctx, f) != nil || busy.Load() > 8 {
				return nil
			}
			return fair(ctx, f)
		}, []string{"AuthorizeActor for an unknown acting party, concurrently, said yes", "under a cancelled context said yes"}},
		{"a role in every tenant", func(_ context.Context, f tx.Facts) error {
			if f.Actor != nil && slices.Contains(f.Actor.Privileges, "impersonate") {
				return nil
			}
			return errNo
		}, []string{"AuthorizeActor for an unknown subject said yes"}},
		{"changes the facts", func(ctx context.Context, f tx.Facts) error {
			if len(f.Subject.Token.Audience) > 0 {
				f.Subject.Token.Audience[0] = "changed"
			}
			return fair(ctx, f)
		}, []string{"changed the facts that it was given"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			finds(t, tokenexchangetest.CheckAuthorizer(ctx, tt.authorizer, agreed(t)), tt.want...)
		})
	}
}

// Where the client is the acting party, it is the client that is replaced.
func TestCheckAuthorizerFindsAnyClient(t *testing.T) {
	f := agreed(t)
	f.Actor = nil
	any := func(_ context.Context, f tx.Facts) error {
		if f.Subject.Identity == alice {
			return nil
		}
		return errNo
	}
	err := tokenexchangetest.CheckAuthorizer(ctx, authorizerFunc(any), f)
	assert.ErrorContains(t, err, "AuthorizeActor for an unknown acting party said yes")
}

func TestCheckAuthorizerNeedsFacts(t *testing.T) {
	assert.ErrorContains(t, tokenexchangetest.CheckAuthorizer(ctx, authorizerFunc(fair), tx.Facts{}), "needs facts with a subject")
}
