package tokenexchange_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// question is a policy and what it is asked: everybody's access token, impersonated by c1.
type question struct {
	rule  flatRule
	facts tx.Facts
}

func newQuestion() question {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return question{plain(tx.Impersonate), tx.Facts{
		Grant: tx.GrantType, Issuer: own, Now: now, Client: tx.Client{ID: "c1", Scope: tx.Scope{"read"}},
		Request: tx.Request{Audience: []string{"https://api.example"}, Scope: tx.Scope{"read"}},
		Subject: tx.Subject{Identity: tx.Identity{Issuer: own, Kind: tx.KindUser, ID: "alice"}, Token: tx.Token{
			Type: tx.TypeAccessToken, Issuer: own, Subject: "alice", ClientID: "c1", Scope: tx.Scope{"read"}, Expires: now.Add(time.Hour)}},
	}}
}

// scopes has so many of them everywhere, in the order of registration or the other way round.
func (q question) scopes(n int, turned bool) question {
	list := numbered("scope:", n)
	q.rule.Scope, q.facts.Client.Scope, q.facts.Subject.Token.Scope = list, slices.Clone(list), slices.Clone(list)
	q.facts.Request.Scope = numbered("scope:", n)
	if turned {
		slices.Reverse(q.facts.Request.Scope)
	}
	return q
}

// depth has a chain of so many actors.
func (q question) depth(n int) question {
	q.rule.MaxChain = 32
	for _, name := range numbered("agent-", n) {
		q.facts.Subject.Token.Actor = &tx.Actor{Issuer: own, Subject: name, ClientID: "agents", Prior: q.facts.Subject.Token.Actor}
	}
	return q
}

// targets asks for so many.
func (q question) targets(n int) question {
	q.rule.Targets, q.facts.Request.Audience = numbered("https://api.example/", n), numbered("https://api.example/", n)
	return q
}

// audience has a subject token for so many, and asks for the last of them.
func (q question) audience(n int) question {
	q.rule.Mode, q.facts.Subject.Token.Audience = tx.Narrow, numbered("https://api.example/", n)
	q.rule.Targets, q.facts.Request.Audience = q.facts.Subject.Token.Audience, q.facts.Subject.Token.Audience[n-1:]
	return q
}

func numbered(prefix string, n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprint(prefix, i))
	}
	return list
}

// policy has the rule in the middle of so many that are for other clients.
func (q question) policy(t testing.TB, n int) *tx.Policy {
	rules := make([]flatRule, n)
	for i := range rules {
		rules[i] = named(fmt.Sprint("rule ", i), plain(tx.Impersonate))
		rules[i].Clients = []string{fmt.Sprint("client ", i)}
	}
	rules[n/2] = q.rule
	p, err := newPolicy(rules...)
	require.NoError(t, err)
	return p
}

// BenchmarkDecide shows the curves: rules of other clients cost nothing, and nothing else costs more than its length.
func BenchmarkDecide(b *testing.B) {
	run := func(name string, q question, rules int, granted bool) {
		b.Run(name, func(b *testing.B) {
			p := q.policy(b, rules)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Decide(q.facts); (err == nil) != granted {
					b.Fatal(err)
				}
			}
		})
	}
	refused := newQuestion()
	refused.facts.Request.Scope = tx.Scope{"write"}
	for _, n := range []int{10, 1000, 100_000} {
		run(fmt.Sprint("rules=", n, "/granted"), newQuestion(), n, true)
		run(fmt.Sprint("rules=", n, "/refused"), refused, n, false)
	}
	for _, n := range []int{1, 8, 32, 128} {
		run(fmt.Sprint("scopes=", n), newQuestion().scopes(n, false), 1, true)
		run(fmt.Sprint("scopes=", n, "/turned"), newQuestion().scopes(n, true), 1, true)
	}
	for _, n := range []int{1, 4, 16} {
		run(fmt.Sprint("depth=", n), newQuestion().depth(n), 1, true)
	}
	for _, n := range []int{1, 4, 16} {
		run(fmt.Sprint("targets=", n), newQuestion().targets(n), 1, true)
	}
	for _, n := range []int{1, 8, 64} {
		run(fmt.Sprint("aud=", n), newQuestion().audience(n), 1, true)
	}
}

