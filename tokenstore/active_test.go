package tokenstore_test

import (
	"context"
	"fmt"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// directory is a SubjectResolver that is a function and records its calls.
type directory struct {
	asked  []tx.Token
	answer func(tx.Token) (tx.Subject, error)
}

func (r *directory) ResolveSubject(_ context.Context, t tx.Token) (
	tx.Subject, error) {
	r.asked = append(r.asked, t)
	return r.answer(t)
}

// typedNil is an error whose nil pointer panics in Error.
type typedNil struct{ text string }

func (e *typedNil) Error() string { return e.text }

// answers are what a resolver may return, each with the status of the introspection that asks it
// and whether the token is active then.
var answers = map[string]struct {
	identity tx.Identity
	err      error
	panics   bool
	status   int
	active   bool
}{
	"active":       {identity: alice, status: 200, active: true},
	"disabled":     {err: fmt.Errorf("%w: disabled", tx.InvalidRequest), status: 200},
	"another code": {err: tx.UnauthorizedClient, status: 200},
	"no identity":  {status: 200},
	"no issuer":    {identity: tx.Identity{Kind: "user", ID: "x"}, status: 200},
	"no kind":      {identity: tx.Identity{Issuer: issuer, ID: "x"}, status: 200},
	"no id":        {identity: tx.Identity{Issuer: issuer, Kind: "user"}, status: 200},
	"any kind": {identity: tx.Identity{Issuer: issuer, Kind: "*", ID: "x"},
		status: 200},
	"a failure":     {err: errBroken, status: 500},
	"a deadline":    {err: fmt.Errorf("directory: %w", context.DeadlineExceeded), status: 503},
	"a server code": {err: tx.ServerError, status: 500},
	"a typed nil":   {err: (*typedNil)(nil), status: 500},
	"a panic":       {panics: true, status: 500},
}

// Introspection of any token asks the directory about its subject and its current actor, and not
// about earlier actors (D07).
func TestD07_IntrospectionAsksTheDirectory(t *testing.T) {
	w := newWorld(t)
	delegated := w.delegated()
	carried := w.granted(w.exchange("gateway", delegated.text("access_token"), access))
	signed := w.granted(w.exchange("gateway", delegated.text("access_token"), access,
		"requested_token_type", string(jwt)))
	for name, c := range map[string]struct {
		caller, token string
		people        []string
	}{
		"a login":          {"api", w.opaque("alice"), []string{"alice"}},
		"a JWT of a login": {"api", w.signed("alice", access), []string{"alice"}},
		"an opaque token":  {"helpdesk", delegated.text("access_token"), []string{"alice", "bob"}},
		"a refresh token":  {"helpdesk", delegated.text("refresh_token"), []string{"alice", "bob"}},
		"exchanged again":  {"gateway", carried.text("access_token"), []string{"alice", "bob"}},
		"the same as JWT":  {"gateway", signed.text("access_token"), []string{"alice", "bob"}},
	} {
		ask := func() answer {
			return w.post("/introspect", c.caller, url.Values{"token": {c.token}})
		}
		w.tokens.Subjects = nil
		require.Equal(t, true, ask().json["active"], name)
		for kind, a := range answers {
			for _, person := range c.people {
				r := &directory{}
				r.answer = func(tok tx.Token) (tx.Subject, error) {
					switch {
					case tok.Subject != person:
						return tx.Subject{Identity: bob}, nil
					case a.panics:
						panic(c.token)
					}
					return tx.Subject{Identity: a.identity}, a.err
				}
				w.tokens.Subjects = r
				got := ask()
				require.Equal(t, a.status, got.status, "%s, %s: %s", name, person, kind)
				switch {
				case a.active:
					require.Equal(t, true, got.json["active"], name)
					require.Equal(t, c.people, names(r.asked), name)
				case a.status == 200:
					require.Equal(t, map[string]any{"active": false}, got.json)
				default:
					require.NotContains(t, got.json, "active")
				}
			}
		}
	}
}

func names(asked []tx.Token) (list []string) {
	for _, t := range asked {
		list = append(list, t.Subject)
	}
	return list
}

// As in an exchange, the resolver gets the whole token for the subject, and for the current actor
// what the chain says (D07).
func TestD07_WhatTheResolverGets(t *testing.T) {
	w := newWorld(t)
	r := &directory{answer: func(tok tx.Token) (tx.Subject, error) {
		return w.people.ResolveSubject(t.Context(), tok)
	}}
	w.tokens.Subjects = r
	for _, actor := range []tx.Actor{
		{Subject: "bob", ClientID: "webapp",
			Prior: &tx.Actor{Issuer: issuer, Subject: "carol"}},
		{Issuer: issuer, Subject: "bob", ClientID: "webapp"},
	} {
		r.asked = nil
		tok := w.login("alice")
		tok.Actor = &actor
		minted, err := w.tokens.Mint(t.Context(), tok)
		require.NoError(t, err)
		require.True(t, w.active(minted.Value))
		require.Len(t, r.asked, 2)
		require.Equal(t, access, r.asked[0].Type)
		require.Equal(t, tx.KindUser, r.asked[0].Kind)
		require.Equal(t, minted.ID, r.asked[0].ID)
		current := tx.Token{Issuer: issuer, Subject: "bob", ClientID: "webapp"}
		require.Equal(t, current, r.asked[1])
	}
	r.asked = nil
	other := w.post("/introspect", "other", url.Values{"token": {w.opaque("alice")}})
	require.Equal(t, false, other.json["active"])
	require.Empty(t, r.asked, "the caller may not introspect the token")
	w.people.Disable(alice)
	login := w.opaque("alice")
	require.False(t, w.active(login))
	a := w.post("/revoke", "webapp", url.Values{"token": {login}})
	require.Equal(t, 200, a.status, "the token of a disabled user can be revoked")
}

// VerifyActive is VerifyToken and asks the directory too (D07).
func TestD07_VerifyActive(t *testing.T) {
	w := newWorld(t)
	credential := w.credential(access, w.delegated().text("access_token"))
	r := &directory{}
	for kind, a := range answers {
		for _, person := range []string{"alice", "bob"} {
			r.answer = func(tok tx.Token) (tx.Subject, error) {
				if tok.Subject != person {
					return tx.Subject{Identity: bob}, nil
				}
				return tx.Subject{Identity: a.identity}, a.err
			}
			if a.panics || kind == "a typed nil" {
				continue // the caller handles panics, as for VerifyToken
			}
			w.tokens.Subjects = r
			tok, err := w.tokens.VerifyActive(t.Context(), credential)
			if a.active {
				require.NoError(t, err)
				require.Equal(t, "alice", tok.Subject)
				continue
			}
			require.Error(t, err, kind)
			require.Equal(t, tx.Token{}, tok)
			require.Equal(t, a.status >= 500, tx.AsError(err).Code.Status() >= 500, kind)
			require.NotEmpty(t, tx.AsError(err).Reason, kind)
		}
	}
	_, err := w.tokens.VerifyActive(t.Context(), w.credential(access, "at_unknown"))
	require.ErrorIs(t, err, tx.InvalidRequest)
	w.tokens.Subjects = nil
	_, err = w.tokens.VerifyActive(t.Context(), credential)
	require.ErrorContains(t, err, "needs Subjects")
	require.Equal(t, tx.ServerError, tx.AsError(err).Code)
}
