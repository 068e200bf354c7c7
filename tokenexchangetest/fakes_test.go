package tokenexchangetest_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

func TestDirectory(t *testing.T) {
	mallory := tx.Identity{Issuer: as, Kind: tx.KindUser, ID: "mallory"}
	userReports := tx.Identity{Issuer: as, Kind: tx.KindUser, ID: "reports"}
	clientReports := tx.Identity{Issuer: as, Kind: tx.KindClient, ID: "reports"}
	d := tokenexchangetest.NewDirectory(tx.Subject{Identity: alice, Token: tx.Token{ID: "t1"}},
		tx.Subject{Identity: mallory},
		tx.Subject{Identity: userReports}, tx.Subject{Identity: clientReports}, tx.Subject{
			Identity: alice, Privileges: []string{"help"}, Token: tx.Token{ID: "t1"}})
	d.Link("https://idp.example", "00u1", alice)
	d.Disable(mallory)

	for _, tt := range []struct {
		name string
		tok  tx.Token
		want tx.Identity // zero: refused
	}{
		{"known", tx.Token{Type: tx.TypeAccessToken, Issuer: as, Subject: "alice"}, alice},
		{"carried actor", tx.Token{Issuer: as, Subject: "alice", ClientID: "web"}, alice},
		{"linked", tx.Token{Issuer: "https://idp.example", Subject: "00u1"}, alice},
		{"of the kind", tx.Token{Kind: tx.KindUser, Issuer: as, Subject: "alice"}, alice},
		{"of another kind", tx.Token{Kind: tx.KindClient, Issuer: as, Subject: "alice"},
			tx.Identity{}},
		{"another issuer", tx.Token{Issuer: "https://idp.example", Subject: "alice"},
			tx.Identity{}},
		{"unknown", tx.Token{Issuer: as, Subject: "bob"}, tx.Identity{}},
		{"zero", tx.Token{}, tx.Identity{}},
		{"disabled", tx.Token{Issuer: as, Subject: "mallory"}, tx.Identity{}},
		{"user", tx.Token{Kind: tx.KindUser, Issuer: as, Subject: "reports"}, userReports},
		{"client", tx.Token{Kind: tx.KindClient, Issuer: as, Subject: "reports"}, clientReports},
		{"user or client", tx.Token{Issuer: as, Subject: "reports", ClientID: "reports"},
			tx.Identity{}},
	} {
		s, err := d.ResolveSubject(ctx, tt.tok)
		assert.Equal(t, tt.want, s.Identity, tt.name)
		if tt.want == (tx.Identity{}) {
			assert.ErrorIs(t, err, tx.InvalidRequest, tt.name)
		} else {
			assert.NoError(t, err, tt.name)
		}
	}

	s, _ := d.ResolveSubject(ctx, tx.Token{Issuer: as, Subject: "alice"})
	assert.Empty(t, s.Token, "an Exchanger sets Token")
	s.Privileges[0] = "everything"
	s, _ = d.ResolveSubject(ctx, tx.Token{Issuer: as, Subject: "alice"})
	assert.Equal(t, []string{"help"}, s.Privileges, "the result is a copy")

	d.Add(tx.Subject{Identity: mallory})
	_, err := d.ResolveSubject(ctx, tx.Token{Issuer: as, Subject: "mallory"})
	assert.NoError(t, err, "an entry that is added again is active")
	d.Fail(errDown)
	_, err = d.ResolveSubject(ctx, tx.Token{Issuer: as, Subject: "alice"})
	assert.Equal(t, errDown, err)
	assert.Panics(t, func() { d.Add(tx.Subject{}) })
	assert.Panics(t, func() { d.Disable(tx.Identity{ID: "bob"}) })
	assert.Panics(t, func() { d.Link("https://idp.example", "00u2", tx.Identity{ID: "bob"}) })
}

