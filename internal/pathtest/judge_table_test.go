package pathtest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// pathOf returns a path without a violation: a first token, a narrowing of it, and a delegation to
// bob.
func pathOf(wk *walk) (t, n, x *node) {
	claims := func() tokenClaims {
		return tokenClaims{issuer: own, subject: "alice", client: "webapp", scope: []string{"read"},
			hasScope: true,
			exp:      begin.Add(time.Hour), cnf: tx.Confirmation{JKT: "k1"}}
	}
	prior := link{iss: own, sub: "erin", rest: `sub="erin"`}
	ruleOf := func(mode tx.Mode) rule {
		return rule{Mode: mode,
			Rule: tx.Rule{Name: string(mode), Subjects: []tx.Identity{everybody}}}
	}
	client := tx.Client{ID: "webapp", Scope: allScopes}
	t = &node{tokenClaims: claims(), kind: opaque, ceiling: []string{"read"}, org: "acme",
		issued: begin}
	t.chain, t.mayAct = []link{prior}, partyOf([]byte(`{"sub":"bob"}`))
	n = &node{tokenClaims: claims(), number: 1, kind: signed, parent: t, ceiling: []string{"read"},
		org: "acme", issued: begin}
	n.chain = t.chain
	n.hop = &hop{grant: grantExchange, rule: ruleOf(tx.Narrow), client: client,
		granted: []string{"read"}}
	x = &node{tokenClaims: claims(), number: 2, kind: signed, parent: n, ceiling: []string{"read"},
		org: "acme", issued: begin}
	x.chain = []link{{iss: own, sub: "bob", rest: `sub="bob"`}, prior}
	x.tenant, x.hasTenant = "acme", true
	bob := actingParty{id: wk.people["bob"].Identity, iss: own, sub: "bob", hasToken: true}
	x.hop = &hop{grant: grantExchange, rule: ruleOf(tx.Delegate), client: client,
		granted:    []string{"read"},
		actorToken: &actorToken{actingParty: bob, exp: begin.Add(2 * time.Hour)}}
	return t, n, x
}

