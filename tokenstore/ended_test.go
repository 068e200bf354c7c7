package tokenstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// failingOnce is a Store whose next Revoke fails.
type failingOnce struct {
	tokenstore.Store
	fails bool
}

func (s *failingOnce) Revoke(ctx context.Context, now time.Time, k tokenstore.Key,
	until time.Time) error {
	if s.fails {
		s.fails = false
		return errors.New("the database is down")
	}
	return s.Store.Revoke(ctx, now, k, until)
}

// A second call completes an EndDelegation that failed half-way.
func TestEndDelegation_Retried(t *testing.T) {
	w := newWorld(t)
	w.store.Store = &failingOnce{Store: w.store.Store, fails: true}
	a := w.granted(w.actFor(w.opaque("alice"), w.opaque("bob")))
	id := w.delegations()[0].ID
	require.Error(t, w.end(id))
	require.NoError(t, w.end(id))
	require.False(t, w.active(a.text("access_token")))
	require.Empty(t, w.delegations())
	require.ErrorIs(t, w.end(id), tokenstore.ErrUnknown)
}

// EndDelegation revokes a token that the host has recorded with Parents.
func TestEndDelegation_RecordedByTheHost(t *testing.T) {
	w := newWorld(t)
	w.granted(w.actFor(w.opaque("alice"), w.opaque("bob")))
	beside := tx.Token{Type: access, ID: "beside", Issuer: issuer, Subject: "alice",
		ClientID: "helpdesk", Audience: []string{api}, Expires: w.clock().Add(time.Hour)}
	parents := tokenstore.Parents(w.audit.Last().Decision)
	require.NoError(t, w.tokens.Record(t.Context(), beside, parents...))
	require.NoError(t, w.tokens.Live(t.Context(), beside))
	require.NoError(t, w.end(w.delegations()[0].ID))
	require.ErrorIs(t, w.tokens.Live(t.Context(), beside), tx.InvalidRequest)
}

// A user can end, allow and end again while the clocks of two machines differ. Records that are no
// longer needed are removed.
func TestEndDelegation_Clocks(t *testing.T) {
	w := newWorld(t)
	login, actor := w.opaque("alice"), w.opaque("bob")
	w.after(10 * time.Second)
	for range 5 {
		w.granted(w.actFor(login, actor))
		w.after(-time.Second) // on the machine whose clock is behind
		require.NoError(t, w.end(w.delegations()[0].ID))
		w.refused(w.actFor(login, actor), tx.InvalidRequest, "delegation_ended")
		ended, err := w.tokens.EndedDelegations(t.Context(), alice)
		require.NoError(t, err)
		require.Len(t, ended, 1)
		require.NoError(t, w.tokens.AllowDelegation(t.Context(), alice, ended[0].ID))
	}
	w.granted(w.actFor(login, actor))
	user := tokenstore.KeyOf("owner", issuer, string(alice.Kind), alice.Tenant, alice.ID)
	owner := tokenstore.KeyOf("ended", issuer, string(user[:]))
	records, _, err := w.store.List(t.Context(), w.clock(), owner, tokenstore.Key{}, 10)
	require.NoError(t, err)
	require.Len(t, records, 1)
}

// To end the delegation of a ticket refuses the party that may act with it, and not the client that
// requested the ticket.
func TestEndDelegation_Ticket(t *testing.T) {
	w := newWorld(t)
	w.changeRules(func(r *tx.Rule) {
		r.Types = append(r.Types, ticket)
		r.Targets = append(r.Targets, "gateway")
		if r.Name == "helpdesk" {
			r.Clients = append(r.Clients, "gateway")
		}
	})
	w.tokens.MayAct = func(_ context.Context, d tx.Decision) (*tx.Actor, error) {
		if d.Type == ticket {
			return &tx.Actor{Subject: "bob", ClientID: "gateway"}, nil
		}
		return nil, nil
	}
	login, bobs := w.opaque("alice"), w.opaque("bob")
	byBob := func(subject string, kind tx.TokenType) answer {
		return w.exchange("gateway", subject, kind, "actor_token", bobs,
			"actor_token_type", string(access), "audience", api, "scope", "read")
	}
	made := w.granted(w.exchange("gateway", login, access, "requested_token_type", string(ticket),
		"audience", "gateway", "scope", "read")).text("access_token")
	require.Equal(t, "bob", w.delegations()[0].Actor.Subject)
	require.NoError(t, w.end(w.delegations()[0].ID))
	w.refused(byBob(made, ticket), tx.InvalidRequest, "token_revoked")
	w.refused(byBob(login, access), tx.InvalidRequest, "delegation_ended")
	w.granted(w.exchange("gateway", login, access, "audience", api, "scope", "read"))
}

// A renewed token of another issuer is no new login, whether or not its auth_time is trusted.
func TestEndDelegation_ForeignLogin(t *testing.T) {
	for _, believed := range []bool{false, true} {
		w := newWorld(t)
		idp := tokenexchangetest.NewMinter("https://idp.example")
		trust := idp.ForeignTrust(issuer)
		trust.AuthTime = believed
		verifier, err := tx.NewVerifier(trust)
		require.NoError(t, err)
		w.x.Verify[idToken] = verifier.Verify
		w.people.Link("https://idp.example", "ext-alice", alice)
		w.changeRules(func(r *tx.Rule) {
			if r.Delegate != nil {
				r.Delegate.Issuers = []string{"https://idp.example"}
			}
		})
		began, bobs := w.clock(), w.opaque("bob")
		act := func() answer {
			renewed := idp.IDToken(tokenexchangetest.Claims{Subject: "ext-alice",
				Audience: []string{issuer}, Now: w.clock(),
				Extra: map[string]any{"auth_time": began.Unix()}})
			return w.exchange("helpdesk", renewed, idToken, "actor_token", bobs,
				"actor_token_type", string(access), "scope", "read")
		}
		w.granted(act())
		w.after(time.Minute)
		require.NoError(t, w.end(w.delegations()[0].ID))
		w.after(time.Minute)
		w.refused(act(), tx.InvalidRequest, "delegation_ended")
		began = w.clock()
		w.granted(act())
	}
}

// If a rule lets a grant outlive its subject token, the grant ends at the first Until. A resolver
// that returns a later Until at each refresh does not move that end.
func TestLineage_GrantThatOutlives(t *testing.T) {
	w := newWorld(t)
	w.changeRules(func(r *tx.Rule) {
		if r.Impersonate != nil {
			r.Impersonate.OutliveSubject = true
		}
	})
	slide := func() {
		w.people.Add(tx.Subject{Identity: alice, Scope: w.client["gateway"].Scope,
			Until: w.clock().Add(48 * time.Hour)})
	}
	slide()
	a := w.granted(w.exchange("gateway", w.opaque("alice"), access, "scope", "read offline_access"))
	began := w.clock()
	for range 20 {
		w.after(12 * time.Hour)
		slide()
		if a = w.refresh("gateway", a.text("refresh_token")); a.status != 200 {
			break
		}
	}
	require.Equal(t, "invalid_grant", a.text("error"))
	require.Equal(t, 48*time.Hour, w.clock().Sub(began))
}