func TestAuthorizer(t *testing.T) {
	var zero tokenexchangetest.Authorizer
	f := tx.Facts{Issuer: as, Client: tx.Client{ID: "orders-api"},
		Subject: tx.Subject{Identity: alice}, Actor: &tx.Subject{Identity: billerAPI}}
	assert.ErrorIs(t, zero.AuthorizeActor(ctx, f), tx.InvalidRequest, "I01")

	a := &tokenexchangetest.Authorizer{Pairs: []tokenexchangetest.Pair{{}, {Actor: ordersAPI,
		Subject: alice}}}
	assert.ErrorIs(t, a.AuthorizeActor(ctx, f), tx.InvalidRequest,
		"the actor counts, not the client")
	f.Actor = nil
	assert.NoError(t, a.AuthorizeActor(ctx, f), "without an actor the client acts")
	assert.ErrorIs(t, a.AuthorizeActor(ctx, tx.Facts{}), tx.InvalidRequest,
		"an empty pair matches nothing")
	a.Pairs = append(a.Pairs, tokenexchangetest.Pair{Actor: ordersAPI},
		tokenexchangetest.Pair{Subject: alice})
	half := tx.Facts{Actor: &tx.Subject{}, Subject: tx.Subject{Identity: alice}}
	assert.ErrorIs(t, a.AuthorizeActor(ctx, half), tx.InvalidRequest,
		"nor does a pair without an actor or subject")
	half = tx.Facts{Actor: &tx.Subject{Identity: ordersAPI}}
	assert.ErrorIs(t, a.AuthorizeActor(ctx, half), tx.InvalidRequest,
		"nor does a pair without an actor or subject")
	half.Actor.ID = "changed afterwards"
	require.Len(t, a.Asked(), 5)
	assert.Equal(t, f, a.Asked()[1])
	assert.Equal(t, ordersAPI, a.Asked()[4].Actor.Identity)
	a.Asked()[0].Actor.ID = "changed"
	assert.Equal(t, billerAPI, a.Asked()[0].Actor.Identity, "Asked returns copies")

	watched := &tokenexchangetest.Authorizer{Func: zero.AuthorizeActor, Pairs: a.Pairs}
	assert.ErrorIs(t, watched.AuthorizeActor(ctx, f), tx.InvalidRequest,
		"Func answers in place of Pairs")
	watched.Fail(errDown)
	assert.Equal(t, errDown, watched.AuthorizeActor(ctx, f))
	assert.Len(t, watched.Asked(), 2)
	assert.Len(t, zero.Asked(), 2)
}

func TestIssuer(t *testing.T) {
	var i tokenexchangetest.Issuer
	d := decided()
	d.Type, d.Scope = tx.TypeJWT, nil
	made, err := i.IssueToken(ctx, d)
	require.NoError(t, err)
	d.Audience[0] = "changed afterwards"

	c := tx.Credential{Token: made.Value, Type: tx.TypeAccessToken, Issuer: as, Now: noon}
	tok, err := i.Verify(ctx, c)
	require.NoError(t, err)
	assert.Equal(t, tx.TypeAccessToken, tok.Type, "R07: an own JWT is an access token")
	assert.Equal(t, tx.Scope{}, tok.Scope, "an empty scope, not an unknown one")
	assert.Equal(t, billing, tok.Audience[0])
	decision, ok := i.Decision(made.Value)
	assert.True(t, ok)
	assert.Equal(t, billing, decision.Audience[0])

	for name, change := range map[string]func(*tx.Credential){
		"unknown":        func(c *tx.Credential) { c.Token = "unknown" },
		"empty":          func(c *tx.Credential) { c.Token = "" },
		"another issuer": func(c *tx.Credential) { c.Issuer = "https://other.example" },
		"another type":   func(c *tx.Credential) { c.Type = tx.TypeIDToken },
		"at its expiry":  func(c *tx.Credential) { c.Now = made.Expires },
	} {
		bad := c
		change(&bad)
		_, err := i.Verify(ctx, bad)
		assert.ErrorIs(t, err, tx.InvalidRequest, name)
	}
	c.Type = tx.TypeJWT
	_, err = i.Verify(ctx, c)
	assert.NoError(t, err, "TypeJWT matches every type")

	require.NoError(t, made.Discard(ctx))
	_, err = i.Verify(ctx, c)
	assert.ErrorIs(t, err, tx.InvalidRequest, "discarded")
	_, ok = i.Decision(made.Value)
	assert.False(t, ok)
	assert.Zero(t, i.Len())

	value := i.Put(tx.Token{ID: "t1", Issuer: as, Subject: "alice", Expires: noon.Add(time.Second)})
	_, ok = i.Decision(value)
	assert.False(t, ok, "no policy decided it")
	tok, err = i.Verify(ctx, tx.Credential{Token: i.Put(tok), Type: tx.TypeAccessToken, Issuer: as,
		Now: noon})
	require.NoError(t, err)
	i.Revoke(tok.ID)
	withoutID := i.Put(tx.Token{Issuer: as, Subject: "alice", Expires: noon.Add(time.Second)})
	tok, err = i.Verify(ctx, tx.Credential{Token: withoutID, Type: tx.TypeAccessToken, Issuer: as,
		Now: noon})
	require.NoError(t, err)
	assert.NotEmpty(t, tok.ID)
	i.Revoke(tok.ID)
	i.Revoke("t1")
	assert.Zero(t, i.Len())
}

