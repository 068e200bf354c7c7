package tokenstore_test

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// delegations returns the delegations of alice.
func (w *world) delegations() []tokenstore.Delegation {
	w.Helper()
	list, err := w.tokens.Delegations(w.Context(), alice)
	require.NoError(w, err)
	return list
}

// end ends a delegation of alice.
func (w *world) end(id string) error { return w.tokens.EndDelegation(w.Context(), alice, id) }

// actFor is an exchange through helpdesk with an actor token.
func (w *world) actFor(subject, actor string, more ...string) answer {
	form := []string{"actor_token", actor, "actor_token_type", string(access)}
	return w.exchange("helpdesk", subject, access, append(form, more...)...)
}

// changeRules makes the same change to each of the usual rules.
func (w *world) changeRules(change func(*tx.Rule)) {
	rules := usualRules()
	for i := range rules {
		change(&rules[i])
	}
	w.setRules(rules...)
}

// A Delegation has its actor, client, times, audience and scope.
func TestC07_Delegation(t *testing.T) {
	w := newWorld(t)
	begun := w.clock()
	a := w.granted(w.actFor(w.opaque("alice"), w.opaque("bob"),
		"scope", "read openid offline_access"))
	w.after(time.Minute)
	list := w.delegations()
	require.Len(t, list, 1)
	d := list[0]
	require.Equal(t, &tx.Actor{Issuer: issuer, Subject: "bob", ClientID: "webapp"}, d.Actor)
	require.Equal(t, "helpdesk", d.Client)
	require.Equal(t, []string{api}, d.Audience, "the audience of the ID token is left out")
	require.Equal(t, tx.Scope{"offline_access", "openid", "read"}, d.Scope)
	require.Equal(t, begun, d.Since)
	require.Equal(t, begun.Add(2*time.Hour), d.Until, "the expiry of the refresh token")
	require.Len(t, d.Tokens, 3)

	t.Run("a token is exchanged within the delegation", func(t *testing.T) {
		w.granted(w.exchange("gateway", a.text("access_token"), access, "audience", down,
			"scope", "read", "requested_token_type", string(jwt)))
		again := w.delegations()
		require.Len(t, again, 1)
		require.Equal(t, d.ID, again[0].ID)
		require.Equal(t, []string{api, down}, again[0].Audience)
		require.Equal(t, "helpdesk", again[0].Client, "the client that began the delegation")
		require.Equal(t, begun, again[0].Since)
		require.Len(t, again[0].Tokens, 4)
		require.Equal(t, "gateway", again[0].Tokens[3].ClientID, "the token that was issued last")
	})
	t.Run("a refresh does not change the delegation", func(t *testing.T) {
		w.granted(w.refresh("helpdesk", a.text("refresh_token")))
		w.after(59*time.Minute + 30*time.Second) // the first access token has expired
		again := w.delegations()
		require.Len(t, again, 1)
		require.Equal(t, d.ID, again[0].ID)
		require.Equal(t, begun, again[0].Since)
		require.Equal(t, "helpdesk", again[0].Client)
		require.True(t, again[0].Tokens[0].Issued.After(begun))
	})
}

