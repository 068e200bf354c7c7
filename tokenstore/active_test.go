package tokenstore_test

import (
	"context"
	"fmt"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
)

// directory answers about tokens as a function says, and remembers what it was asked about.
type directory struct {
	asked  []tokenexchange.Token
	answer func(tokenexchange.Token) (tokenexchange.Subject, error)
}

func (r *directory) ResolveSubject(_ context.Context, t tokenexchange.Token) (
	tokenexchange.Subject, error) {
	r.asked = append(r.asked, t)
	return r.answer(t)
}

// typedNil is an error that cannot be asked what it is.
type typedNil struct{ text string }

func (e *typedNil) Error() string { return e.text }

// What a resolver may say of somebody, and what introspection says then: a status, and whether the
// token is active.
var answers = map[string]struct {
	identity tokenexchange.Identity
	err      error
	panics   bool
	status   int
	active   bool
}{
	"yes":          {identity: alice, status: 200, active: true},
	"disabled":     {err: fmt.Errorf("%w: disabled", tokenexchange.InvalidRequest), status: 200},
	"another code": {err: tokenexchange.UnauthorizedClient, status: 200},
	"no identity":  {status: 200},
	"no issuer":    {identity: tokenexchange.Identity{Kind: "user", ID: "x"}, status: 200},
	"no kind":      {identity: tokenexchange.Identity{Issuer: issuer, ID: "x"}, status: 200},
	"no id":        {identity: tokenexchange.Identity{Issuer: issuer, Kind: "user"}, status: 200},
	"any kind": {identity: tokenexchange.Identity{Issuer: issuer, Kind: "*", ID: "x"},
		status: 200},
	"a failure":     {err: errBroken, status: 500},
	"a deadline":    {err: fmt.Errorf("directory: %w", context.DeadlineExceeded), status: 503},
	"a server code": {err: tokenexchange.ServerError, status: 500},
	"a typed nil":   {err: (*typedNil)(nil), status: 500},
	"a panic":       {panics: true, status: 500},
}

// D07: whoever asks about a token is told what the directory says now of its subject and of its
// current actor, whatever sort of token it is. Who acted before is history.
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
		"carried on":       {"gateway", carried.text("access_token"), []string{"alice", "bob"}},
		"carried on, JWT":  {"gateway", signed.text("access_token"), []string{"alice", "bob"}},
	} {
		ask := func() answer {
			return w.post("/introspect", c.caller, url.Values{"token": {c.token}})
		}
		w.tokens.Subjects = nil
		require.Equal(t, true, ask().json["active"], name)
		for said, a := range answers {
			for _, who := range c.people {
				r := &directory{}
				r.answer = func(tok tokenexchange.Token) (tokenexchange.Subject, error) {
					switch {
					case tok.Subject != who:
						return tokenexchange.Subject{Identity: bob}, nil
					case a.panics:
						panic(c.token)
					}
					return tokenexchange.Subject{Identity: a.identity}, a.err
				}
				w.tokens.Subjects = r
				got := ask()
				require.Equal(t, a.status, got.status, "%s, %s: %s", name, who, said)
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

func names(asked []tokenexchange.Token) (list []string) {
	for _, t := range asked {
		list = append(list, t.Subject)
	}
	return list
}

// The resolver is told of an actor what the chain says, as at an exchange, and of the subject the
// token.
func TestD07_WhatTheDirectoryIsAsked(t *testing.T) {
	w := newWorld(t)
	r := &directory{answer: func(tok tokenexchange.Token) (tokenexchange.Subject, error) {
		return w.people.ResolveSubject(t.Context(), tok)
	}}
	w.tokens.Subjects = r
	for _, actor := range []tokenexchange.Actor{
		{Subject: "bob", ClientID: "webapp",
			Prior: &tokenexchange.Actor{Issuer: issuer, Subject: "carol"}},
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
		require.Equal(t, tokenexchange.KindUser, r.asked[0].Kind)
		require.Equal(t, minted.ID, r.asked[0].ID)
		current := tokenexchange.Token{Issuer: issuer, Subject: "bob", ClientID: "webapp"}
		require.Equal(t, current, r.asked[1])
	}
	r.asked = nil
	other := w.post("/introspect", "other", url.Values{"token": {w.opaque("alice")}})
	require.Equal(t, false, other.json["active"])
	require.Empty(t, r.asked, "the caller may not know of the token")
	w.people.Disable(alice)
	login := w.opaque("alice")
	require.False(t, w.active(login))
	a := w.post("/revoke", "webapp", url.Values{"token": {login}})
	require.Equal(t, 200, a.status, "a token of somebody who is disabled can be given back")
}

// VerifyActive is VerifyToken, and asks the directory besides.
func TestD07_VerifyActive(t *testing.T) {
	w := newWorld(t)
	credential := w.credential(access, w.delegated().text("access_token"))
	r := &directory{}
	for said, a := range answers {
		for _, who := range []string{"alice", "bob"} {
			r.answer = func(tok tokenexchange.Token) (tokenexchange.Subject, error) {
				if tok.Subject != who {
					return tokenexchange.Subject{Identity: bob}, nil
				}
				return tokenexchange.Subject{Identity: a.identity}, a.err
			}
			if a.panics || said == "a typed nil" {
				continue // is a matter of the caller, as in VerifyToken
			}
			w.tokens.Subjects = r
			tok, err := w.tokens.VerifyActive(t.Context(), credential)
			if a.active {
				require.NoError(t, err)
				require.Equal(t, "alice", tok.Subject)
				continue
			}
			require.Error(t, err, said)
			require.Equal(t, tokenexchange.Token{}, tok)
			require.Equal(t, a.status >= 500, tokenexchange.AsError(err).Code.Status() >= 500, said)
		}
	}
	_, err := w.tokens.VerifyActive(t.Context(), w.credential(access, "at_unknown"))
	require.ErrorIs(t, err, tokenexchange.InvalidRequest)
	w.tokens.Subjects = nil
	_, err = w.tokens.VerifyActive(t.Context(), credential)
	require.ErrorContains(t, err, "without Subjects")
	require.Equal(t, tokenexchange.ServerError, tokenexchange.AsError(err).Code)
}