// TestJudge changes a path so that exactly one clause is violated, or none.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name, clause string // empty clause: no violation
		change       func(wk *walk, t, n, x *node)
	}{
		{"unchanged", "", func(*walk, *node, *node, *node) {}},
		{"more scope", "scope", func(_ *walk, _, _, x *node) {
			x.scope = []string{"read", "write"}
		}},
		{"more scope than the first token had", "scope",
			func(_ *walk, t, _, _ *node) { t.ceiling = nil }},
		{"more scope in the response", "scope", func(_ *walk, _, _, x *node) {
			x.hop.granted = []string{"write"}
		}},
		{"expanded", "", func(_ *walk, _, _, x *node) {
			x.scope, x.hop.expanded = []string{"read", "write"}, []string{"write"}
		}},
		{"a later end", "end", func(_ *walk, _, _, x *node) { x.exp = x.exp.Add(time.Second) }},
		{"an earlier end of the first token", "end", func(_ *walk, t, _, _ *node) {
			t.exp = t.exp.Add(-time.Second)
		}},
		{"an earlier end of the actor token", "end", func(_ *walk, _, _, x *node) {
			x.hop.actorToken.exp = begin.Add(time.Minute)
		}},
		{"outlived", "", func(wk *walk, _, _, x *node) {
			wk.people["alice"].Until = begin.Add(90 * time.Minute)
			x.hop.rule.OutliveSubject, x.exp = true, begin.Add(90*time.Minute)
		}},
		{"outlived for too long", "end", func(wk *walk, _, _, x *node) {
			wk.people["alice"].Until = begin.Add(80 * time.Minute)
			x.hop.rule.OutliveSubject, x.exp = true, begin.Add(90*time.Minute)
		}},
		{"evidence that expires but has a later end", "", func(_ *walk, _, n, _ *node) {
			n.kind, n.exp, n.ends = ticket, begin.Add(time.Minute), begin.Add(time.Hour)
		}},
		{"evidence with an earlier end", "end", func(_ *walk, _, n, _ *node) {
			n.kind, n.ends = ticket, begin.Add(time.Minute)
		}},
		{"another actor", "actor", func(wk *walk, _, _, x *node) {
			x.hop.actorToken.id, x.hop.actorToken.sub = wk.people["carol"].Identity, "carol"
		}},
		{"a client that may_act does not name", "actor", func(_ *walk, _, n, _ *node) {
			n.hop.rule.Mode, n.hop.rule.MayActClient = tx.Impersonate, true
		}},
		{"a chain that was cut", "chain", func(_ *walk, _, _, x *node) { x.chain = x.chain[:1] }},
		{"another issuer in the chain", "chain", func(_ *walk, t, _, _ *node) {
			t.chain = []link{{idp, "erin", `sub="erin"`}}
		}},
		{"no key", "key", func(_ *walk, _, _, x *node) { x.cnf = tx.Confirmation{} }},
		{"another key", "key", func(_ *walk, _, _, x *node) { x.cnf.JKT = "k2" }},
		{"a rule that rebinds", "", func(_ *walk, _, _, x *node) {
			x.cnf.JKT, x.hop.rule.Rebind = "k2", true
		}},
		{"a rule that unbinds", "key", func(_ *walk, _, _, x *node) {
			x.cnf.JKT, x.hop.rule.Rebind = "", true
		}},
		{"the home organisation instead of the selected one", "organisation",
			func(_ *walk, _, _, x *node) {
				x.tenant = ""
			}},
		{"a rule for another organisation", "organisation pattern", func(_ *walk, _, _, x *node) {
			x.hop.rule.Subjects = []tx.Identity{{Kind: tx.KindUser, ID: "*", Tenant: "globex"}}
		}},
		{"the actor is locked", "status", func(wk *walk, _, _, _ *node) {
			wk.people["bob"].disabled = true
		}},
		{"the current actor is locked", "status", func(wk *walk, _, _, _ *node) {
			wk.people["erin"].disabled = true
		}},
		{"the authorizer refuses", "authorizer", func(wk *walk, _, _, _ *node) {
			wk.refused["bob"] = true
		}},
		{"the authorizer was called for another organisation", "authorizer",
			func(wk *walk, _, _, _ *node) {
				wk.asked = []string{"globex"}
			}},
		{"the authorizer refuses in this organisation", "authorizer",
			func(wk *walk, _, _, _ *node) {
				wk.people["bob"].actsIn = []string{"globex"}
			}},
		{"ended", "ended delegation", func(wk *walk, _, _, x *node) {
			wk.endings = []ended{{wk.people["bob"].Identity, "webapp", begin}}
		}},
		{"ended for another client", "", func(wk *walk, _, _, x *node) {
			wk.endings = []ended{{wk.people["bob"].Identity, "gateway", begin}}
		}},
		{"ended before the login", "", func(wk *walk, _, _, x *node) {
			wk.endings = []ended{{wk.people["bob"].Identity, "webapp", begin.Add(-time.Second)}}
		}},
	} {
		w := &world{now: begin, people: map[string]*person{}, refused: map[string]bool{}}
		for _, id := range []string{"alice", "bob", "carol", "erin"} {
			w.people[id] = &person{Subject: tx.Subject{Identity: tx.Identity{Issuer: own,
				Kind: tx.KindUser, ID: id}}}
		}
		w.asked = []string{"acme"}
		wk := &walk{world: w}
		first, n, x := pathOf(wk)
		c.change(wk, first, n, x)
		wk.judge(x)
		if c.clause == "" {
			require.Empty(t, wk.violations, c.name)
			continue
		}
		require.Len(t, wk.violations, 1, c.name)
		require.Equal(t, c.clause, wk.violations[0].clause, c.name)
	}
}

// TestGrantEnd checks that a grant for evidence ends at Until or with its first refresh token, and
// any other grant with the token that it was made from.
func TestGrantEnd(t *testing.T) {
	w := &world{now: begin, people: map[string]*person{"alice": {}}}
	wk := &walk{world: w}
	evidence := &node{kind: session, ends: noEnd}
	r := rule{Delegation: tx.Delegation{RefreshLifetime: time.Hour}}
	first := &node{kind: refresh, parent: evidence, hop: &hop{grant: grantLogin, rule: r,
		at: begin}}
	require.Equal(t, begin.Add(time.Hour), wk.grantEnd(first, wk.limit(first)))
	evidence.ends = begin.Add(time.Minute)
	require.Equal(t, begin.Add(time.Minute), wk.grantEnd(first, wk.limit(first)))
	evidence.ends = noEnd
	w.people["alice"].Until = begin.Add(9 * time.Hour)
	first.grantEnd = wk.grantEnd(first, wk.limit(first))
	require.Equal(t, begin.Add(9*time.Hour), first.grantEnd,
		"Until may be later than the first refresh token")

	renewed := &node{kind: refresh, parent: first, hop: &hop{grant: grantRefresh, rule: r,
		at: begin.Add(8 * time.Hour)}}
	require.Equal(t, first.grantEnd, wk.grantEnd(renewed, wk.limit(renewed)),
		"a refresh does not move the end")
	require.Equal(t, noEnd, wk.limit(renewed))

	token := &node{kind: opaque, tokenClaims: tokenClaims{exp: begin.Add(2 * time.Hour)}}
	of := &node{kind: refresh, parent: token, hop: &hop{grant: grantExchange, rule: r, at: begin}}
	require.Equal(t, begin.Add(2*time.Hour), wk.grantEnd(of, wk.limit(of)))
}
