package tokenstore_test

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// delegations are those of alice.
func (w *world) delegations() []tokenstore.Delegation {
	w.Helper()
	list, err := w.tokens.Delegations(w.Context(), alice)
	require.NoError(w, err)
	return list
}

func (w *world) end(id string) error { return w.tokens.EndDelegation(w.Context(), alice, id) }

// actFor is bob acting for alice through helpdesk, with these tokens of logins.
func (w *world) actFor(subject, actor string, more ...string) answer {
	return w.exchange("helpdesk", subject, access, append([]string{"actor_token", actor, "actor_token_type", string(access)}, more...)...)
}

// lets changes the rules, all of them alike.
func (w *world) lets(change func(*tokenexchange.Rule)) {
	rules := usualRules()
	for i := range rules {
		change(&rules[i])
	}
	w.setRules(rules...)
}

// C07: who acts, through which client, since when and until when, where and with which scopes.
func TestC07_DelegationSaysWhoMayWhatAndWhen(t *testing.T) {
	w := newWorld(t)
	begun := w.clock()
	a := w.granted(w.actFor(w.opaque("alice"), w.opaque("bob"), "scope", "read openid offline_access"))
	w.after(time.Minute)
	list := w.delegations()
	require.Len(t, list, 1)
	d := list[0]
	require.Equal(t, &tokenexchange.Actor{Issuer: issuer, Subject: "bob", ClientID: "webapp"}, d.Actor)
	require.Equal(t, "helpdesk", d.Client)
	require.Equal(t, []string{api}, d.Audience, "an ID token is for its client, which is no place to use it")
	require.Equal(t, tokenexchange.Scope{"offline_access", "openid", "read"}, d.Scope)
	require.Equal(t, begun, d.Since)
	require.Equal(t, begun.Add(2*time.Hour), d.Until, "the refresh token, as long as the logins")
	require.Len(t, d.Tokens, 3)

	t.Run("given on, it is the same delegation", func(t *testing.T) {
		w.granted(w.exchange("gateway", a.text("access_token"), access, "audience", down, "scope", "read", "requested_token_type", string(jwt)))
		again := w.delegations()
		require.Len(t, again, 1)
		require.Equal(t, d.ID, again[0].ID)
		require.Equal(t, []string{api, down}, again[0].Audience)
		require.Equal(t, "helpdesk", again[0].Client, "who began it, and not who joined")
		require.Equal(t, begun, again[0].Since)
		require.Len(t, again[0].Tokens, 4)
		require.Equal(t, "gateway", again[0].Tokens[3].ClientID, "in the order in which they were issued")
	})
	t.Run("refreshed, it is the same since the same time", func(t *testing.T) {
		w.granted(w.refresh("helpdesk", a.text("refresh_token")))
		w.after(59*time.Minute + 30*time.Second) // the first access token is over
		again := w.delegations()
		require.Len(t, again, 1)
		require.Equal(t, d.ID, again[0].ID)
		require.Equal(t, begun, again[0].Since)
		require.Equal(t, "helpdesk", again[0].Client)
		require.True(t, again[0].Tokens[0].Issued.After(begun))
	})
}

// C07: what is the user's own is no delegation; an impersonation without a trace in the token is one.
func TestC07_DelegationIsToSomebodyElse(t *testing.T) {
	w := newWorld(t)
	users := []tokenexchange.Identity{{Kind: tokenexchange.KindUser, Tenant: "*", ID: "*"}}
	w.setRules(append(usualRules(), tokenexchange.Rule{Name: "own", Mode: tokenexchange.Narrow, Clients: []string{"webapp"}, Subjects: users,
		SubjectTypes: []tokenexchange.TokenType{access}, Types: []tokenexchange.TokenType{access}, SubjectAudience: true,
		Scope: tokenexchange.Scope{"*"}, Lifetime: time.Hour})...)
	own := w.granted(w.exchange("webapp", w.opaque("alice"), access, "scope", "read"))
	require.Empty(t, w.delegations())
	require.Len(t, w.list(alice, 100), 1, "List has it")

	w.granted(w.exchange("gateway", own.text("access_token"), access))
	d := w.delegations()
	require.Len(t, d, 1)
	require.Nil(t, d[0].Actor)
	require.Equal(t, "gateway", d[0].Client)
	require.Len(t, d[0].Tokens, 1)
	others, err := w.tokens.Delegations(t.Context(), bob)
	require.NoError(t, err)
	require.Empty(t, others)
}

