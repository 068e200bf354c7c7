package grants_test

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/grants"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

var read = tokenexchange.Scope{"read"}

// spend exchanges a ticket with the token of somebody as actor token.
func (w *world) spend(ticket, at, actorToken string, more ...string) (
	tokenexchange.Response, error) {
	form := url.Values{"grant_type": {tokenexchange.GrantType}, "subject_token": {ticket},
		"subject_token_type": {string(typeTicket)}}
	if actorToken != "" {
		form.Set("actor_token", actorToken)
		form.Set("actor_token_type", string(tokenexchange.TypeAccessToken))
	}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return w.x.Exchange(w.Context(), client(at), form)
}

// W01: what a ticket says. Nothing of the impersonator is in it but their name.
func TestTickets_Mint(t *testing.T) {
	w := newWorld(t)
	made, err := w.tickets.Mint(t.Context(), w.x, client("portal"), w.session("ines", "portal"),
		"alice", read)
	require.NoError(t, err)
	require.Equal(t, typeTicket, made.IssuedTokenType)
	require.Equal(t, "N_A", made.TokenType)
	require.EqualValues(t, 120, made.ExpiresIn, "the lifetime of the rule")

	claims := payload(t, made.AccessToken)
	id := claims["jti"]
	require.NotEmpty(t, id)
	delete(claims, "jti")
	require.Equal(t,
		map[string]any{"iss": issuer, "sub": "alice", "aud": "portal", "azp": "portal",
			"client_id": "portal", "scope": "read",
			"may_act": map[string]any{"iss": issuer, "sub": "ines", "client_id": "portal"},
			"iat":     float64(w.now.Unix()), "nbf": float64(w.now.Unix()),
			"exp":     float64(w.now.Add(2 * time.Minute).Unix()),
			"lineage": map[string]any{}}, claims,
		"no actor yet; the lineage begins with a name, not with a login")

	ev := w.audit.Last()
	require.Len(t, w.audit.Events(), 1)
	require.Equal(t, grants.GrantTicket, ev.Facts.Grant)
	require.Equal(t, id, ev.TokenID)
	require.Equal(t, "ines", ev.Decision.Actor.Subject, "the event names the impersonator")
	require.Len(t, w.actors.Asked(), 1, "D11")
}