// refusals are requests that are refused at different points of the decision.
func refusals() map[string]question {
	change := func(f func(q *question)) question {
		q := newQuestion()
		f(&q)
		return q
	}
	return map[string]question{
		"no client":  change(func(q *question) { q.facts.Client.ID = "" }),
		"expired":    change(func(q *question) { q.facts.Subject.Token.Expires = q.facts.Now }),
		"public":     change(func(q *question) { q.facts.Client.Public = true }),
		"may_act":    change(func(q *question) { q.facts.Subject.Token.MayAct = &tx.Actor{Subject: "bob"} }),
		"no rule":    change(func(q *question) { q.facts.Client.ID, q.facts.Subject.Token.ClientID = "c2", "c2" }),
		"subject":    change(func(q *question) { q.rule.Subjects = []tx.Identity{{Kind: tx.KindUser, ID: "bob"}} }),
		"target":     change(func(q *question) { q.facts.Request.Audience = []string{"https://other.example"} }),
		"scope":      change(func(q *question) { q.facts.Request.Scope = tx.Scope{"write"} }),
		"128 scopes": change(func(q *question) { *q = q.scopes(128, false); q.facts.Request.Scope[127] = "write" }),
		"16 targets": change(func(q *question) { *q = q.targets(16); q.facts.Request.Audience[15] = "https://other.example" }),
		"a chain":    change(func(q *question) { *q = q.depth(16); q.rule.MaxChain = 4 }),
	}
}

// TestI09_RefusalsAreNotShared: what somebody does with one refusal shows in no other.
func TestI09_RefusalsAreNotShared(t *testing.T) {
	for name, q := range refusals() {
		p := q.policy(t, 1)
		_, err := p.Decide(q.facts)
		var first *tx.Error
		require.ErrorAs(t, err, &first, name)
		want := *first
		*first = tx.Error{Code: "changed", Description: "changed", Rule: "changed", Reason: "changed", Err: errors.New("changed")}

		_, again := p.Decide(q.facts)
		var second *tx.Error
		require.ErrorAs(t, again, &second, name)
		assert.Equal(t, want, *second, name)
		assert.Equal(t, want, *tx.AsError(again), name)
		assert.Equal(t, want, *tx.AsError(fmt.Errorf("wrapped: %w", again)), name)
		assert.ErrorIs(t, again, want.Code, name)
		assert.Equal(t, want.Error(), again.Error(), name)
		text, failed := again.(interface{ MarshalText() ([]byte, error) }).MarshalText()
		assert.NoError(t, failed, name)
		assert.Equal(t, want.Error(), string(text), name)
	}
}

// TestI09_RefusalsSayTheirOwnReason, whatever the policy and the rule have refused before.
func TestI09_RefusalsSayTheirOwnReason(t *testing.T) {
	q := newQuestion()
	p := q.policy(t, 1)
	for range 2 {
		for reason, change := range map[string]func(*tx.Facts){
			"D25": func(f *tx.Facts) { f.Subject.Token.Expires = f.Now }, "D19": func(f *tx.Facts) { f.Subject.Issuer = foreign },
			"R07": func(f *tx.Facts) { f.Request.RequestedTokenType = tx.TypeIDToken }, "D30": func(f *tx.Facts) { f.Subject.Token.Confirmation.JKT = "k" },
		} {
			f := q.facts
			change(&f)
			_, err := p.Decide(f)
			assert.ErrorIs(t, err, tx.InvalidRequest, reason)
			assert.Contains(t, tx.AsError(err).Detail, reason)
		}
	}
}

// TestD21_ManyScopes: whatever the order and however many there are, each scope is granted once and only if all have it.
func TestD21_ManyScopes(t *testing.T) {
	for _, n := range []int{1, 7, 8, 9, 127, 128, 129, 300} {
		for _, turned := range []bool{false, true} {
			q := newQuestion().scopes(n, turned)
			want := slices.Clone(q.facts.Request.Scope)
			q.facts.Request.Scope = append(q.facts.Request.Scope, want...) // asked for twice
			d, err := q.policy(t, 1).Decide(q.facts)
			require.NoError(t, err)
			assert.Equal(t, want, d.Scope, "%d, turned %v", n, turned)

			for name, list := range map[string]*tx.Scope{"rule": &q.rule.Scope, "client": &q.facts.Client.Scope, "subject": &q.facts.Subject.Token.Scope} {
				whole := *list
				*list = append(slices.Clone(whole[:n/2]), whole[n/2+1:]...)
				_, err := q.policy(t, 1).Decide(q.facts)
				assert.ErrorIs(t, err, tx.InvalidScope, "%d, turned %v: not in the list of the %s", n, turned, name)
				*list = whole
			}
		}
	}
}

