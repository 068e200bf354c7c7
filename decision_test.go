package tokenexchange_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// TestR07_D27_R17_TokenOfADecision: what an issuer keeps says all that the token says, the key and the chain included.
func TestR07_D27_R17_TokenOfADecision(t *testing.T) {
	login := tx.Token{AuthTime: propertyNow.Add(-time.Hour), ACR: "2", AMR: []string{"pwd"}, ID: "old", Scope: tx.Scope{"more"}}
	d := tx.Decision{
		Mode: tx.Delegate, Issuer: own, Client: "c1", Subject: tx.Identity{Issuer: own, Kind: tx.KindUser, Tenant: "acme", ID: "alice"},
		Actor: &tx.Actor{Issuer: own, Subject: "bob"}, Audience: []string{"a"}, Scope: tx.Scope{"read"}, Type: tx.TypeAccessToken,
		Issued: propertyNow, Expires: propertyNow.Add(time.Minute), Confirmation: tx.Confirmation{JKT: "k"},
		Facts: tx.Facts{Subject: tx.Subject{Token: login}},
	}
	want := tx.Token{
		Type: tx.TypeAccessToken, Kind: tx.KindUser, ID: "new", Issuer: own, Subject: "alice", ClientID: "c1", Audience: []string{"a"},
		Scope: tx.Scope{"read"}, Actor: d.Actor, Issued: d.Issued, Expires: d.Expires, Confirmation: d.Confirmation,
		AuthTime: login.AuthTime, ACR: "2", AMR: []string{"pwd"},
	}
	require.Equal(t, want, d.Token("new"))

	d.Type = tx.TypeJWT
	require.Equal(t, want, d.Token("new"), "an own JWT is an access token")

	d.Scope, want.Scope = nil, tx.Scope{}
	require.Equal(t, want, d.Token("new"), "no scope is a scope that is known")

	d.Type, d.Scope, want.Type, want.Scope = tx.TypeIDToken, tx.Scope{"read"}, tx.TypeIDToken, nil
	require.Equal(t, want, d.Token("new"), "an ID token says no scope")
}

// TestD11_ActingParty: the actor, or the client as a client, never as a user of the same name.
func TestD11_ActingParty(t *testing.T) {
	f := tx.Facts{Issuer: own, Client: tx.Client{ID: "bob"}}
	require.Equal(t, tx.Identity{Issuer: own, Kind: tx.KindClient, ID: "bob"}, f.ActingParty())
	f.Actor = &tx.Subject{Identity: tx.Identity{Issuer: foreign, Kind: tx.KindWorkload, ID: "robot"}}
	require.Equal(t, f.Actor.Identity, f.ActingParty())
}

// TestI01_FactsThatSayNothing: a host that decides by itself, and leaves out where or when, is refused for its own mistake.
func TestI01_FactsThatSayNothing(t *testing.T) {
	policy, facts := readCase(t, vector{header: map[string]string{"base": "impersonate"}, body: "{}"})
	_, err := policy.Decide(facts)
	require.NoError(t, err, "it is granted while it is whole")
	for name, empty := range map[string]func(*tx.Facts){
		"issuer": func(f *tx.Facts) { f.Issuer, f.Subject.Issuer = "", "" },
		"grant":  func(f *tx.Facts) { f.Grant = "" },
		"time":   func(f *tx.Facts) { f.Now = time.Time{} },
	} {
		t.Run(name, func(t *testing.T) {
			f := facts
			empty(&f)
			_, err := policy.Decide(f)
			require.ErrorIs(t, err, tx.ServerError)
			require.ErrorContains(t, err, "facts_incomplete")
		})
	}
}

// TestR08_TokensThatSayNothing: without type, issuer or subject a token is none, whoever is said to be behind it.
func TestR08_TokensThatSayNothing(t *testing.T) {
	policy, facts := readCase(t, vector{header: map[string]string{"base": "delegate"}, body: "{}"})
	_, err := policy.Decide(facts)
	require.NoError(t, err, "it is granted while both are whole")
	for name, empty := range map[string]func(*tx.Token){
		"type": func(t *tx.Token) { t.Type = "" }, "issuer": func(t *tx.Token) { t.Issuer = "" }, "subject": func(t *tx.Token) { t.Subject = "" },
	} {
		t.Run(name, func(t *testing.T) {
			subject, actor := facts, facts
			empty(&subject.Subject.Token)
			_, err := policy.Decide(subject)
			require.ErrorIs(t, err, tx.InvalidRequest)
			require.ErrorContains(t, err, "subject_token_incomplete")

			who := *facts.Actor
			actor.Actor = &who
			empty(&who.Token)
			_, err = policy.Decide(actor)
			require.ErrorIs(t, err, tx.InvalidRequest)
			require.ErrorContains(t, err, "actor_token_incomplete")
		})
	}
}

// TestD25_EndsAtTheEdge: a token needs a whole second that no fraction has eaten into, and an end beyond what a time can hold
// is no end that lies ahead.
func TestD25_EndsAtTheEdge(t *testing.T) {
	q := newQuestion()
	q.rule.OutliveSubject = true
	now := q.facts.Now
	for name, test := range map[string]struct {
		now, until time.Time
		granted    bool
	}{
		"one second":                    {now, now.Add(time.Second), true},
		"a bit less":                    {now, now.Add(time.Second - 1), false},
		"one, and a fraction has gone":  {now.Add(1), now.Add(time.Second), false},
		"two, and a fraction has gone":  {now.Add(1), now.Add(2 * time.Second), true},
		"beyond what a time can hold":   {now, time.Unix(math.MaxInt64, 0), false},
		"the same in the last fraction": {now.Add(time.Second - 1), time.Unix(math.MaxInt64, 0), false},
	} {
		q.facts.Now, q.facts.Subject.Until = test.now, test.until
		d, err := q.policy(t, 1).Decide(q.facts)
		require.Equal(t, test.granted, err == nil, name)
		if !test.granted {
			require.Contains(t, tx.AsError(err).Detail, "D25", name)
			require.Zero(t, d, name)
			continue
		}
		require.Equal(t, test.until, d.Expires, name)
		require.Equal(t, now, d.Issued, name)
	}
}

// TestD25_RefreshedTokensEnd: what has ended lets nobody refresh, and an end beyond what a time can hold has.
func TestD25_RefreshedTokensEnd(t *testing.T) {
	q := newQuestion()
	q.facts.Grant = "refresh_token"
	for _, end := range []time.Time{q.facts.Now.Add(-time.Hour), q.facts.Now, {}, time.Unix(math.MaxInt64, 0), time.Unix(math.MinInt64, 0)} {
		q.facts.Subject.Token.Expires = end
		_, err := q.policy(t, 1).Decide(q.facts)
		require.Error(t, err, end)
		require.Contains(t, tx.AsError(err).Detail, "D25", end)
	}
}