// The user's own tokens are in no delegation. An impersonation is a delegation, although its token
// has no act.
func TestC07_OwnTokensAreNoDelegation(t *testing.T) {
	w := newWorld(t)
	users := []tx.Identity{{Kind: tx.KindUser, Tenant: "*", ID: "*"}}
	w.setRules(append(usualRules(), tx.Rule{Name: "own", Narrow: &tx.Narrowing{},
		Clients: []string{"webapp"}, Subjects: users,
		SubjectTypes: []tx.TokenType{access}, Types: []tx.TokenType{access}, SubjectAudience: true,
		Scope: tx.Scope{"*"}, Lifetime: time.Hour})...)
	own := w.granted(w.exchange("webapp", w.opaque("alice"), access, "scope", "read"))
	require.Empty(t, w.delegations())
	require.Len(t, w.list(alice, 100), 1, "List has the token")

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

// EndDelegation revokes every token of the delegation, even after exchanges and refreshes, and no
// other token.
func TestC07_EndDelegation(t *testing.T) {
	w := newWorld(t)
	login, helper := w.opaque("alice"), w.opaque("bob")
	a := w.granted(w.actFor(login, helper, "scope", "read openid offline_access"))
	renewed := w.granted(w.refresh("helpdesk", a.text("refresh_token")))
	second := w.granted(w.exchange("gateway", a.text("access_token"), access, "scope", "read",
		"requested_token_type", string(jwt)))
	third := w.granted(w.exchange("gateway", second.text("access_token"), access,
		"audience", api, "scope", "read"))
	w.after(time.Second)
	other := w.granted(w.exchange("gateway", login, access, "scope", "read"))
	require.Len(t, w.delegations(), 2)
	bobs, gateways := w.delegations()[0], w.delegations()[1]
	require.Nil(t, gateways.Actor)

	require.NoError(t, w.end(bobs.ID))
	for name, token := range map[string]string{
		"first":           a.text("access_token"),
		"refreshed":       renewed.text("access_token"),
		"exchanged again": second.text("access_token"),
		"exchanged twice": third.text("access_token"),
	} {
		require.False(t, w.active(token), name)
	}
	w.refused(w.refresh("helpdesk", renewed.text("refresh_token")), tx.InvalidGrant,
		"token_revoked")
	for name, token := range map[string]string{
		"the user's login": login, "the actor's login": helper,
		"the other delegation": other.text("access_token"),
	} {
		require.True(t, w.active(token), name)
	}
	require.Equal(t, []tokenstore.Delegation{gateways}, w.delegations())

	t.Run("the delegation stays ended until the user logs in again", func(t *testing.T) {
		narrowed := w.granted(w.exchange("gateway", login, access, "scope",
			"read")).text("access_token")
		for range 2 {
			for name, token := range map[string]string{"the same token": login,
				"narrowed": narrowed} {
				a := w.actFor(token, helper)
				w.refused(a, tx.InvalidRequest, "delegation_ended")
				require.NotContains(t, a.body, "ended", name)
				w.refused(w.actFor(token, w.opaque("bob")), tx.InvalidRequest,
					"delegation_ended")
			}
			w.after(20 * time.Minute)
		}
		w.granted(w.actFor(w.opaque("alice"), w.opaque("bob")))
	})
	t.Run("an unknown delegation", func(t *testing.T) {
		require.ErrorIs(t, w.end(bobs.ID), tokenstore.ErrUnknown, "it has ended")
		err := w.tokens.EndDelegation(t.Context(), bob, gateways.ID)
		require.ErrorIs(t, err, tokenstore.ErrUnknown, "it is of another user")
		for _, id := range []string{"", "x", bobs.ID[:20], gateways.ID + "AAAA", "\x00"} {
			require.ErrorIs(t, w.end(id), tokenstore.ErrUnknown, id)
		}
	})
}

// Another exchange of the same tokens joins the same delegation, and its token ends with it. An
// exchange without the actor begins another one.
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
	require.False(t, w.active(elsewhere.text("access_token")), "of the same party and client")
	require.True(t, w.active(others.text("access_token")), "of another party")
}

// An ended delegation is listed, and the user can allow it again.
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
	for _, user := range []tx.Identity{bob, {}} {
		require.ErrorIs(t, w.tokens.AllowDelegation(t.Context(), user, ended[1].ID),
			tokenstore.ErrUnknown)
	}
	require.ErrorIs(t, w.tokens.AllowDelegation(t.Context(), alice, ""), tokenstore.ErrUnknown)

	w.refused(w.actFor(login, w.opaque("bob"), "scope", "read"), tx.InvalidRequest,
		"delegation_ended")
	require.NoError(t, w.tokens.AllowDelegation(t.Context(), alice, ended[1].ID))
	w.granted(w.actFor(login, w.opaque("bob"), "scope", "read"))
	w.refused(w.exchange("gateway", login, access, "scope", "read"), tx.InvalidRequest,
		"delegation_ended")
	require.ErrorIs(t, w.tokens.AllowDelegation(t.Context(), alice, ended[1].ID),
		tokenstore.ErrUnknown)
	ended, err = w.tokens.EndedDelegations(t.Context(), alice)
	require.NoError(t, err)
	require.Len(t, ended, 1)
}

