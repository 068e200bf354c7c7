package tokenexchange_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// The property tests draw facts and rules from small vocabularies, so that many decisions are
// grants, and compare each grant with the rule book.

// dice are the bytes that the draws use up: those of a fuzzer, or pseudo-random ones. When no byte
// is left, each throw is zero.
type dice struct{ left []byte }

// throw returns a number below n, at most 256.
func (d *dice) throw(n int) int {
	if len(d.left) == 0 {
		return 0
	}
	b := d.left[0]
	d.left = d.left[1:]
	return int(b) % n
}

func (d *dice) flag() bool             { return d.throw(2) == 1 }
func (d *dice) rarely() bool           { return d.throw(12) == 11 }
func (d *dice) oneIn(n int) bool       { return d.throw(n) == n-1 }
func oneOf[T any](d *dice, v ...T) T   { return v[d.throw(len(v))] }
func (d *dice) between(lo, hi int) int { return lo + (d.throw(256)*256+d.throw(256))%(hi-lo+1) }

// throws calls check with the dice of n seeds, which are the same in every run.
func throws(t *testing.T, n int, check func(d *dice)) {
	t.Helper()
	for seed := range uint64(n) {
		source := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})
		d := &dice{left: make([]byte, 400)}
		_, _ = source.Read(d.left)
		check(d)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// some draws a part of a list, in its order. It may be nil, which is not the same as empty.
func some(d *dice, values ...string) []string {
	if d.oneIn(5) {
		return nil
	}
	list := []string{}
	for _, v := range values {
		if d.throw(3) > 0 {
			list = append(list, v)
		}
	}
	return list
}

// few draws a smaller part of a list than some.
func few(d *dice, values ...string) []string {
	var list []string
	for _, v := range values {
		if d.oneIn(4) {
			list = append(list, v)
		}
	}
	return list
}

var scopeWords = []string{"read", "write", "admin", "openid", "offline_access", "act_as:bob"}

func drawIdentity(d *dice, foreignToo bool) tx.Identity {
	id := tx.Identity{
		Issuer: own,
		Kind:   oneOf(d, tx.KindUser, tx.KindUser, tx.KindUser, tx.KindClient, tx.KindWorkload),
		Tenant: oneOf(d, "", "acme"),
		ID:     oneOf(d, "alice", "bob", "c1", "c2"),
	}
	if foreignToo && d.rarely() {
		id.Issuer = foreign
	}
	if d.oneIn(40) {
		id = oneOf(d, tx.Identity{}, tx.Identity{Issuer: own, ID: "alice"},
			tx.Identity{Issuer: own, Kind: tx.KindUser})
	}
	return id
}

func drawActor(d *dice, depth int) *tx.Actor {
	if depth == 0 || d.flag() {
		return nil
	}
	a := &tx.Actor{
		Issuer:   oneOf(d, "", own, foreign),
		Subject:  oneOf(d, "bob", "c1", "c2", "tool", "carol", "dave", "erin"),
		ClientID: oneOf(d, "", "c1", "c2"),
	}
	if d.oneIn(40) {
		a.Subject = ""
	}
	a.Prior = drawActor(d, depth-1)
	return a
}

func drawToken(d *dice, id tx.Identity, actor bool) tx.Token {
	tok := tx.Token{
		Type: oneOf(d, tx.TypeAccessToken, tx.TypeAccessToken, tx.TypeAccessToken,
			tx.TypeAccessToken, tx.TypeIDToken, tx.TypeJWT, ticket, tx.TypeRefreshToken),
		ID:       "t",
		Issuer:   own,
		Subject:  id.ID,
		ClientID: oneOf(d, "c1", "c1", "c1", "c2", ""),
		Audience: some(d, "t1", "t2", "t3", "c1"),
		Scope:    some(d, scopeWords...),
		Expires:  propertyNow.Add(time.Duration(d.between(1, 3000)) * time.Second),
	}
	if d.oneIn(40) {
		tok.Expires = propertyNow.Add(-time.Second * time.Duration(d.throw(2)))
	}
	if !actor || d.oneIn(40) {
		tok.Actor = drawActor(d, 6)
	}
	if d.rarely() {
		tok.Issuer = oneOf(d, foreign, "c1")
		tok.ClientID = ""
	}
	if d.rarely() {
		tok.MayAct = &tx.Actor{
			Subject:  oneOf(d, "", "bob", "c1"),
			ClientID: oneOf(d, "", "c1", "c2"),
			Issuer:   oneOf(d, "", own, foreign),
		}
	}
	if d.rarely() {
		tok.Confirmation = tx.Confirmation{JKT: oneOf(d, "", "k1", "k2"), X5T: oneOf(d, "", "x1")}
	}
	return tok
}