// W03, W04, D08, D13, I01: everything is decided before there is a ticket, and refused without a
// trace in the store.
func TestTickets_Refusals(t *testing.T) {
	scope := func(s ...string) tokenexchange.Scope { return s }
	for name, row := range map[string]struct {
		user   string
		scope  tokenexchange.Scope
		change func(*world, *tokenexchange.Token)
		code   tokenexchange.Code
		reason string
	}{
		"R03 nobody": {"", read, nil, tokenexchange.InvalidRequest,
			"ticket_without_user"},
		"W03 an unknown user": {"zoe", read, nil, tokenexchange.InvalidRequest,
			"subject_not_resolved"},
		"W03 a user who is disabled": {"alice", read,
			func(w *world, _ *tokenexchange.Token) { w.people.Disable(user("alice")) },
			tokenexchange.InvalidRequest, "subject_not_resolved"},
		"W03 a disabled impersonator": {"alice", read,
			func(w *world, _ *tokenexchange.Token) { w.people.Disable(user("ines")) },
			tokenexchange.InvalidRequest, "actor_not_resolved"},
		"W03 without the role": {"alice", read,
			func(w *world, _ *tokenexchange.Token) { w.actors.Func = nil },
			tokenexchange.InvalidRequest, "actor_not_authorized"},
		"W04 more than the user": {"bob", scope("read", "write"), nil,
			tokenexchange.InvalidScope, "scope_not_allowed"},
		"W04 what the impersonator has": {"alice", scope("admin"), nil, tokenexchange.InvalidScope,
			"scope_not_allowed"},
		"W04 no scope": {"alice", nil, nil, tokenexchange.InvalidScope,
			"ticket_without_scope"},
		"W04 an empty scope": {"alice", scope(), nil, tokenexchange.InvalidScope,
			"ticket_without_scope"},
		"D23 openid": {"alice", scope("read", "openid"), nil,
			tokenexchange.InvalidScope, "scope_makes_no_token"},
		"D23 a scope that asks to act": {"alice", scope("act_as:bob"), nil,
			tokenexchange.InvalidScope, "scope_impersonation"},
		"D16 oneself": {"ines", read, func(w *world, _ *tokenexchange.Token) {
			w.people.Add(tokenexchange.Subject{Identity: user("ines"), Scope: read})
		}, tokenexchange.InvalidRequest, "self_delegation_not_allowed"},
		"D14 a chain": {"alice", read,
			func(_ *world, s *tokenexchange.Token) {
				s.Actor = &tokenexchange.Actor{Issuer: issuer, Subject: "bob"}
			}, tokenexchange.InvalidRequest, "impersonator_has_act"},
		"D25 a session that is over": {"alice", read,
			func(w *world, s *tokenexchange.Token) { s.Expires = w.now },
			tokenexchange.InvalidRequest, "actor_token_expired"},
		"R08 a session of no type": {"alice", read,
			func(_ *world, s *tokenexchange.Token) { s.Type = "" }, tokenexchange.InvalidRequest,
			"token_incomplete"},
		"I01 the zero Tickets": {"alice", read,
			func(w *world, _ *tokenexchange.Token) { *w.tickets = grants.Tickets{} },
			tokenexchange.ServerError, "tickets_incomplete"},
		"I01 no Tokens": {"alice", read,
			func(w *world, _ *tokenexchange.Token) { w.tickets.Tokens = nil },
			tokenexchange.ServerError, "tickets_incomplete"},
		"I01 access tokens as tickets": {"alice", read,
			func(w *world, _ *tokenexchange.Token) {
				w.tickets.Type = tokenexchange.TypeAccessToken
			}, tokenexchange.ServerError, "tickets_incomplete"},
		"I01 a name of a known type": {"alice", read,
			func(w *world, _ *tokenexchange.Token) { w.tickets.Named = tokenexchange.TypeIDToken },
			tokenexchange.ServerError, "tickets_incomplete"},
		"I01 the name is a ticket": {"alice", read,
			func(w *world, _ *tokenexchange.Token) { w.tickets.Named = typeTicket },
			tokenexchange.ServerError, "tickets_incomplete"},
		"I01 a type that nobody signs": {"alice", read,
			func(w *world, _ *tokenexchange.Token) { w.tokens.JWT.Types = nil },
			tokenexchange.ServerError, "not_issued"},
		"I12 a store that is down": {"alice", read, func(w *world, _ *tokenexchange.Token) {
			w.store.fail = func(tokenstore.Batch) error { return errors.New("down") }
		}, tokenexchange.ServerError, "not_issued"},
		"I07 a panic of the authorizer": {"alice", read, func(w *world, _ *tokenexchange.Token) {
			w.actors.Func = func(context.Context, tokenexchange.Facts) error { panic("x") }
		}, tokenexchange.ServerError, "actor_not_authorized"},
		"R09 nobody has authenticated": {"alice", read, nil, tokenexchange.InvalidClient,
			"client_missing"},
		"D02 a client without such rule": {"alice", read, nil, tokenexchange.InvalidRequest,
			"rule_other_client"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			session, c := w.session("ines", "portal"), client("portal")
			switch row.reason {
			case "client_missing":
				c = tokenexchange.Client{}
			case "rule_other_client":
				c = client("stranger")
			}
			if row.change != nil {
				row.change(w, &session)
			}
			made, err := w.tickets.Mint(t.Context(), w.x, c, session, row.user, row.scope)
			w.refused(err, row.code, row.reason)
			require.Equal(t, tokenexchange.Response{}, made)
			require.Len(t, w.audit.Events(), 1, "I07")
			require.Zero(t, w.live())
		})
	}
}