// An exchange that is refused because the delegation has ended leaves no live record.
func TestC07_RefusedAsEndedLeavesNothing(t *testing.T) {
	w := newWorld(t)
	login := w.opaque("alice")
	a := w.granted(w.actFor(login, w.opaque("bob"), "scope", "read openid offline_access"))
	require.NoError(t, w.end(w.delegations()[0].ID))
	w.refused(w.refresh("helpdesk", a.text("refresh_token")), tx.InvalidGrant, "token_revoked")
	w.refused(w.actFor(login, w.opaque("bob"), "scope", "read"), tx.InvalidRequest,
		"delegation_ended")
	require.Empty(t, w.delegations())
	tokens, _, err := w.tokens.List(t.Context(), alice, "", tokenstore.MaxPage)
	require.NoError(t, err)
	require.Empty(t, tokens)
}

// A token that expires ends no other token of its delegation, and the delegation keeps its ID.
func TestC07_DelegationOutlivesItsFirstTokens(t *testing.T) {
	w := newWorld(t)
	w.changeRules(func(r *tx.Rule) {
		if r.Name == "gateway" {
			r.Impersonate.OutliveSubject, r.Lifetime = true, 5*time.Hour
		}
	})
	w.people.Add(tx.Subject{Identity: alice, Scope: tx.Scope{"read"},
		Until: w.clock().Add(5 * time.Hour)})
	a := w.granted(w.actFor(w.opaque("alice"), w.opaque("bob"), "scope", "read"))
	id := w.delegations()[0].ID
	second := w.granted(w.exchange("gateway", a.text("access_token"), access))
	w.after(3 * time.Hour) // both logins and the first token have expired
	require.False(t, w.active(a.text("access_token")))
	require.True(t, w.active(second.text("access_token")))
	list := w.delegations()
	require.Len(t, list, 1)
	require.Equal(t, "bob", list[0].Actor.Subject)
	require.NoError(t, w.end(id))
	require.False(t, w.active(second.text("access_token")))
	require.Empty(t, w.delegations())
}

// A delegation has the ID of the outer one, even if its only live token was exchanged within it. If
// the user ended an inner one, the outer one could begin again.
func TestC07_OuterDelegation(t *testing.T) {
	w := newWorld(t)
	w.changeRules(func(r *tx.Rule) {
		if r.Name == "gateway" {
			r.Impersonate.OutliveSubject = true
		}
	})
	for range 10 { // keys are hashes: once could be luck
		w.people.Add(tx.Subject{Identity: alice, Scope: tx.Scope{"read"},
			Until: w.clock().Add(5 * time.Hour)})
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
		w.refused(w.actFor(login, helper, "scope", "read"), tx.InvalidRequest,
			"delegation_ended")
		w.after(2 * time.Minute) // so that the next login is after the end
	}
}