func drawSubject(d *dice, actor bool) tx.Subject {
	s := tx.Subject{Identity: drawIdentity(d, actor), Tenants: some(d, "org1", "org2")}
	s.Token = drawToken(d, s.Identity, actor)
	if d.rarely() || s.Token.Type == ticket || s.Token.Type == tx.TypeIDToken {
		s.Scope = some(d, scopeWords...)
	}
	if d.flag() {
		s.Until = propertyNow.Add(time.Duration(d.between(-10, 9000)) * time.Second)
	}
	return s
}

func drawFacts(d *dice) tx.Facts {
	f := tx.Facts{
		Grant:  oneOf(d, tx.GrantType, tx.GrantType, "refresh_token", "urn:example:door"),
		Issuer: own,
		Client: tx.Client{
			ID: oneOf(d, "c1", "c1", "c2"), Audiences: some(d, "t1"),
			Public: d.rarely(), Scope: some(d, scopeWords...),
		},
		Request: tx.Request{
			RequestedTokenType: oneOf(d, "", "", "", tx.TypeAccessToken, tx.TypeIDToken, tx.TypeJWT,
				tx.TypeRefreshToken),
			Audience: few(d, "t1", "t2", "org1"),
			Resource: few(d, "t2", "t3"),
		},
		Subject: drawSubject(d, false),
		Now:     propertyNow,
	}
	if d.flag() {
		f.Request.Scope = append(tx.Scope{}, few(d, scopeWords[:5]...)...)
		if d.oneIn(20) {
			f.Request.Scope = append(f.Request.Scope, "act_as:bob")
		}
	}
	if d.rarely() || f.Subject.Token.Confirmation != (tx.Confirmation{}) {
		f.Client.Confirmation = tx.Confirmation{JKT: oneOf(d, "", "k1"), X5T: oneOf(d, "", "x1")}
	}
	if d.flag() {
		actor := drawSubject(d, true)
		f.Actor = &actor
	}
	return f
}

func drawRule(d *dice, name string) flatRule {
	flag := func() bool { return d.oneIn(3) }
	any := []tx.Identity{{Issuer: "*", Kind: "*", Tenant: "*", ID: "*"}}
	types := []tx.TokenType{
		tx.TypeAccessToken, tx.TypeIDToken, tx.TypeJWT, ticket, tx.TypeRefreshToken,
	}
	r := flatRule{
		Mode: oneOf(d, tx.Narrow, tx.Delegate, tx.Delegate, tx.ClientActs, tx.Impersonate),
	}
	r.Rule = tx.Rule{
		Name: name, Clients: []string{"c1", "c2"}, Subjects: any, SubjectTypes: types,
		Types:   []tx.TokenType{tx.TypeAccessToken, tx.TypeJWT},
		Targets: some(d, "t1", "t2", "t3"), SubjectAudience: d.flag(),
		Scope:    some(d, "read", "write", "admin"),
		Lifetime: time.Duration(d.between(1, 4000)) * time.Second,
		MaxChain: d.throw(7),
	}
	if d.oneIn(3) {
		r.Scope = tx.Scope{"*"}
	}
	if r.Mode == tx.Narrow {
		r.SubjectTypes = []tx.TokenType{tx.TypeAccessToken}
		return r
	}
	r.PublicClients = flag() && r.Mode != tx.ClientActs
	r.OtherTokens, r.Rebind, r.OutliveSubject, r.TenantTargets = flag(), flag(), flag(), flag()
	r.Expand = few(d, "admin")
	r.IDToken = flag()
	if flag() {
		r.RefreshLifetime = time.Hour
	}
	if flag() {
		r.Issuers = []string{foreign}
	}
	if flag() {
		r.Types = append(r.Types, tx.TypeIDToken)
	}
	switch r.Mode {
	case tx.Delegate:
		r.Actors, r.ActorTypes = any, types[:4]
		r.OtherActors, r.OutliveActor, r.ActorAudience, r.Self = flag(), flag(), flag(), flag()
	case tx.ClientActs:
		r.MayActClient, r.Self = flag(), flag()
	case tx.Impersonate:
		r.MayActClient, r.Carry = flag(), flag()
	}
	return r
}