// C07: ending one makes every token of it inactive, given on or refreshed, and nothing else.
func TestC07_EndDelegation(t *testing.T) {
	w := newWorld(t)
	login, helper := w.opaque("alice"), w.opaque("bob")
	a := w.granted(w.actFor(login, helper, "scope", "read openid offline_access"))
	renewed := w.granted(w.refresh("helpdesk", a.text("refresh_token")))
	on := w.granted(w.exchange("gateway", a.text("access_token"), access, "scope", "read", "requested_token_type", string(jwt)))
	further := w.granted(w.exchange("gateway", on.text("access_token"), access, "audience", api, "scope", "read"))
	w.after(time.Second)
	other := w.granted(w.exchange("gateway", login, access, "scope", "read"))
	require.Len(t, w.delegations(), 2)
	first, second := w.delegations()[0], w.delegations()[1]
	require.Nil(t, second.Actor)

	require.NoError(t, w.end(first.ID))
	for name, token := range map[string]string{"first": a.text("access_token"), "renewed": renewed.text("access_token"),
		"given on": on.text("access_token"), "and further": further.text("access_token")} {
		require.False(t, w.active(token), name)
	}
	w.refused(w.refresh("helpdesk", renewed.text("refresh_token")), tokenexchange.InvalidGrant, "revoked")
	for name, token := range map[string]string{"the user's login": login, "the actor's login": helper, "the other delegation": other.text("access_token")} {
		require.True(t, w.active(token), name)
	}
	require.Equal(t, []tokenstore.Delegation{second}, w.delegations())

	t.Run("it stays ended until a login of the user after it", func(t *testing.T) {
		narrowed := w.granted(w.exchange("gateway", login, access, "scope",
			"read")).text("access_token")
		for range 2 {
			for name, token := range map[string]string{"the same token": login,
				"narrowed": narrowed} {
				a := w.actFor(token, helper)
				w.refused(a, tokenexchange.InvalidRequest, "ended this delegation")
				require.NotContains(t, a.body, "ended", name)
				w.refused(w.actFor(token, w.opaque("bob")), tokenexchange.InvalidRequest,
					"ended this delegation")
			}
			w.after(20 * time.Minute)
		}
		w.granted(w.actFor(w.opaque("alice"), w.opaque("bob")))
	})
	t.Run("only one's own, and only once", func(t *testing.T) {
		require.ErrorIs(t, w.end(first.ID), tokenstore.ErrUnknown)
		require.ErrorIs(t, w.tokens.EndDelegation(t.Context(), bob, second.ID), tokenstore.ErrUnknown)
		for _, id := range []string{"", "x", first.ID[:20], second.ID + "AAAA", "\x00"} {
			require.ErrorIs(t, w.end(id), tokenstore.ErrUnknown, id)
		}
	})
}

// C07: an exchange of the same tokens once more adds to the delegation, and ends with it; another actor's is another.
func TestC07_TheSameTokensAreTheSameDelegation(t *testing.T) {
	w := newWorld(t)
	login, helper := w.opaque("alice"), w.opaque("bob")
	first := w.granted(w.actFor(login, helper))
	w.after(time.Minute)
	again := w.granted(w.actFor(login, helper, "audience", down))
	w.after(time.Second)
	// Another login of bob is listed by itself.
	elsewhere := w.granted(w.actFor(login, w.opaque("bob")))
	others := w.granted(w.exchange("gateway", login, access, "scope", "read"))
	list := w.delegations()
	require.Len(t, list, 3)
	require.Equal(t, []string{api, down}, list[0].Audience)
	require.Equal(t, w.clock().Add(-61*time.Second), list[0].Since)
	require.NoError(t, w.end(list[0].ID))
	require.False(t, w.active(first.text("access_token")))
	require.False(t, w.introspect("helpdesk", again.text("access_token"))["active"] == true)
	require.False(t, w.active(elsewhere.text("access_token")), "bob is out, through this client")
	require.True(t, w.active(others.text("access_token")), "another party is not")
}