// A user name is not a login. So a grant that takes names works again only after the user has
// allowed the ended delegation.
func TestC07_UserNames(t *testing.T) {
	w := newWorld(t)
	w.changeRules(func(r *tx.Rule) {
		if r.Name == "helpdesk" {
			r.SubjectTypes = append(r.SubjectTypes, ticket)
			r.Delegate.ActorTypes = append(r.Delegate.ActorTypes, ticket)
		}
	})
	open := func(_ context.Context, now time.Time) (tx.Request, tx.Token, *tx.Token, error) {
		named := func(user string) tx.Token {
			return tx.Token{Type: ticket, Kind: tx.KindUser, Name: true,
				Issuer: issuer, Subject: user, Scope: tx.Scope{"read"},
				Expires: now.Add(time.Hour)}
		}
		bob := named("bob")
		return tx.Request{RequestedTokenType: access}, named("alice"), &bob, nil
	}
	act := func() (string, error) {
		response, err := w.x.Run(t.Context(), "act_as", w.client["helpdesk"], open)
		return response.AccessToken, err
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
	require.ErrorIs(t, err, tx.InvalidRequest)
	ended, err := w.tokens.EndedDelegations(t.Context(), alice)
	require.NoError(t, err)
	require.NoError(t, w.tokens.AllowDelegation(t.Context(), alice, ended[0].ID))
	_, err = act()
	require.NoError(t, err)
}

// An exchange during EndDelegation is refused, or its token is revoked too.
func TestC07_EndDuringExchanges(t *testing.T) {
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
			own := first.text("access_token") // exchanged again and again, through many hops
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

// Revoking any of the tokens that it was made from ends a delegation.
func TestC07_RevokedParentEndsTheDelegation(t *testing.T) {
	for _, parent := range []string{"subject", "actor", "refresh"} {
		w := newWorld(t)
		login, helper := w.opaque("alice"), w.opaque("bob")
		a := w.granted(w.actFor(login, helper, "scope", "read offline_access"))
		second := w.granted(w.exchange("gateway", a.text("access_token"), access, "scope", "read"))
		token, client := login, "webapp"
		switch parent {
		case "actor":
			token = helper
		case "refresh":
			token, client = a.text("refresh_token"), "helpdesk"
		}
		require.Equal(t, 200, w.post("/revoke", client, url.Values{"token": {token}}).status)
		require.False(t, w.active(second.text("access_token")), parent)
		require.Empty(t, w.delegations(), parent)
	}
}

// A failure of the store is not ErrUnknown.
func TestC07_FailingStore(t *testing.T) {
	w := newWorld(t)
	w.granted(w.actFor(w.opaque("alice"), w.opaque("bob")))
	id := w.delegations()[0].ID
	w.tokens.Store = nil
	_, err := w.tokens.Delegations(t.Context(), alice)
	require.Error(t, err)
	require.Error(t, w.end(id))
	require.False(t, errors.Is(w.end(id), tokenstore.ErrUnknown))
}

// A ticket, opaque or signed, begins a delegation to the party that it names. The token that the
// ticket is exchanged for joins it.
func TestC07_TicketBeginsADelegation(t *testing.T) {
	for _, opaque := range []bool{false, true} {
		w := newWorld(t)
		if opaque {
			w.tokens.Opaque = map[tx.TokenType]string{access: "at_", ticket: "tk_"}
		}
		w.tokens.MayAct = func(_ context.Context, d tx.Decision) (*tx.Actor, error) {
			if d.Type == ticket {
				return &tx.Actor{Issuer: issuer, Subject: "bob"}, nil
			}
			return nil, nil
		}
		w.changeRules(func(r *tx.Rule) { r.Types = append(r.Types, ticket) })
		made := w.granted(w.exchange("gateway", w.opaque("alice"), access,
			"requested_token_type", string(ticket), "scope", "read"))
		d := w.delegations()
		require.Len(t, d, 1)
		require.NotNil(t, d[0].Actor)
		require.Equal(t, "bob", d[0].Actor.Subject)
		used := w.granted(w.exchange("helpdesk", made.text("access_token"), ticket,
			"actor_token", w.opaque("bob"), "actor_token_type", string(access),
			"audience", api, "scope", "read"))
		list := w.delegations()
		require.Len(t, list, 1)
		require.Len(t, list[0].Tokens, 1, "the ticket is used up")
		require.Equal(t, "helpdesk", list[0].Client)
		require.NoError(t, w.end(d[0].ID))
		require.False(t, w.active(used.text("access_token")), "of the delegation of its ticket")
	}
}