// drawRules draws until NewPolicy accepts the rules.
func drawRules(d *dice) []flatRule {
	for {
		var rules []flatRule
		for _, name := range []string{"r1", "r2", "r3"}[:1+d.throw(3)] {
			rules = append(rules, drawRule(d, name))
		}
		if _, err := newPolicy(rules...); err == nil {
			return rules
		}
		if len(d.left) == 0 {
			return nil
		}
	}
}

// grantedCase is a grant: the facts, the rule that granted them, and the decision.
type grantedCase struct {
	facts    tx.Facts
	rule     flatRule
	decision tx.Decision
}

// decide draws facts and rules and decides. It makes the checks that hold for refusals as well.
func decide(t require.TestingT, d *dice) (c grantedCase, ok bool) {
	f := drawFacts(d)
	rules := drawRules(d)
	p, err := newPolicy(rules...)
	require.NoError(t, err)
	before, err := json.Marshal(f)
	require.NoError(t, err)
	decision, err := p.Decide(f)
	after, _ := json.Marshal(f)
	require.Equal(t, string(before), string(after), "I09: the facts were changed")
	if err != nil {
		require.Equal(t, tx.Decision{}, decision)
		require.NotEmpty(t, tx.AsError(err).Reason)
		return c, false
	}
	i := slices.IndexFunc(rules, func(r flatRule) bool { return r.Name == decision.Rule })
	return grantedCase{f, rules[i], decision}, true
}

// granted runs check on the grants of 20,000 draws. It requires enough grants of each mode.
func granted(t *testing.T, check func(t require.TestingT, c grantedCase)) {
	t.Helper()
	seen := map[tx.Mode]int{}
	throws(t, 20000, func(d *dice) {
		if c, ok := decide(t, d); ok {
			seen[c.decision.Mode]++
			check(t, c)
		}
	})
	for _, mode := range []tx.Mode{tx.Narrow, tx.Delegate, tx.ClientActs, tx.Impersonate} {
		require.Greater(t, seen[mode], 50, "too few grants of mode %s: %v", mode, seen)
	}
}

func hasScope(list tx.Scope, s string) bool { return slices.Contains(list, s) }

func isAccess(t tx.TokenType) bool {
	return t == tx.TypeAccessToken || t == tx.TypeJWT || t == tx.TypeRefreshToken
}

// TestI02_Scope computes the ceiling of the scope a second time, from the text of the rule book.
func TestI02_Scope(t *testing.T) { granted(t, checkI02_Scope) }

func checkI02_Scope(t require.TestingT, c grantedCase) {
	f, r, d := c.facts, c.rule, c.decision
	tok := f.Subject.Token
	carries := isAccess(tok.Type) || tok.Type != tx.TypeIDToken && tok.Scope != nil
	for _, s := range d.Scope {
		mine := hasScope(f.Subject.Scope, s)
		if carries {
			mine = hasScope(tok.Scope, s) && (f.Subject.Scope == nil || mine)
		}
		require.True(t, mine || hasScope(r.Expand, s), "I02: %s is beyond the subject", s)
		require.Equal(t, !mine, hasScope(d.Expanded, s),
			"D21: %s is an expansion if and only if it is beyond the subject", s)
		require.True(t, hasScope(f.Client.Scope, s), "I02: %s is beyond the client", s)
		byRule := hasScope(r.Scope, s) || hasScope(r.Scope, "*") || hasScope(r.Expand, s) ||
			s == "openid" && r.IDToken || s == "offline_access" && r.RefreshLifetime > 0
		require.True(t, byRule, "I02: %s is beyond the rule", s)
		require.False(t, s == "act_as:bob", "D23")
		require.True(t, f.Request.Scope == nil || hasScope(f.Request.Scope, s),
			"%s was granted and not requested", s)
		require.False(t, f.Request.Scope == nil && hasScope(d.Expanded, s),
			"D20: %s was expanded and not requested", s)
	}
	for _, s := range f.Request.Scope {
		require.True(t, hasScope(d.Scope, s), "D21: %s was requested and left out", s)
	}
	require.Equal(t, d.Type != tx.TypeIDToken && hasScope(d.Scope, "openid"), d.IDToken)
	require.Equal(t, d.Type != tx.TypeIDToken && hasScope(d.Scope, "offline_access"),
		d.RefreshToken)
}

