package securitytest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/world"
)

const jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"

// opened is what a door of the host returns: the request, the tokens, or an error.
type opened struct {
	req     tx.Request
	subject tx.Token
	actor   *tx.Token
	err     error
}

// run calls Run as shop. It requires one event, which tells the same as the result (I07).
func run(w *world.World, grant string, o opened) error {
	before := len(w.Events)
	_, err := w.Run(context.Background(), grant, w.Clients["shop"],
		func(_ context.Context, now time.Time) (tx.Request, tx.Token, *tx.Token, error) {
			require.Equal(w, world.Now, now)
			return o.req, o.subject, o.actor, o.err
		})
	require.Len(w, w.Events, before+1, "I07")
	require.Equal(w, grant, w.LastEvent().Facts.Grant)
	require.Equal(w, tx.AsError(err), tx.AsError(w.LastEvent().Err))
	return err
}

// TestR13_RefusalsAtTheOtherDoors checks the error codes of grants other than the exchange: for
// grants that present a grant, a refusal is invalid_grant.
func TestR13_RefusalsAtTheOtherDoors(t *testing.T) {
	w := world.New(t)
	alice, admin := world.Record("alice", "shop"), world.Record("admin", "shop")
	require.NoError(t, run(w, "refresh_token", opened{subject: alice, actor: &admin}))
	require.Equal(t, "admin", w.LastEvent().Decision.Actor.Subject)
	for grant, refused := range map[string]tx.Code{
		"refresh_token":  tx.InvalidGrant,
		jwtBearer:        tx.InvalidGrant,
		"subject_ticket": tx.InvalidRequest,
		tx.GrantType:     tx.InvalidRequest,
	} {
		for name, subject := range map[string]tx.Token{
			"by the resolver": world.Record("nobody", "shop"),
			"by no rule": {
				Type: "urn:x", Issuer: world.Own, Subject: "alice",
				Expires: world.Now.Add(time.Hour),
			},
			"nobody": {},
		} {
			t.Run(grant+" "+name, func(t *testing.T) {
				err := run(w, grant, opened{subject: subject, actor: &admin})
				require.Equal(t, refused, tx.AsError(err).Code)
				require.NotContains(t, tx.AsError(err).Description, "alice")
			})
		}
		t.Run(grant+" other codes stay", func(t *testing.T) {
			o := opened{subject: alice, actor: &admin}
			o.req = tx.Request{Audience: []string{"https://unknown.example"}}
			require.Equal(t, tx.InvalidTarget, tx.AsError(run(w, grant, o)).Code)
			o.req = tx.Request{Scope: tx.Scope{"root"}}
			require.Equal(t, tx.InvalidScope, tx.AsError(run(w, grant, o)).Code)
		})
		t.Run(grant+" before open has succeeded", func(t *testing.T) {
			for code, err := range map[tx.Code]error{
				tx.InvalidRequest:         fmt.Errorf("%w: no parameter", tx.InvalidRequest),
				tx.InvalidGrant:           &tx.Error{Code: tx.InvalidGrant, Err: tx.InvalidRequest},
				tx.ServerError:            errors.New("store is down"),
				tx.TemporarilyUnavailable: world.ErrDeadline,
			} {
				require.Equal(t, code, tx.AsError(run(w, grant, opened{err: err})).Code)
			}
		})
		t.Run(grant+" a panic", func(t *testing.T) {
			before := len(w.Events)
			_, err := w.Run(context.Background(), grant, w.Clients["shop"],
				func(context.Context, time.Time) (tx.Request, tx.Token, *tx.Token, error) {
					panic("open")
				})
			require.Equal(t, tx.ServerError, tx.AsError(err).Code)
			require.Len(t, w.Events, before+1)
		})
	}
	t.Run("a host's no is invalid_grant too", func(t *testing.T) {
		w.Authorizer = world.AuthorizerFunc(func(context.Context, tx.Facts) error {
			return fmt.Errorf("%w: no", tx.InvalidRequest)
		})
		err := run(w, "refresh_token", opened{subject: alice, actor: &admin})
		require.Equal(t, tx.InvalidGrant, tx.AsError(err).Code)
		require.Equal(t, "The grant is not valid, or not acceptable.", tx.AsError(err).Description)
	})
}

// TestD28_ARefreshAsksAgain checks that a refresh asks the directory, the authorizer and the policy
// as they are now. Elsewhere a refresh went on for a subject that had been disabled since.
func TestD28_ARefreshAsksAgain(t *testing.T) {
	actor := world.Record("admin", "shop")
	granted := opened{subject: world.Record("alice", "shop"), actor: &actor}
	for name, change := range map[string]func(*world.World){
		"subject disabled": func(w *world.World) { delete(w.People, world.Own+" alice") },
		"actor disabled":   func(w *world.World) { delete(w.People, world.Own+" admin") },
		"authorizer says no": func(w *world.World) {
			w.Authorizer = world.AuthorizerFunc(func(context.Context, tx.Facts) error {
				return tx.InvalidRequest
			})
		},
		"rule is gone": func(w *world.World) { w.Rules = w.Rules[:1]; w.Configure() },
		"client is off a rule": func(w *world.World) {
			w.Rule("delegate").Clients = []string{"other"}
			w.Configure()
		},
		"actor off the rule": func(w *world.World) {
			w.Rule("delegate").Delegate.Actors = []tx.Identity{{Kind: tx.KindUser, ID: "bob"}}
			w.Configure()
		},
		"clock past the input": func(w *world.World) {
			w.Now = func() time.Time { return world.Now }
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := world.New(t)
			require.NoError(t, run(w, "refresh_token", granted))
			change(w)
			o := granted
			if name == "clock past the input" {
				o.subject.Expires = world.Now
			}
			require.Equal(t, tx.InvalidGrant, tx.AsError(run(w, "refresh_token", o)).Code)
		})
	}
}