func TestRecorder(t *testing.T) {
	var r tokenexchangetest.Recorder
	assert.Nil(t, r.Events())
	assert.Zero(t, r.Last())
	for n := range 3 {
		require.NoError(t, r.RecordExchange(ctx, tx.Event{TokenID: strconv.Itoa(n)}))
	}
	r.Fail(errDown)
	assert.Equal(t, errDown, r.RecordExchange(ctx, tx.Event{TokenID: "lost"}))
	assert.Equal(t, "2", r.Last().TokenID)
	require.Len(t, r.Events(), 3)
	assert.Equal(t, "0", r.Events()[0].TokenID)
}

func TestFakesReturnTheErrorOfTheirContext(t *testing.T) {
	ended, cancel := context.WithCancel(ctx)
	cancel()
	w := newWorld(t)
	token := w.login()
	_, err := w.directory.ResolveSubject(ended, tx.Token{Issuer: as, Subject: "alice"})
	assert.Equal(t, context.Canceled, err)
	assert.Equal(t, context.Canceled, w.authorizer.AuthorizeActor(ended, tx.Facts{}))
	_, err = w.tokens.IssueToken(ended, decided())
	assert.Equal(t, context.Canceled, err)
	_, err = w.tokens.Verify(ended, access(token))
	assert.Equal(t, context.Canceled, err)
	assert.NoError(t, w.audit.RecordExchange(ended, tx.Event{}),
		"an event is recorded although its request has ended")
}

// An issuer refuses a decision that lacks a field which every token needs.
func TestIssuerRefusesIncompleteDecisions(t *testing.T) {
	for name, remove := range map[string]func(*tx.Decision){
		"mode":                          func(d *tx.Decision) { d.Mode = "" },
		"issuer or client":              func(d *tx.Decision) { d.Issuer = "" },
		"a subject of this issuer":      func(d *tx.Decision) { d.Subject.Kind = "" },
		"its actor":                     func(d *tx.Decision) { d.Actor = nil },
		"type or audience":              func(d *tx.Decision) { d.Audience = nil },
		"lifetime":                      func(d *tx.Decision) { d.Expires = d.Issued },
		"lifetime, for a refresh token": func(d *tx.Decision) { d.RefreshToken = true },
	} {
		var i tokenexchangetest.Issuer
		d := decided()
		remove(&d)
		_, err := i.IssueToken(ctx, d)
		missing, _, _ := strings.Cut(name, ",")
		assert.ErrorContains(t, err, "without "+missing)
		assert.Zero(t, i.Len())
	}
}

// Every method may be called during an exchange.
func TestFakesAreSafeForConcurrentUse(t *testing.T) {
	w := newWorld(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			w.directory.Disable(billerAPI)
			w.directory.Add(tx.Subject{Identity: billerAPI})
			w.directory.Link("https://idp.example", "00u1", alice)
			w.directory.Fail(nil)
			w.authorizer.Fail(nil)
			w.tokens.Fail(nil)
			w.audit.Fail(nil)
			resp, err := w.Exchange(context.Background(), ordersHost,
				form(w.login(), w.clientToken("orders-api"), billing, "read"))
			assert.NoError(t, err)
			w.tokens.Decision(resp.AccessToken)
			w.tokens.Revoke(w.audit.Last().TokenID)
			w.authorizer.Asked()
			w.audit.Events()
		})
	}
	wg.Wait()
	assert.Len(t, w.audit.Events(), 8)
}