// TestI03_Targets checks that each granted target is in a list of the rule or of a token.
func TestI03_Targets(t *testing.T) { granted(t, checkI03_Targets) }

func checkI03_Targets(t require.TestingT, c grantedCase) {
	f, r, d := c.facts, c.rule, c.decision
	require.NotEmpty(t, d.Audience)
	if d.Type == tx.TypeIDToken {
		require.Equal(t, []string{f.Client.ID}, d.Audience)
		require.Equal(t, tx.KindUser, f.Subject.Kind, "D27")
		return
	}
	for i, target := range d.Audience {
		allowed := slices.Contains(r.Targets, target)
		if s := f.Subject.Token; r.SubjectAudience && isAccess(s.Type) && s.Issuer == own {
			allowed = allowed || slices.Contains(s.Audience, target)
		}
		if f.Actor != nil {
			if a := f.Actor.Token; r.ActorAudience && isAccess(a.Type) && a.Issuer == own {
				allowed = allowed || slices.Contains(a.Audience, target)
			}
		}
		require.True(t, allowed, "I03: %s is beyond the rule", target)
		require.True(t, d.Mode != tx.Narrow || slices.Contains(f.Subject.Token.Audience, target),
			"I03: narrow")
		require.NotContains(t, d.Audience[:i], target)
	}
	for _, target := range f.Request.Targets() {
		selects := r.TenantTargets && slices.Contains(f.Subject.Tenants, target) &&
			d.Subject.Tenant == target
		require.True(t, slices.Contains(d.Audience, target) != selects, "I03: %s", target)
	}
}

// TestI04_Expiry checks that no token outlives the tokens it was made from.
func TestI04_Expiry(t *testing.T) { granted(t, checkI04_Expiry) }

func checkI04_Expiry(t require.TestingT, c grantedCase) {
	f, r, d := c.facts, c.rule, c.decision
	limit := func(s *tx.Subject, outlive bool) {
		if s == nil || s.Token.Type == ticket {
			return
		}
		end := s.Token.Expires
		if outlive && !s.Until.IsZero() {
			end = s.Until
		}
		require.False(t, d.Expires.After(end), "I04")
		require.False(t, d.RefreshExpires.After(end), "I04: refresh token")
	}
	limit(&f.Subject, r.OutliveSubject)
	limit(f.Actor, r.OutliveActor)
	require.False(t, d.Expires.After(f.Now.Add(r.Lifetime)))
	require.GreaterOrEqual(t, d.Expires.Sub(f.Now), time.Second)
	require.Equal(t, d.RefreshToken, !d.RefreshExpires.IsZero())
}

// TestI05_Chain checks that the old chain is the end of the new chain, with one actor added at
// most.
func TestI05_Chain(t *testing.T) { granted(t, checkI05_Chain) }

func checkI05_Chain(t require.TestingT, c grantedCase) {
	f, r, d := c.facts, c.rule, c.decision
	var old, result []tx.Actor
	for a := f.Subject.Token.Actor; a != nil; a = a.Prior {
		entry := tx.Actor{Issuer: a.Issuer, Subject: a.Subject, ClientID: a.ClientID}
		if entry.Issuer == "" {
			entry.Issuer = f.Subject.Token.Issuer
		}
		old = append(old, entry)
	}
	names := map[[2]string]bool{}
	for a := d.Actor; a != nil; a = a.Prior {
		result = append(result,
			tx.Actor{Issuer: a.Issuer, Subject: a.Subject, ClientID: a.ClientID})
		require.NotEmpty(t, a.Issuer)
		require.NotEmpty(t, a.Subject)
		require.False(t, names[[2]string{a.Issuer, a.Subject}],
			"D15: an actor is in the chain twice")
		names[[2]string{a.Issuer, a.Subject}] = true
	}
	require.GreaterOrEqual(t, len(result), len(old))
	require.LessOrEqual(t, len(result)-len(old), 1)
	if len(old) > 0 {
		require.Equal(t, old, result[len(result)-len(old):], "I05")
	}
	limit := r.MaxChain
	if limit == 0 {
		limit = 4
	}
	require.LessOrEqual(t, len(result), limit)
	switch d.Mode {
	case tx.Delegate:
		require.Equal(t, f.Actor.ID, d.Actor.Subject)
		require.Equal(t, f.Actor.Issuer, d.Actor.Issuer)
	case tx.ClientActs:
		require.Equal(t, tx.Actor{Issuer: own, Subject: f.Client.ID, ClientID: f.Client.ID},
			result[0])
		require.False(t, f.Client.Public)
	default:
		require.Len(t, result, len(old), "D13: an actor was added")
	}
}