// TestC07_AllowDelegation: what the user has ended is listed, and allowed again by its name.
func TestC07_AllowDelegation(t *testing.T) {
	w := newWorld(t)
	login := w.opaque("alice")
	w.granted(w.actFor(login, w.opaque("bob"), "scope", "read"))
	w.after(time.Second)
	w.granted(w.exchange("gateway", login, access, "scope", "read"))
	for _, d := range w.delegations() {
		require.NoError(t, w.end(d.ID))
		w.after(time.Second)
	}
	ended, err := w.tokens.EndedDelegations(t.Context(), alice)
	require.NoError(t, err)
	require.Len(t, ended, 2)
	require.Nil(t, ended[0].Actor)
	require.Equal(t, "gateway", ended[0].Client)
	require.Equal(t, "bob", ended[1].Actor.Subject)
	require.Equal(t, "helpdesk", ended[1].Client)
	for _, who := range []tokenexchange.Identity{bob, {}} {
		require.ErrorIs(t, w.tokens.AllowDelegation(t.Context(), who, ended[1].ID),
			tokenstore.ErrUnknown)
	}
	require.ErrorIs(t, w.tokens.AllowDelegation(t.Context(), alice, ""), tokenstore.ErrUnknown)

	w.refused(w.actFor(login, w.opaque("bob"), "scope", "read"), tokenexchange.InvalidRequest,
		"ended this delegation")
	require.NoError(t, w.tokens.AllowDelegation(t.Context(), alice, ended[1].ID))
	w.granted(w.actFor(login, w.opaque("bob"), "scope", "read"))
	w.refused(w.exchange("gateway", login, access, "scope", "read"), tokenexchange.InvalidRequest,
		"ended this delegation")
	require.ErrorIs(t, w.tokens.AllowDelegation(t.Context(), alice, ended[1].ID),
		tokenstore.ErrUnknown)
	ended, err = w.tokens.EndedDelegations(t.Context(), alice)
	require.NoError(t, err)
	require.Len(t, ended, 1)
}

// TestC07_RefusedAsEndedLeavesNothing: a ticket is good still, and a record of the refused token is
// not live.
func TestC07_RefusedAsEndedLeavesNothing(t *testing.T) {
	w := newWorld(t)
	login := w.opaque("alice")
	a := w.granted(w.actFor(login, w.opaque("bob"), "scope", "read openid offline_access"))
	require.NoError(t, w.end(w.delegations()[0].ID))
	w.refused(w.refresh("helpdesk", a.text("refresh_token")), tokenexchange.InvalidGrant, "")
	w.refused(w.actFor(login, w.opaque("bob"), "scope", "read"), tokenexchange.InvalidRequest,
		"ended this delegation")
	require.Empty(t, w.delegations())
	tokens, _, err := w.tokens.List(t.Context(), alice, "", tokenstore.MaxPage)
	require.NoError(t, err)
	require.Empty(t, tokens)
}

// C07: the end of a parent by time ends nothing, and what is left of a delegation can still be ended by its old name.
func TestC07_ParentsExpireAndTheDelegationGoesOn(t *testing.T) {
	w := newWorld(t)
	w.lets(func(r *tokenexchange.Rule) {
		if r.Name == "gateway" {
			r.OutliveSubject, r.Lifetime = true, 5*time.Hour
		}
	})
	w.people.Add(tokenexchange.Subject{Identity: alice, Scope: tokenexchange.Scope{"read"}, Until: w.clock().Add(5 * time.Hour)})
	a := w.granted(w.actFor(w.opaque("alice"), w.opaque("bob"), "scope", "read"))
	id := w.delegations()[0].ID
	on := w.granted(w.exchange("gateway", a.text("access_token"), access))
	w.after(3 * time.Hour) // both logins and the first token are over
	require.False(t, w.active(a.text("access_token")))
	require.True(t, w.active(on.text("access_token")), "the end of a parent by time ends nothing")
	list := w.delegations()
	require.Len(t, list, 1)
	require.Equal(t, "bob", list[0].Actor.Subject)
	require.NoError(t, w.end(id))
	require.False(t, w.active(on.text("access_token")))
	require.Empty(t, w.delegations())
}

