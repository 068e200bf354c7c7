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

// allowedFacts returns the facts of an exchange that the authorizer of newWorld allows.
func allowedFacts(t *testing.T) tx.Facts {
	w := newWorld(t)
	_, err := w.Exchange(ctx, ordersHost, form(w.login(), w.clientToken("orders-api"), billing,
		"read"))
	require.NoError(t, err)
	f := w.authorizer.Asked()[0]
	f.Actor.Privileges = []string{"impersonate"}
	return f
}

func TestCheckAuthorizerPasses(t *testing.T) {
	pairs := []tokenexchangetest.Pair{{Actor: ordersAPI, Subject: alice}}
	f := allowedFacts(t)
	withoutActor := f
	withoutActor.Actor = nil
	assert.NoError(t, tokenexchangetest.CheckAuthorizer(ctx,
		&tokenexchangetest.Authorizer{Pairs: pairs}, f))
	assert.NoError(t, tokenexchangetest.CheckAuthorizer(ctx,
		&tokenexchangetest.Authorizer{Pairs: pairs}, withoutActor))
	assert.NoError(t, tokenexchangetest.CheckAuthorizer(ctx, authorizerFunc(allowOrdersAPI), f),
		"ignores its context")

	sameTenant := func(_ context.Context, f tx.Facts) error {
		if f.Actor != nil && slices.Contains(f.Actor.Privileges, "impersonate") &&
			f.Actor.Tenant == f.Subject.Tenant {
			return nil
		}
		return errNo
	}
	assert.NoError(t, tokenexchangetest.CheckAuthorizer(ctx, authorizerFunc(sameTenant), f),
		"a privilege within a tenant")
	mayAct := func(_ context.Context, f tx.Facts) error {
		if m := f.Subject.Token.MayAct; m != nil && f.Actor != nil && m.Subject == f.Actor.ID {
			return nil
		}
		return errNo
	}
	f.Subject.Token.MayAct = &tx.Actor{Subject: "orders-api"}
	assert.NoError(t, tokenexchangetest.CheckAuthorizer(ctx, authorizerFunc(mayAct), f),
		"may_act in the token")
}

// allowOrdersAPI is a correct authorizer: it lets orders-api act for alice.
func allowOrdersAPI(_ context.Context, f tx.Facts) error {
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
		{"allows everything", func(context.Context, tx.Facts) error { return nil }, []string{
			"AuthorizeActor allowed the zero Facts", "AuthorizeActor allowed an unknown actor",
			"AuthorizeActor allowed an unknown subject",
			"AuthorizeActor allowed an unknown actor in a concurrent call",
			"AuthorizeActor allowed an unknown actor under a cancelled context"}},
		{"refuses everything", func(context.Context, tx.Facts) error { return errNo }, []string{
			"AuthorizeActor refused the given facts: invalid_request",
			"AuthorizeActor refused the given facts in a concurrent call",
			"AuthorizeActor refused the given facts under a cancelled context"}},
		{"allows an empty subject", func(ctx context.Context, f tx.Facts) error {
			if f.Subject.ID == "" {
				return nil
			}
			return allowOrdersAPI(ctx, f)
		}, []string{"AuthorizeActor allowed the zero Facts"}},
		{"allows any actor", func(_ context.Context, f tx.Facts) error {
			if f.Subject.Identity == alice {
				return nil
			}
			return errNo
		}, []string{"AuthorizeActor allowed an unknown actor",
			"AuthorizeActor allowed an unknown actor in a concurrent call",
			"AuthorizeActor allowed an unknown actor under a cancelled context"}},
		{"allows any subject", func(_ context.Context, f tx.Facts) error {
			if f.Actor != nil && f.Actor.Identity == ordersAPI {
				return nil
			}
			return errNo
		}, []string{"AuthorizeActor allowed an unknown subject"}},
		{"needs an actor", func(ctx context.Context, f tx.Facts) error {
			if f.Actor.ID == "" {
				return errNo
			}
			return allowOrdersAPI(ctx, f)
		}, []string{"AuthorizeActor for facts without Actor panicked: runtime error: invalid",
			"AuthorizeActor for the zero Facts panicked"}},
		{"refuses without a Code", func(ctx context.Context, f tx.Facts) error {
			if allowOrdersAPI(ctx, f) != nil {
				return errDown
			}
			return nil
		},
			[]string{
				"AuthorizeActor for an unknown actor returned an error without a Code; a refusal " +
					"has one, such as InvalidRequest (I12)",
				"AuthorizeActor for an unknown subject returned an error without a Code",
				"AuthorizeActor for facts without Actor returned an error without a Code"}},
		{"refuses when its store is down", func(ctx context.Context, f tx.Facts) error {
			if ctx.Err() != nil {
				return errNo
			}
			return allowOrdersAPI(ctx, f)
		}, []string{"AuthorizeActor refused the given facts under a cancelled context"}},
		{"allows when its store is down", func(ctx context.Context, f tx.Facts) error {
			if ctx.Err() != nil {
				return nil
			}
			return allowOrdersAPI(ctx, f)
		}, []string{"AuthorizeActor allowed an unknown actor under a cancelled context"}},
		{"answers with the result of another call", func(ctx context.Context, f tx.Facts) error {
			if busy.Add(1) == 8 && allowOrdersAPI(ctx, f) != nil || busy.Load() > 8 {
				return nil
			}
			return allowOrdersAPI(ctx, f)
		}, []string{"AuthorizeActor allowed an unknown actor in a concurrent call",
			"AuthorizeActor allowed an unknown actor under a cancelled context"}},
		{"a privilege in every tenant", func(_ context.Context, f tx.Facts) error {
			if f.Actor != nil && slices.Contains(f.Actor.Privileges, "impersonate") {
				return nil
			}
			return errNo
		}, []string{"AuthorizeActor allowed an unknown subject"}},
		{"modifies the facts", func(ctx context.Context, f tx.Facts) error {
			if len(f.Subject.Token.Audience) > 0 {
				f.Subject.Token.Audience[0] = "changed"
			}
			return allowOrdersAPI(ctx, f)
		}, []string{"modified its argument"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			finds(t, tokenexchangetest.CheckAuthorizer(ctx, tt.authorizer, allowedFacts(t)),
				tt.want...)
		})
	}
}

// Without an actor the client acts, so CheckAuthorizer replaces the client by an unknown one.
func TestCheckAuthorizerFindsAnyClient(t *testing.T) {
	f := allowedFacts(t)
	f.Actor = nil
	anyClient := func(_ context.Context, f tx.Facts) error {
		if f.Subject.Identity == alice {
			return nil
		}
		return errNo
	}
	err := tokenexchangetest.CheckAuthorizer(ctx, authorizerFunc(anyClient), f)
	assert.ErrorContains(t, err, "AuthorizeActor allowed an unknown actor")
}

func TestCheckAuthorizerNeedsFacts(t *testing.T) {
	assert.ErrorContains(t, tokenexchangetest.CheckAuthorizer(ctx, authorizerFunc(allowOrdersAPI),
		tx.Facts{}), "needs facts with a subject")
}