// A policy that is not ours may decide anything; a ticket is only made of a decision that is one.
func TestTickets_OnlyOfADelegation(t *testing.T) {
	type decision = tokenexchange.Decision
	for name, row := range map[string]struct {
		change func(*decision)
		reason string
	}{
		"no delegation": {func(d *decision) { d.Mode, d.Actor = tokenexchange.Impersonate, nil },
			"ticket_other_decision"},
		"another mode": {func(d *decision) { d.Mode = tokenexchange.ClientActs },
			"ticket_other_decision"},
		"a chain": {func(d *decision) {
			d.Actor = &tokenexchange.Actor{Subject: "ines",
				Prior: &tokenexchange.Actor{Subject: "bob"}}
		}, "ticket_other_decision"},
		"an access token": {func(d *decision) { d.Type = tokenexchange.TypeJWT },
			"ticket_other_decision"},
		"another audience": {func(d *decision) { d.Audience = []string{api} },
			"ticket_other_audience"},
		"two audiences": {func(d *decision) { d.Audience = append(d.Audience, api) },
			"ticket_other_audience"},
		"an ID token": {func(d *decision) { d.IDToken = true }, "ticket_further_tokens"},
		"a refresh token": {
			func(d *decision) { d.RefreshToken, d.RefreshExpires = true, d.Expires },
			"ticket_further_tokens"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			decide := w.x.Decide
			w.x.Decide = func(f tokenexchange.Facts) (tokenexchange.Decision, error) {
				d, err := decide(f)
				row.change(&d)
				return d, err
			}
			_, err := w.tickets.Mint(t.Context(), w.x, client("portal"),
				w.session("ines", "portal"), "alice", read)
			require.Equal(t, row.reason, tokenexchange.AsError(err).Reason, "%v", err)
			require.Zero(t, w.live())
		})
	}
}

// I06: a ticket whose event was not recorded is nobody's.
func TestTickets_FailingSink(t *testing.T) {
	w := newWorld(t)
	w.audit.Fail(errors.New("disk full"))
	made, err := w.tickets.Mint(t.Context(), w.x, client("portal"), w.session("ines", "portal"),
		"alice", read)
	require.ErrorIs(t, err, tokenexchange.ServerError)
	require.Equal(t, tokenexchange.Response{}, made)
	require.Len(t, w.store.written, 1)
	require.Zero(t, w.live())
}

// W02, D08, D09: good once, for the client, beside a token of the impersonator; a refusal uses
// nothing up.
func TestTickets_Spend(t *testing.T) {
	w := newWorld(t)
	ines, bob := w.accessToken("ines", "portal", "read"), w.accessToken("bob", "portal", "read")
	made, err := w.tickets.Mint(t.Context(), w.x, client("portal"), w.session("ines", "portal"),
		"alice", read)
	require.NoError(t, err)
	ticket := made.AccessToken

	_, err = w.spend(ticket, "portal", "")
	w.refused(err, tokenexchange.InvalidRequest, "actor_token_missing", ticket)
	_, err = w.spend(ticket, "portal", bob)
	w.refused(err, tokenexchange.InvalidRequest, "may_act_other_actor", ticket, bob)
	_, err = w.spend(ticket, "other", w.accessToken("ines", "other", "read"))
	w.refused(err, tokenexchange.InvalidRequest, "may_act_other_actor", ticket)
	_, err = w.spend(ticket, "portal", ines, "scope", "write")
	w.refused(err, tokenexchange.InvalidScope, "scope_not_allowed", ticket)
	w.audit.Fail(errors.New("disk full"))
	_, err = w.spend(ticket, "portal", ines)
	require.ErrorIs(t, err, tokenexchange.ServerError)
	w.audit.Fail(nil)

	got, err := w.spend(ticket, "portal", ines, "requested_token_type",
		string(tokenexchange.TypeJWT))
	require.NoError(t, err)
	claims := payload(t, got.AccessToken)
	require.Equal(t, "alice", claims["sub"])
	require.Equal(t, map[string]any{"iss": issuer, "sub": "ines", "client_id": "portal"},
		claims["act"])
	require.NotContains(t, claims, "may_act", "D17")
	require.EqualValues(t, 1800, got.ExpiresIn,
		"D25: the lifetime of the rule, not what is left of the ticket")

	_, err = w.spend(ticket, "portal", ines)
	w.refused(err, tokenexchange.InvalidRequest, "ticket_spent", ticket)
}

