package tokenexchange_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// TestR07_D27_R17_TokenOfADecision checks that Decision.Token, the record of an issuer, has all
// that the token itself states.
func TestR07_D27_R17_TokenOfADecision(t *testing.T) {
	login := tx.Token{
		AuthTime: propertyNow.Add(-time.Hour), ACR: "2", AMR: []string{"pwd"},
		ID: "old", Scope: tx.Scope{"more"},
	}
	d := tx.Decision{
		Mode:         tx.Delegate,
		Issuer:       own,
		Client:       "c1",
		Subject:      tx.Identity{Issuer: own, Kind: tx.KindUser, Tenant: "acme", ID: "alice"},
		Actor:        &tx.Actor{Issuer: own, Subject: "bob"},
		Audience:     []string{"a"},
		Scope:        tx.Scope{"read"},
		Type:         tx.TypeAccessToken,
		Issued:       propertyNow,
		Expires:      propertyNow.Add(time.Minute),
		Confirmation: tx.Confirmation{JKT: "k"},
		Facts:        tx.Facts{Subject: tx.Subject{Token: login}},
	}
	want := tx.Token{
		Type:         tx.TypeAccessToken,
		Kind:         tx.KindUser,
		ID:           "new",
		Issuer:       own,
		Subject:      "alice",
		ClientID:     "c1",
		Audience:     []string{"a"},
		Scope:        tx.Scope{"read"},
		Actor:        d.Actor,
		Issued:       d.Issued,
		Expires:      d.Expires,
		Confirmation: d.Confirmation,
		AuthTime:     login.AuthTime,
		ACR:          "2",
		AMR:          []string{"pwd"},
	}
	require.Equal(t, want, d.Token("new"))

	d.Type = tx.TypeJWT
	require.Equal(t, want, d.Token("new"), "an own JWT is an access token")

	d.Scope, want.Scope = nil, tx.Scope{}
	require.Equal(t, want, d.Token("new"), "the scope is known to be empty")

	d.Type, d.Scope, want.Type, want.Scope = tx.TypeIDToken, tx.Scope{"read"}, tx.TypeIDToken, nil
	require.Equal(t, want, d.Token("new"), "an ID token has no scope")
}

// TestD11_ActingParty checks that the acting party is the actor or else the client, and never a
// user with the name of the client.
func TestD11_ActingParty(t *testing.T) {
	f := tx.Facts{Issuer: own, Client: tx.Client{ID: "bob"}}
	require.Equal(t, tx.Identity{Issuer: own, Kind: tx.KindClient, ID: "bob"}, f.ActingParty())
	f.Actor = &tx.Subject{
		Identity: tx.Identity{Issuer: foreign, Kind: tx.KindWorkload, ID: "robot"},
	}
	require.Equal(t, f.Actor.Identity, f.ActingParty())
}

// baseCase returns a case of testdata/vectors/base, which is granted.
func baseCase(t *testing.T, name string) (*tx.Policy, tx.Facts) {
	return readCase(t, vector{header: map[string]string{"base": name}, body: "{}"})
}

// TestI01_FactsThatSayNothing checks that Decide refuses facts without an issuer, a grant or a
// time, which is a mistake of the host.
func TestI01_FactsThatSayNothing(t *testing.T) {
	policy, facts := baseCase(t, "impersonate")
	_, err := policy.Decide(facts)
	require.NoError(t, err, "the facts are granted before the change")
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

// TestR08_TokensThatSayNothing checks that Decide refuses a token without a type, an issuer or a
// subject, even if the directory resolved it.
func TestR08_TokensThatSayNothing(t *testing.T) {
	policy, facts := baseCase(t, "delegate")
	_, err := policy.Decide(facts)
	require.NoError(t, err, "the facts are granted before the change")
	for name, empty := range map[string]func(*tx.Token){
		"type":    func(t *tx.Token) { t.Type = "" },
		"issuer":  func(t *tx.Token) { t.Issuer = "" },
		"subject": func(t *tx.Token) { t.Subject = "" },
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

// TestD25_EndsAtTheEdge checks that a token must live for a whole second from now on, and that an
// expiry beyond the range of time.Time is an expiry in the past.
func TestD25_EndsAtTheEdge(t *testing.T) {
	q := newQuestion()
	q.rule.OutliveSubject = true
	now := q.facts.Now
	for name, test := range map[string]struct {
		now, until time.Time
		granted    bool
	}{
		"one second":                   {now, now.Add(time.Second), true},
		"a bit less":                   {now, now.Add(time.Second - 1), false},
		"one, and a fraction has gone": {now.Add(1), now.Add(time.Second), false},
		"two, and a fraction has gone": {now.Add(1), now.Add(2 * time.Second), true},
		"beyond what a time can hold":  {now, time.Unix(math.MaxInt64, 0), false},
		"the same in the last fraction": {
			now.Add(time.Second - 1), time.Unix(math.MaxInt64, 0), false,
		},
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

// TestD25_RefreshedTokensEnd checks that a refresh needs a token that has not expired. An expiry
// beyond the range of time.Time is an expiry in the past.
func TestD25_RefreshedTokensEnd(t *testing.T) {
	q := newQuestion()
	q.facts.Grant = "refresh_token"
	for _, end := range []time.Time{
		q.facts.Now.Add(-time.Hour), q.facts.Now, {}, time.Unix(math.MaxInt64, 0),
		time.Unix(math.MinInt64, 0),
	} {
		q.facts.Subject.Token.Expires = end
		_, err := q.policy(t, 1).Decide(q.facts)
		require.Error(t, err, end)
		require.Contains(t, tx.AsError(err).Detail, "D25", end)
	}
}
