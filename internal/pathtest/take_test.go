package pathtest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// take reads what a hop has given, judges all of it, and returns what the next hop begins with.
func (wk *walk) take(a attempt, at *node, answer tx.Response) (*node, error) {
	ev := wk.event(false)
	if ev == nil {
		return nil, fmt.Errorf("granted without an event")
	}
	h := &hop{door: a.door, rule: wk.rules[ev.Decision.Rule], client: a.client, who: a.who,
		asked:   a.scope,
		granted: strings.Fields(answer.Scope), tenant: wk.selected(a, wk.rules[ev.Decision.Rule]),
		at: wk.now}
	if h.rule.Mode == tx.Delegate && h.who == nil && a.door != doorRefresh {
		h.who = &actorToken{acting: acting{id: wk.people[a.actor].Identity, iss: own, sub: a.actor,
			hasFile: true}, exp: never}
	}
	asked := h.asked
	if a.door == doorRefresh {
		asked = at.ceiling // a refresh asks for what was granted
	}
	h.expanded = within(h.granted, asked, h.rule.Expand, h.client.Scope)
	kind := wk.kindOf(answer)
	main, err := wk.product(kind, answer.AccessToken, at, h)
	if err != nil && kind == ticket {
		wk.log("  a ticket that is of no use: %v", err) // its may_act has no sub
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list := []*node{main}
	add := func(kind made, value string, parent *node, h *hop) error {
		n, err := wk.product(kind, value, parent, h)
		list = append(list, n)
		return err
	}
	if answer.RefreshToken != "" {
		if err := add(refresh, answer.RefreshToken, at, h); err != nil {
			return nil, err
		}
	}
	if answer.IDToken != "" {
		if err := add(idBeside, answer.IDToken, at, h); err != nil {
			return nil, err
		}
	}
	if inner := wk.embeddedIn(main); inner != "" {
		within := *h
		within.door, within.rule, within.asked, within.tenant, within.who = doorEmbedded,
			wk.rules["inner"], nil, "", nil
		within.granted, within.expanded = nil, nil
		if err := add(embedded, inner, main, &within); err != nil {
			return nil, err
		}
	}
	if at.parent != nil {
		mode := h.rule.Mode
		if a.door == doorRefresh {
			mode = modeRefresh
		}
		wk.counts[pair{at.made, mode}]++
		wk.granted++
	}
	if a.attack != "" {
		wk.attacked["granted although an attack: "+a.attack]++
	}
	at.spent = a.door == doorRefresh || a.door == doorAssertion || at.made == ticket
	for _, n := range list {
		wk.judge(n)
	}
	next := main
	for _, n := range list {
		if n.made == a.want {
			next = n
		}
	}
	return next, nil
}

// kindOf is what kind of token an answer says that it has.
func (wk *walk) kindOf(answer tx.Response) made {
	switch t := answer.IssuedTokenType; {
	case t == tx.TypeIDToken:
		return idToken
	case t == typeTicket:
		return ticket
	case t == typeSession:
		return session
	case t == tx.TypeAccessToken && wk.stored:
		return opaque
	}
	return signed
}

// selected is the organisation that a target has selected under the rule that decided.
func (wk *walk) selected(a attempt, r rule) string {
	if r.TenantTargets && a.tenant != "" && slices.Contains(wk.people["alice"].Tenants, a.tenant) {
		return a.tenant
	}
	return ""
}

// product is the node of a token that a hop has made.
func (wk *walk) product(kind made, value string, parent *node, h *hop) (*node, error) {
	n := &node{made: kind, value: value, parent: parent, hop: h, number: len(wk.pool), ends: never,
		born: wk.now}
	n.declared = map[made]tx.TokenType{opaque: tx.TypeAccessToken, idToken: tx.TypeIDToken,
		idBeside: tx.TypeIDToken,
		refresh:  tx.TypeRefreshToken, ticket: typeTicket, session: typeSession}[kind]
	if n.declared == "" {
		n.declared = pick(wk.dice, tx.TypeJWT, tx.TypeAccessToken)
	}
	if isJWT := strings.Contains(value, "."); isJWT == (kind == opaque || kind == refresh ||
		kind == session) {
		return nil, fmt.Errorf("%q is no %s", value, kind)
	}
	var err error
	if n.seen, err = wk.look(value, n.declared, h.client, wk.oneIn(6)); err != nil {
		return nil, fmt.Errorf("%s that was just issued: %w", kind, err)
	}
	n.org = parent.org
	if h.tenant != "" && h.door != doorRefresh {
		n.org = h.tenant
	}
	switch {
	case kind.saysScope():
		n.ceiling = n.scope
	case kind.isEvidence():
		n.ceiling = h.granted
	case h.asked != nil:
		n.ceiling = h.granted
	default:
		n.ceiling = append(slices.Clone(parent.ceiling), h.expanded...)
	}
	limit := wk.limit(n)
	if kind.isEvidence() {
		n.ends = limit
	}
	if kind == refresh {
		n.grantEnd = wk.grantEnd(n, limit)
	}
	wk.pool = append(wk.pool, n)
	wk.log("  T%d: %s, client %q, aud %q, scope %q (ceiling %q), organisation %q, ends %s, "+
		"may_act %v, act %v, cnf %v",
		n.number, n.made, n.client, n.aud, n.scope, n.ceiling, n.tenant,
		n.exp.Format(time.DateTime), n.mayAct, n.chain,
		n.cnf)
	return n, nil
}

// embeddedIn is the token in a claim of another one.
func (wk *walk) embeddedIn(n *node) string {
	if n.made != signed {
		return ""
	}
	inner, _ := unverified(n.value)["downstream"].(string)
	return inner
}

// end is when a token ends what is made from it, before a rule lifts that.
func (n *node) end() time.Time {
	if n.made.isEvidence() {
		return n.ends
	}
	return n.exp
}

// grant is n, or the first refresh token of the grant that n was made under by refreshes.
func (n *node) grant() *node {
	for n.hop.door == doorRefresh && n.parent.parent != nil {
		n = n.parent
	}
	return n
}

// limit is the latest end of what one hop makes (D25): that of the subject token and that of the
// actor token, each of which a rule may let the Until of its subject take the place of. A refresh
// begins with the tokens of the grant.
func (wk *walk) limit(n *node) time.Time {
	r, grant := n.hop.rule, n.grant()
	subject, who := grant.parent, grant.hop.who
	limit := outlived(subject.end(), wk.people["alice"].Until, r.OutliveSubject,
		subject.made.isEvidence())
	if who != nil {
		until := time.Time{}
		if p := wk.people[who.id.ID]; p != nil && who.id.Issuer == own {
			until = p.Until
		}
		limit = earlier(limit, outlived(who.exp, until, r.OutliveActor, who.exp.Equal(never)))
	}
	return limit
}

// grantEnd is when a grant ends, which a refresh does not move. For evidence it is Until, or as
// long as the first refresh token may live.
func (wk *walk) grantEnd(n *node, limit time.Time) time.Time {
	if n.hop.door == doorRefresh {
		return n.parent.grantEnd
	}
	if !n.parent.made.isEvidence() {
		return limit
	}
	if until := wk.people["alice"].Until; !until.IsZero() {
		return earlier(limit, until)
	}
	return earlier(limit, n.hop.at.Add(n.hop.rule.RefreshLifetime))
}