// W02: of many exchanges at once one gets a token.
func TestTickets_SpendConcurrently(t *testing.T) {
	w := newWorld(t)
	ines := w.accessToken("ines", "portal", "read")
	made, err := w.tickets.Mint(t.Context(), w.x, client("portal"), w.session("ines", "portal"),
		"alice", read)
	require.NoError(t, err)
	require.Equal(t, 1, atOnce(32, func() error {
		_, err := w.spend(made.AccessToken, "portal", ines)
		return err
	}))
	granted := 0
	for _, ev := range w.audit.Events()[1:] {
		if ev.Err == nil {
			granted++
		} else {
			require.ErrorIs(t, ev.Err, tokenstore.ErrSpent)
		}
	}
	require.Equal(t, 1, granted)
	require.Len(t, w.audit.Events(), 33, "I07")
}

// atOnce calls f many times at the same moment and says how often there was no error.
func atOnce(n int, f func() error) (good int) {
	var ready, done sync.WaitGroup
	var mu sync.Mutex
	ready.Add(n)
	for range n {
		done.Go(func() {
			ready.Done()
			ready.Wait()
			err := f()
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				good++
			}
		})
	}
	done.Wait()
	return good
}

// C07: a ticket is made from the session of the impersonator, and ends with it; what it was
// exchanged for as well.
func TestTickets_EndWithTheSession(t *testing.T) {
	w := newWorld(t)
	session, ines := w.session("ines", "portal"), w.accessToken("ines", "portal", "read")
	mint := func() string {
		made, err := w.tickets.Mint(t.Context(), w.x, client("portal"), session, "alice", read)
		require.NoError(t, err)
		return made.AccessToken
	}
	spent, unspent := mint(), mint()
	got, err := w.spend(spent, "portal", ines)
	require.NoError(t, err)
	require.NoError(t, w.tokens.Revoke(t.Context(), session))
	_, err = w.spend(unspent, "portal", ines)
	w.refused(err, tokenexchange.InvalidRequest, "token_revoked", unspent)
	_, err = w.x.Verify[tokenexchange.TypeAccessToken](t.Context(),
		tokenexchange.Credential{Token: got.AccessToken,
			Type: tokenexchange.TypeAccessToken, Issuer: issuer, Now: w.now})
	require.ErrorIs(t, err, tokenstore.ErrRevoked)
}

// D25: a ticket ends no later than the session that it was made from, and the event says so.
func TestTickets_NoLongerThanTheSession(t *testing.T) {
	w := newWorld(t)
	session := w.session("ines", "portal")
	session.Expires = w.now.Add(time.Minute + time.Second/2)
	made, err := w.tickets.Mint(t.Context(), w.x, client("portal"), session, "alice", read)
	require.NoError(t, err)
	require.EqualValues(t, 60, made.ExpiresIn)
	require.Equal(t, w.now.Add(time.Minute), w.audit.Last().Decision.Expires)
	session.Expires = w.now.Add(time.Second / 2)
	_, err = w.tickets.Mint(t.Context(), w.x, client("portal"), session, "alice", read)
	w.refused(err, tokenexchange.InvalidRequest, "lifetime_too_short")
}

// A ticket that has expired is refused, whatever its actor.
func TestTickets_Expire(t *testing.T) {
	w := newWorld(t)
	ines := w.accessToken("ines", "portal", "read")
	made, err := w.tickets.Mint(t.Context(), w.x, client("portal"), w.session("ines", "portal"),
		"alice", read)
	require.NoError(t, err)
	w.now = w.now.Add(2 * time.Minute)
	_, err = w.spend(made.AccessToken, "portal", ines)
	w.refused(err, tokenexchange.InvalidRequest, "token_expired", made.AccessToken)
}