// C07: the name of a delegation is that of the outer one, also where all that lives of it was given on: to end an inner one
// would let the outer one begin again.
func TestC07_TheNameStays(t *testing.T) {
	w := newWorld(t)
	w.lets(func(r *tokenexchange.Rule) { r.OutliveSubject = r.Name == "gateway" })
	for range 10 { // keys are hashes: once could be luck
		w.people.Add(tokenexchange.Subject{Identity: alice, Scope: tokenexchange.Scope{"read"}, Until: w.clock().Add(5 * time.Hour)})
		login, helper := w.opaque("alice"), w.opaque("bob")
		a := w.granted(w.actFor(login, helper, "scope", "read"))
		id := w.delegations()[0].ID
		w.after(59 * time.Minute)
		w.granted(w.exchange("gateway", a.text("access_token"), access))
		w.after(2 * time.Minute)
		list := w.delegations()
		require.Len(t, list, 1)
		require.Len(t, list[0].Tokens, 1, "the first token has expired")
		require.Equal(t, id, list[0].ID)
		require.NoError(t, w.end(list[0].ID))
		w.refused(w.actFor(login, helper, "scope", "read"), tokenexchange.InvalidRequest,
			"ended this delegation")
		w.after(2 * time.Minute) // the next login is after that
	}
}

// C07: a name is no login, so the user must allow an ended delegation by its name before a door
// that brings names goes on.
func TestC07_NamesAreNoTokens(t *testing.T) {
	w := newWorld(t)
	w.lets(func(r *tokenexchange.Rule) {
		if r.Name == "helpdesk" {
			r.SubjectTypes, r.ActorTypes = append(r.SubjectTypes, ticket), append(r.ActorTypes, ticket)
		}
	})
	act := func() (string, error) {
		answer, err := w.x.Run(t.Context(), "act_as", w.client["helpdesk"], func(_ context.Context, now time.Time) (
			tokenexchange.Request, tokenexchange.Token, *tokenexchange.Token, error) {
			named := func(who string) tokenexchange.Token {
				return tokenexchange.Token{Type: ticket, Kind: tokenexchange.KindUser, Name: true,
					Issuer: issuer, Subject: who, Scope: tokenexchange.Scope{"read"},
					Expires: now.Add(time.Hour)}
			}
			bob := named("bob")
			return tokenexchange.Request{RequestedTokenType: access}, named("alice"), &bob, nil
		})
		return answer.AccessToken, err
	}
	first, err := act()
	require.NoError(t, err)
	w.after(time.Second)
	second, err := act()
	require.NoError(t, err)
	list := w.delegations()
	require.Len(t, list, 2)
	require.NoError(t, w.end(list[0].ID))
	require.False(t, w.active(first))
	require.False(t, w.active(second))
	w.after(time.Hour)
	_, err = act()
	require.ErrorIs(t, err, tokenexchange.InvalidRequest)
	ended, err := w.tokens.EndedDelegations(t.Context(), alice)
	require.NoError(t, err)
	require.NoError(t, w.tokens.AllowDelegation(t.Context(), alice, ended[0].ID))
	_, err = act()
	require.NoError(t, err)
}