// TestD24_ManyTargets: whatever the order and however many there are, each target is granted once and only if whatever is
// the ceiling has it.
func TestD24_ManyTargets(t *testing.T) {
	ceilings := map[string]func(q *question, list []string){
		"the rule": func(q *question, list []string) { q.rule.Targets = list },
		"the token that is smaller": func(q *question, list []string) {
			q.rule.Mode, q.rule.Targets, q.facts.Subject.Token.Audience = tx.Narrow, numbered("t", 64), list
		},
		"the subject's token": func(q *question, list []string) { q.rule.SubjectAudience, q.facts.Subject.Token.Audience = true, list },
		"the token, and any of it": func(q *question, list []string) {
			q.rule.Mode, q.rule.SubjectAudience, q.facts.Subject.Token.Audience = tx.Narrow, true, list
		},
		"the actor's token": func(q *question, list []string) {
			q.rule = plain(tx.Delegate)
			actor := q.facts.Subject
			actor.ID, actor.Token.Subject, actor.Token.Audience = "bob", "bob", list
			q.rule.ActorAudience, q.facts.Actor = true, &actor
		},
	}
	for name, ceiling := range ceilings {
		for _, n := range []int{1, 7, 8, 9, 16, 64} {
			for _, turned := range []bool{false, true} {
				q, list := newQuestion(), numbered("t", n)
				ceiling(&q, list)
				want := slices.Clone(list)
				if turned {
					slices.Reverse(want)
				}
				q.facts.Request.Audience, q.facts.Request.Resource = want[:n/2], append(slices.Clone(want[n/2:]), want...)
				d, err := q.policy(t, 1).Decide(q.facts)
				require.NoError(t, err, "%s, %d, turned %v", name, n, turned)
				assert.Equal(t, want, d.Audience, "%s, %d, turned %v", name, n, turned)

				for _, at := range []int{0, n / 2, n} {
					q.facts.Request.Audience, q.facts.Request.Resource = slices.Insert(slices.Clone(want), at, "other"), nil
					_, err = q.policy(t, 1).Decide(q.facts)
					assert.ErrorIs(t, err, tx.InvalidTarget, "%s, %d, turned %v, at %d", name, n, turned, at)
				}
			}
		}
	}
}

// TestD23_ScopesThatAskForImpersonation are these and their like, even if everybody has them; what only begins like them is
// a scope as any other.
func TestD23_ScopesThatAskForImpersonation(t *testing.T) {
	for token, granted := range map[string]bool{
		"act_as": false, "act_as:": false, "act_as:bob": false, "internal_user_impersonate": false,
		"act": true, "act_a": true, "act_as_admin": true, "act_assist": true, "x:act_as:bob": true, "internal_user_impersonate2": true,
	} {
		q, scope := newQuestion(), tx.Scope{token}
		q.rule.Scope, q.facts.Client.Scope, q.facts.Subject.Token.Scope, q.facts.Request.Scope = tx.Scope{"*"}, scope, scope, scope
		d, err := q.policy(t, 1).Decide(q.facts)
		if granted {
			require.NoError(t, err, token)
			assert.Equal(t, scope, d.Scope)
		} else {
			assert.ErrorIs(t, err, tx.InvalidScope, token)
			assert.Contains(t, fmt.Sprint(err), "D23", token)
		}
	}
}

// TestD21_ScopesOfOneHash: no scope is taken for another one because of a filter, in hundreds of lists in which that would
// happen to dozens.
func TestD21_ScopesOfOneHash(t *testing.T) {
	for i := range 300 {
		q := newQuestion()
		list := numbered(fmt.Sprintf("list%d:", i), 128)
		q.rule.Scope, q.facts.Client.Scope, q.facts.Subject.Token.Scope, q.facts.Request.Scope = list, list, list, list
		d, err := q.policy(t, 1).Decide(q.facts)
		require.NoError(t, err)
		require.EqualValues(t, list, d.Scope)
		parsed, err := tx.ParseScope(tx.Scope(list).String())
		require.NoError(t, err)
		require.EqualValues(t, list, parsed)
	}
}