// TestI09_DecideIsPure decides three times about the same facts, and changes the first decision.
func TestI09_DecideIsPure(t *testing.T) {
	throws(t, 5000, func(d *dice) {
		f := drawFacts(d)
		p := mustPolicy(t, drawRules(d))
		first, errFirst := p.Decide(f)
		for _, list := range [][]string{first.Audience, first.Scope, first.Expanded} {
			for i := range list {
				list[i] = "changed by a host" // which no other decision may see
			}
		}
		second, errSecond := p.Decide(f)
		third, errThird := p.Decide(f)
		require.Equal(t, errFirst, errSecond)
		require.Equal(t, errSecond, errThird)
		require.Equal(t, second, third)
		require.NotContains(t, second.Audience, "changed by a host")
		require.NotContains(t, second.Scope, "changed by a host")
	})
}

// TestI10_NoRuleLifts checks the conditions that no rule can lift.
func TestI10_NoRuleLifts(t *testing.T) { granted(t, checkI10_NoRuleLifts) }

func checkI10_NoRuleLifts(t require.TestingT, c grantedCase) {
	f, d := c.facts, c.decision
	refresh := f.Grant == "refresh_token"
	s := f.Subject.Token
	require.Equal(t, own, f.Subject.Issuer, "D19")
	require.NotEmpty(t, f.Subject.ID)
	require.NotEmpty(t, f.Subject.Kind)
	require.True(t, refresh || s.Expires.After(f.Now), "expired")
	ownType := s.Type == tx.TypeAccessToken || s.Type == tx.TypeRefreshToken
	require.True(t, s.Issuer == own || !ownType, "R07")
	require.True(t, s.Type != tx.TypeRefreshToken || s.ClientID == f.Client.ID, "D28")
	for a := s.Actor; a != nil; a = a.Prior {
		require.NotEmpty(t, a.Subject, "R15")
	}
	if s.Issuer == f.Client.ID {
		require.Equal(t, ticket, s.Type, "D04")
		require.Nil(t, s.Actor, "D06")
		require.Nil(t, s.MayAct, "D06")
	}
	if m := s.MayAct; m != nil && !refresh && d.Mode != tx.Narrow {
		require.True(t, m.ClientID == "" || m.ClientID == f.Client.ID, "D08: another client")
		require.True(t, m.ClientID != "" || m.Subject != "", "D08: no actor is named")
		if f.Actor != nil && m.Subject != "" {
			require.Contains(t, []string{f.Actor.ID, f.Actor.Token.Subject}, m.Subject,
				"D08: another actor")
			require.True(t, f.Actor.Kind != tx.KindClient || m.ClientID == m.Subject,
				"D08: sub alone is never a client")
		}
	}
	if s.Type == ticket && f.Grant == tx.GrantType && s.Issuer != foreign {
		require.NotNil(t, f.Actor, "D04: evidence needs an actor token")
	}
	if f.Actor == nil {
		return
	}
	require.Equal(t, tx.Delegate, d.Mode, "D01")
	a := f.Actor.Token
	require.Nil(t, a.Actor, "D14")
	require.NotEmpty(t, f.Actor.ID)
	require.True(t, refresh || a.Expires.After(f.Now), "expired actor token")
	require.NotEqual(t, tx.TypeRefreshToken, a.Type, "D28")
	require.True(t, f.Grant != tx.GrantType || a.Type != ticket, "D05")
	bound, proof := a.Confirmation, f.Client.Confirmation
	require.True(t, bound.JKT == "" || bound.JKT == proof.JKT, "D30")
	require.True(t, bound.X5T == "" || bound.X5T == proof.X5T, "D30")
}

// TestD30_NeverUnboundSilently checks that a bound subject token, or a proved key, binds the new
// token to one key.
func TestD30_NeverUnboundSilently(t *testing.T) { granted(t, checkD30_NeverUnboundSilently) }