// C07: what is being exchanged while a delegation ends is refused, or has ended with it.
func TestC07_EndAmongExchanges(t *testing.T) {
	w := newWorld(t)
	login, helper := w.opaque("alice"), w.opaque("bob")
	first := w.granted(w.actFor(login, helper, "scope", "read"))
	id := w.delegations()[0].ID
	var mu sync.Mutex
	tokens, refused := []string{first.text("access_token")}, 0
	exchanging, ended := make(chan struct{}, 100), make(chan struct{})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			own := first.text("access_token") // each one goes on with what it got last, so some are many hops deep
			for after := 0; after < 3; {
				select {
				case <-ended:
					after++
				default:
				}
				a := w.exchange("gateway", own, access, "scope", "read")
				if i%2 == 0 {
					a = w.actFor(login, helper, "scope", "read")
				}
				mu.Lock()
				if a.status == 200 {
					own = a.text("access_token")
					tokens = append(tokens, own)
				} else {
					refused++
				}
				mu.Unlock()
				select {
				case exchanging <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 20 {
		<-exchanging
	}
	require.NoError(t, w.end(id))
	close(ended)
	all.Wait()
	require.Greater(t, len(tokens), 5)
	require.GreaterOrEqual(t, refused, 8)
	for _, token := range tokens {
		require.False(t, w.active(token))
	}
	require.Empty(t, w.delegations())
}

// C07: revoking any of the tokens that it was made from ends a delegation.
func TestC07_AnyParentEndsTheDelegation(t *testing.T) {
	for _, parent := range []string{"subject", "actor", "refresh"} {
		w := newWorld(t)
		login, helper := w.opaque("alice"), w.opaque("bob")
		a := w.granted(w.actFor(login, helper, "scope", "read offline_access"))
		on := w.granted(w.exchange("gateway", a.text("access_token"), access, "scope", "read"))
		token := map[string]string{"subject": login, "actor": helper, "refresh": a.text("refresh_token")}[parent]
		by := map[string]string{"subject": "webapp", "actor": "webapp", "refresh": "helpdesk"}[parent]
		require.Equal(t, 200, w.post("/revoke", by, url.Values{"token": {token}}).status)
		require.False(t, w.active(on.text("access_token")), parent)
		require.Empty(t, w.delegations(), parent)
	}
}

func TestC07_FailuresAreNoAnswer(t *testing.T) {
	w := newWorld(t)
	w.granted(w.actFor(w.opaque("alice"), w.opaque("bob")))
	id := w.delegations()[0].ID
	w.tokens.Store = nil
	_, err := w.tokens.Delegations(t.Context(), alice)
	require.Error(t, err)
	require.Error(t, w.end(id))
	require.False(t, errors.Is(w.end(id), tokenstore.ErrUnknown))
}

// C07: a ticket is a delegation to whom it names, opaque or signed; what it is exchanged for joins it.
func TestC07_TicketBeginsADelegation(t *testing.T) {
	for _, opaque := range []bool{false, true} {
		w := newWorld(t)
		if opaque {
			w.tokens.Opaque = map[tokenexchange.TokenType]string{access: "at_", ticket: "tk_"}
		}
		w.tokens.MayAct = func(_ context.Context, d tokenexchange.Decision) (*tokenexchange.Actor, error) {
			if d.Type == ticket {
				return &tokenexchange.Actor{Issuer: issuer, Subject: "bob"}, nil
			}
			return nil, nil
		}
		w.lets(func(r *tokenexchange.Rule) { r.Types = append(r.Types, ticket) })
		made := w.granted(w.exchange("gateway", w.opaque("alice"), access, "requested_token_type", string(ticket), "scope", "read"))
		d := w.delegations()
		require.Len(t, d, 1)
		require.NotNil(t, d[0].Actor)
		require.Equal(t, "bob", d[0].Actor.Subject)
		used := w.granted(w.exchange("helpdesk", made.text("access_token"), ticket, "actor_token", w.opaque("bob"),
			"actor_token_type", string(access), "audience", api, "scope", "read"))
		list := w.delegations()
		require.Len(t, list, 1)
		require.Len(t, list[0].Tokens, 1, "the ticket is used up")
		require.Equal(t, "helpdesk", list[0].Client)
		require.NoError(t, w.end(d[0].ID))
		require.False(t, w.active(used.text("access_token")), "it has joined the delegation of its ticket")
	}
}
