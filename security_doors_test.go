package tokenexchange_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

const jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"

type opened struct {
	req     tx.Request
	subject tx.Token
	actor   *tx.Token
	err     error
}

func (w *world) run(grant, client string, o opened) error {
	before := len(w.events)
	_, err := w.Run(context.Background(), grant, w.clients[client], func(_ context.Context, now time.Time) (tx.Request, tx.Token, *tx.Token, error) {
		require.Equal(w, at, now)
		return o.req, o.subject, o.actor, o.err
	})
	require.Len(w, w.events, before+1, "I07")
	require.Equal(w, grant, w.lastEvent().Facts.Grant)
	require.Equal(w, tx.AsError(err), tx.AsError(w.lastEvent().Err))
	return err
}

// accessOf is what the record of an access token says.
func accessOf(sub, client string) tx.Token {
	return tx.Token{Type: tx.TypeAccessToken, ID: "r-" + sub, Issuer: ownIss, Subject: sub, ClientID: client, Audience: []string{api}, Scope: tx.Scope{"read"}, Issued: at, Expires: at.Add(time.Hour)}
}

func TestR13_RefusalsAtTheOtherDoors(t *testing.T) {
	w := newWorld(t)
	admin := accessOf("admin", "shop")
	require.NoError(t, w.run("refresh_token", "shop", opened{subject: accessOf("alice", "shop"), actor: &admin}))
	require.Equal(t, "admin", w.lastEvent().Decision.Actor.Subject)
	for grant, refused := range map[string]tx.Code{"refresh_token": tx.InvalidGrant, jwtBearer: tx.InvalidGrant, "subject_ticket": tx.InvalidRequest, tx.GrantType: tx.InvalidRequest} {
		for name, subject := range map[string]tx.Token{"by the resolver": accessOf("nobody", "shop"), "by no rule": {Type: "urn:x", Issuer: ownIss, Subject: "alice", Expires: at.Add(time.Hour)}, "nobody": {}} {
			t.Run(grant+" "+name, func(t *testing.T) {
				err := w.run(grant, "shop", opened{subject: subject, actor: &admin})
				require.Equal(t, refused, tx.AsError(err).Code)
				require.NotContains(t, tx.AsError(err).Description, "alice")
			})
		}
		t.Run(grant+" other codes stay", func(t *testing.T) {
			err := w.run(grant, "shop", opened{req: tx.Request{Audience: []string{"https://unknown.example"}}, subject: accessOf("alice", "shop"), actor: &admin})
			require.Equal(t, tx.InvalidTarget, tx.AsError(err).Code)
			err = w.run(grant, "shop", opened{req: tx.Request{Scope: tx.Scope{"root"}}, subject: accessOf("alice", "shop"), actor: &admin})
			require.Equal(t, tx.InvalidScope, tx.AsError(err).Code)
		})
		t.Run(grant+" before open has succeeded", func(t *testing.T) {
			require.Equal(t, tx.InvalidRequest, tx.AsError(w.run(grant, "shop", opened{err: fmt.Errorf("%w: a parameter is missing", tx.InvalidRequest)})).Code)
			require.Equal(t, tx.InvalidGrant, tx.AsError(w.run(grant, "shop", opened{err: &tx.Error{Code: tx.InvalidGrant, Err: tx.InvalidRequest}})).Code)
			require.Equal(t, tx.ServerError, tx.AsError(w.run(grant, "shop", opened{err: errors.New("store is down")})).Code)
			require.Equal(t, tx.TemporarilyUnavailable, tx.AsError(w.run(grant, "shop", opened{err: deadline()})).Code)
		})
		t.Run(grant+" a panic", func(t *testing.T) {
			before := len(w.events)
			_, err := w.Run(context.Background(), grant, w.clients["shop"], func(context.Context, time.Time) (tx.Request, tx.Token, *tx.Token, error) { panic("open") })
			require.Equal(t, tx.ServerError, tx.AsError(err).Code)
			require.Len(t, w.events, before+1)
		})
	}
	t.Run("a host's no is invalid_grant too", func(t *testing.T) {
		w.Authorizer = authorizerFunc(func(context.Context, tx.Facts) error { return fmt.Errorf("%w: no", tx.InvalidRequest) })
		err := w.run("refresh_token", "shop", opened{subject: accessOf("alice", "shop"), actor: &admin})
		require.Equal(t, tx.InvalidGrant, tx.AsError(err).Code)
		require.Equal(t, "The grant is not valid, or not acceptable.", tx.AsError(err).Description)
	})
}

// D28, SECURITY (refresh of an exchanged token kept a disabled target): today's directory and policy are asked.
func TestD28_ARefreshAsksAgain(t *testing.T) {
	actor := accessOf("admin", "shop")
	granted := opened{subject: accessOf("alice", "shop"), actor: &actor}
	for name, change := range map[string]func(*world){
		"subject disabled": func(w *world) { delete(w.people, ownIss+" alice") },
		"actor disabled":   func(w *world) { delete(w.people, ownIss+" admin") },
		"authorizer says no": func(w *world) {
			w.Authorizer = authorizerFunc(func(context.Context, tx.Facts) error { return tx.InvalidRequest })
		},
		"rule is gone":         func(w *world) { w.rules = w.rules[:1]; w.configure() },
		"client is off a rule": func(w *world) { w.rule("delegate").Clients = []string{"other"}; w.configure() },
		"actor off the rule": func(w *world) {
			w.rule("delegate").Delegate.Actors = []tx.Identity{{Kind: tx.KindUser, ID: "bob"}}
			w.configure()
		},
		"clock past the input": func(w *world) { w.Now = func() time.Time { return at } },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			require.NoError(t, w.run("refresh_token", "shop", granted))
			change(w)
			o := granted
			if name == "clock past the input" {
				o.subject.Expires = at
			}
			require.Equal(t, tx.InvalidGrant, tx.AsError(w.run("refresh_token", "shop", o)).Code)
		})
	}
}