func checkD30_NeverUnboundSilently(t require.TestingT, c grantedCase) {
	f, r, d := c.facts, c.rule, c.decision
	proof, bound := f.Client.Confirmation, f.Subject.Token.Confirmation
	require.Equal(t, proof != (tx.Confirmation{}), d.Confirmation != (tx.Confirmation{}))
	require.True(t, d.Confirmation.JKT == "" || d.Confirmation.X5T == "")
	require.True(t, d.Confirmation.JKT == "" || d.Confirmation.JKT == proof.JKT)
	require.True(t, d.Confirmation.X5T == "" || d.Confirmation.X5T == proof.X5T)
	if !r.Rebind {
		require.True(t, bound.JKT == "" || bound.JKT == proof.JKT)
		require.True(t, bound.X5T == "" || bound.X5T == proof.X5T)
	}
	require.True(t, bound == (tx.Confirmation{}) || d.Confirmation != (tx.Confirmation{}))
}

// TestI10_AppendingARuleNeverChangesAGrant appends a rule to the policy of each grant.
func TestI10_AppendingARuleNeverChangesAGrant(t *testing.T) {
	compared := 0
	throws(t, 20000, func(d *dice) {
		f, rules := drawFacts(d), drawRules(d)
		before, err := mustPolicy(t, rules).Decide(f)
		if err != nil {
			return
		}
		longer, err := newPolicy(append(slices.Clone(rules), drawRule(d, "appended"))...)
		if err != nil {
			return
		}
		compared++
		after, err := longer.Decide(f)
		require.NoError(t, err)
		require.Equal(t, before, after)
	})
	require.Greater(t, compared, 500)
}

func mustPolicy(t *testing.T, rules []flatRule) *tx.Policy {
	t.Helper()
	p, err := newPolicy(rules...)
	require.NoError(t, err)
	return p
}

// FuzzDecide checks the invariants of grants with the dice of a fuzzer.
func FuzzDecide(f *testing.F) {
	for seed := range byte(8) {
		source := rand.NewChaCha8([32]byte{seed})
		data := make([]byte, 400)
		_, _ = source.Read(data)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, ok := decide(t, &dice{left: data})
		if !ok {
			return
		}
		for _, check := range []func(require.TestingT, grantedCase){
			checkI02_Scope, checkI03_Targets, checkI04_Expiry, checkI05_Chain, checkI10_NoRuleLifts,
			checkD30_NeverUnboundSilently,
		} {
			check(t, c)
		}
	})
}

// question is a rule and facts. By default c1 impersonates alice with an access token.
type question struct {
	rule  flatRule
	facts tx.Facts
}

func newQuestion() question {
	return question{plain(tx.Impersonate), tx.Facts{
		Grant: tx.GrantType, Issuer: own, Now: propertyNow,
		Client:  tx.Client{ID: "c1", Scope: tx.Scope{"read"}},
		Request: tx.Request{Audience: []string{"https://api.example"}, Scope: tx.Scope{"read"}},
		Subject: tx.Subject{
			Identity: tx.Identity{Issuer: own, Kind: tx.KindUser, ID: "alice"},
			Token: tx.Token{
				Type: tx.TypeAccessToken, Issuer: own, Subject: "alice", ClientID: "c1",
				Scope: tx.Scope{"read"}, Expires: propertyNow.Add(time.Hour),
			},
		},
	}}
}

// scopes gives the rule, the client and the token n scopes, and requests them in their order or
// turned round.
func (q question) scopes(n int, turned bool) question {
	list := numbered("scope:", n)
	q.rule.Scope = list
	q.facts.Client.Scope, q.facts.Subject.Token.Scope = slices.Clone(list), slices.Clone(list)
	q.facts.Request.Scope = slices.Clone(list)
	if turned {
		slices.Reverse(q.facts.Request.Scope)
	}
	return q
}

// depth gives the token a chain of n actors.
func (q question) depth(n int) question {
	q.rule.MaxChain = 32
	for _, name := range numbered("agent-", n) {
		q.facts.Subject.Token.Actor = &tx.Actor{
			Issuer: own, Subject: name, ClientID: "agents", Prior: q.facts.Subject.Token.Actor,
		}
	}
	return q
}

// targets gives the rule n targets and requests them.
func (q question) targets(n int) question {
	q.rule.Targets = numbered("https://api.example/", n)
	q.facts.Request.Audience = slices.Clone(q.rule.Targets)
	return q
}

func numbered(prefix string, n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprint(prefix, i))
	}
	return list
}

// policy returns a policy of n rules. The rule is in the middle, the others are for other clients.
func (q question) policy(t *testing.T, n int) *tx.Policy {
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

// refusals returns questions that are refused for different reasons.
func refusals() map[string]question {
	change := func(f func(q *question)) question {
		q := newQuestion()
		f(&q)
		return q
	}
	return map[string]question{
		"no client": change(func(q *question) { q.facts.Client.ID = "" }),
		"expired":   change(func(q *question) { q.facts.Subject.Token.Expires = q.facts.Now }),
		"public":    change(func(q *question) { q.facts.Client.Public = true }),
		"may_act": change(func(q *question) {
			q.facts.Subject.Token.MayAct = &tx.Actor{Subject: "bob"}
		}),
		"no rule": change(func(q *question) {
			q.facts.Client.ID, q.facts.Subject.Token.ClientID = "c2", "c2"
		}),
		"subject": change(func(q *question) {
			q.rule.Subjects = []tx.Identity{{Kind: tx.KindUser, ID: "bob"}}
		}),
		"target": change(func(q *question) {
			q.facts.Request.Audience = []string{"https://other.example"}
		}),
		"scope": change(func(q *question) { q.facts.Request.Scope = tx.Scope{"write"} }),
		"128 scopes": change(func(q *question) {
			*q = q.scopes(128, false)
			q.facts.Request.Scope[127] = "write"
		}),
		"16 targets": change(func(q *question) {
			*q = q.targets(16)
			q.facts.Request.Audience[15] = "https://other.example"
		}),
		"a chain": change(func(q *question) { *q = q.depth(16); q.rule.MaxChain = 4 }),
	}
}

// TestI09_RefusalsAreNotShared changes a refusal. The next refusal of the same facts is unchanged.
func TestI09_RefusalsAreNotShared(t *testing.T) {
	for name, q := range refusals() {
		p := q.policy(t, 1)
		_, err := p.Decide(q.facts)
		var first *tx.Error
		require.ErrorAs(t, err, &first, name)
		want := *first
		*first = tx.Error{
			Code: "changed", Description: "changed", Rule: "changed", Reason: "changed",
			Err: errors.New("changed"),
		}

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

// TestI09_RefusalsSayTheirOwnReason refuses for different reasons in turn. Each refusal has its own
// reason.
func TestI09_RefusalsSayTheirOwnReason(t *testing.T) {
	q := newQuestion()
	p := q.policy(t, 1)
	for range 2 {
		for reason, change := range map[string]func(*tx.Facts){
			"D25": func(f *tx.Facts) { f.Subject.Token.Expires = f.Now },
			"D19": func(f *tx.Facts) { f.Subject.Issuer = foreign },
			"R07": func(f *tx.Facts) { f.Request.RequestedTokenType = tx.TypeIDToken },
			"D30": func(f *tx.Facts) { f.Subject.Token.Confirmation.JKT = "k" },
		} {
			f := q.facts
			change(&f)
			_, err := p.Decide(f)
			assert.ErrorIs(t, err, tx.InvalidRequest, reason)
			assert.Contains(t, tx.AsError(err).Detail, reason)
		}
	}
}

// TestD21_ManyScopes requests scopes in different numbers and orders. Each is granted once, and
// only if the rule, the client and the subject have it.
func TestD21_ManyScopes(t *testing.T) {
	for _, n := range []int{1, 7, 8, 9, 127, 128, 129, 300} {
		for _, turned := range []bool{false, true} {
			q := newQuestion().scopes(n, turned)
			want := slices.Clone(q.facts.Request.Scope)
			q.facts.Request.Scope = append(q.facts.Request.Scope, want...) // each of them twice
			d, err := q.policy(t, 1).Decide(q.facts)
			require.NoError(t, err)
			assert.Equal(t, want, d.Scope, "%d, turned %v", n, turned)

			for name, list := range map[string]*tx.Scope{
				"rule":    &q.rule.Scope,
				"client":  &q.facts.Client.Scope,
				"subject": &q.facts.Subject.Token.Scope,
			} {
				whole := *list
				*list = append(slices.Clone(whole[:n/2]), whole[n/2+1:]...)
				_, err := q.policy(t, 1).Decide(q.facts)
				assert.ErrorIs(t, err, tx.InvalidScope, "%d, turned %v, one less in the %s", n,
					turned, name)
				*list = whole
			}
		}
	}
}

// TestD24_ManyTargets requests targets in different numbers and orders. Each is granted once, and
// only if the list that is the ceiling has it.
func TestD24_ManyTargets(t *testing.T) {
	ceilings := map[string]func(q *question, list []string){
		"the rule": func(q *question, list []string) { q.rule.Targets = list },
		"the token that is smaller": func(q *question, list []string) {
			q.rule.Mode, q.rule.Targets = tx.Narrow, numbered("t", 64)
			q.facts.Subject.Token.Audience = list
		},
		"the subject's token": func(q *question, list []string) {
			q.rule.SubjectAudience, q.facts.Subject.Token.Audience = true, list
		},
		"the token, and any of it": func(q *question, list []string) {
			q.rule.Mode, q.rule.SubjectAudience = tx.Narrow, true
			q.facts.Subject.Token.Audience = list
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
				what := fmt.Sprintf("%s, %d, turned %v", name, n, turned)
				q.facts.Request.Audience = want[:n/2]
				q.facts.Request.Resource = slices.Concat(want[n/2:], want)
				d, err := q.policy(t, 1).Decide(q.facts)
				require.NoError(t, err, what)
				assert.Equal(t, want, d.Audience, what)

				q.facts.Request.Resource = nil
				for _, at := range []int{0, n / 2, n} {
					q.facts.Request.Audience = slices.Insert(slices.Clone(want), at, "other")
					_, err = q.policy(t, 1).Decide(q.facts)
					assert.ErrorIs(t, err, tx.InvalidTarget, "%s, at %d", what, at)
				}
			}
		}
	}
}

// TestD23_ScopesThatAskForImpersonation requests scopes that select a subject elsewhere. They are
// never granted, even if the rule, the client and the subject have them. Scopes that resemble them
// are.
func TestD23_ScopesThatAskForImpersonation(t *testing.T) {
	for token, granted := range map[string]bool{
		"act_as":                     false,
		"act_as:":                    false,
		"act_as:bob":                 false,
		"internal_user_impersonate":  false,
		"act":                        true,
		"act_a":                      true,
		"act_as_admin":               true,
		"act_assist":                 true,
		"x:act_as:bob":               true,
		"internal_user_impersonate2": true,
	} {
		q, scope := newQuestion(), tx.Scope{token}
		q.rule.Scope, q.facts.Client.Scope = tx.Scope{"*"}, scope
		q.facts.Subject.Token.Scope, q.facts.Request.Scope = scope, scope
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

// TestD21_ScopesOfOneHash grants and parses hundreds of long lists of similar scopes. No scope is
// taken for another, as might happen with a hash or a filter.
func TestD21_ScopesOfOneHash(t *testing.T) {
	for i := range 300 {
		q := newQuestion()
		list := numbered(fmt.Sprintf("list%d:", i), 128)
		q.rule.Scope, q.facts.Client.Scope = list, list
		q.facts.Subject.Token.Scope, q.facts.Request.Scope = list, list
		d, err := q.policy(t, 1).Decide(q.facts)
		require.NoError(t, err)
		require.EqualValues(t, list, d.Scope)
		parsed, err := tx.ParseScope(tx.Scope(list).String())
		require.NoError(t, err)
		require.EqualValues(t, list, parsed)
	}
}

// TestI09_PolicyFilesArePure: the files of the policy have no clock, no context, no I/O and no locks, so
// that a decision depends on the facts alone (I09).
func TestI09_PolicyFilesArePure(t *testing.T) {
	files, err := filepath.Glob("policy*.go")
	require.NoError(t, err)
	checked := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		checked++
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		for _, spec := range file.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			require.NoError(t, err)
			for _, impure := range []string{"context", "net", "io", "os", "sync", "math/rand", "crypto"} {
				require.False(t, path == impure || strings.HasPrefix(path, impure+"/"),
					"%s imports %s", name, path)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				pkg, _ := s.X.(*ast.Ident)
				isClock := slices.Contains([]string{"Now", "Since", "Until"}, s.Sel.Name)
				require.False(t, pkg != nil && pkg.Name == "time" && isClock,
					"%s reads the clock", name)
			}
			return true
		})
	}
	require.GreaterOrEqual(t, checked, 8)
}
