package pathtest

import (
	"slices"
	"time"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// judge holds a token that was just made to the limits of every token that it descends from (I13),
// and to what the host says at this moment.
func (wk *walk) judge(x *node) {
	for _, t := range x.path() {
		if t == x {
			continue
		}
		wk.judgeScope(t, x)
		wk.judgeEnd(t, x)
		wk.judgeWho(t, x)
		wk.judgeChain(t, x)
		wk.judgeKey(t, x)
	}
	wk.judgeLimit(x)
	wk.judgeOrganisation(x)
	wk.judgeHost(x)
	wk.judgeEnded(x)
}

// judgeScope: X's scope, or its ceiling, is within T's, plus what was expanded on the path.
func (wk *walk) judgeScope(t, x *node) {
	has := x.scope
	if x.hop.door != doorEmbedded {
		has = append(slices.Clone(x.scope), x.hop.granted...)
	}
	if more := without(has, t.ceiling, x.expandedSince(t)); len(more) > 0 {
		wk.violate("scope", t, x, "T%d has %q, which T%d (at most %q) did not allow", x.number,
			more, t.number, t.ceiling)
	}
}

// judgeEnd: X ends no later than T ends what is made from it, or than the Until of a rule that lets
// outlive it.
func (wk *walk) judgeEnd(t, x *node) {
	path := x.path()
	path = path[slices.Index(path, t)+1:]
	if path[0].hop.door == doorRefresh {
		return // what a grant may give, and until when, is judged by what the grant was made from
	}
	end := t.end()
	for _, n := range path {
		end = outlived(end, wk.people["alice"].Until, n.hop.rule.OutliveSubject,
			n.grant().parent.made.isEvidence())
	}
	if x.exp.After(end) {
		wk.violate("end", t, x, "T%d ends %s, T%d ends what is made from it %s", x.number,
			x.exp.Format(time.DateTime), t.number,
			end.Format(time.DateTime))
	}
}

// judgeLimit: X ends no later than the tokens of its hop allow, and a grant has one end that a
// refresh does not move.
func (wk *walk) judgeLimit(x *node) {
	if limit := wk.limit(x); x.exp.After(limit) {
		wk.violate("end", x.parent, x, "T%d ends %s, its hop allows %s", x.number,
			x.exp.Format(time.DateTime), limit.Format(time.DateTime))
	}
	if x.made == refresh && x.exp.After(x.grantEnd) {
		wk.violate("end of the grant", x.parent, x, "T%d ends %s, its grant %s", x.number,
			x.exp.Format(time.DateTime),
			x.grantEnd.Format(time.DateTime))
	}
}

// judgeWho: the first new actor on the path fits T's may_act. Before that only a narrowing, a
// client that it names under may_act_client, or the current actor once more.
func (wk *walk) judgeWho(t, x *node) {
	if t.mayAct == nil {
		return
	}
	path := x.path()
	for _, n := range path[slices.Index(path, t)+1:] {
		h := n.hop
		who := acting{id: tx.Identity{Issuer: own, Kind: tx.KindClient, ID: h.client.ID}, iss: own,
			sub: h.client.ID}
		if h.who != nil {
			who = h.who.acting
		}
		switch {
		case h.rule.ReplaceMayAct:
			return
		case len(n.chain) > len(n.parent.chain):
			if !t.mayAct.fits(t.issuer, h.client.ID, who, h.rule.MayActClient) {
				wk.violate("who", t, x,
					"%v acts at %s with T%d, which T%d's may_act %v does not name", who.id,
					h.client.ID, n.number,
					t.number, *t.mayAct)
			}
			return
		case h.door == doorRefresh || h.door == doorEmbedded || h.rule.Mode == tx.Narrow:
		case h.rule.Mode == tx.Impersonate && !t.mayAct.letsClient(h.client.ID,
			h.rule.MayActClient):
			wk.violate("who", t, x, "%s goes on with T%d, and T%d's may_act %v does not name it",
				h.client.ID, n.number, t.number, *t.mayAct)
			return
		}
	}
}

// judgeChain: T's chain is at the bottom of X's, byte for byte but for iss.
func (wk *walk) judgeChain(t, x *node) {
	if !isBottomOf(t.chain, x.chain) {
		wk.violate("chain", t, x, "T%d has the chain %v, T%d had %v", x.number, x.chain, t.number,
			t.chain)
	}
}

// judgeKey: X is bound where T is, and to the same key unless a rule on the path rebinds or a
// refresh proves another.
func (wk *walk) judgeKey(t, x *node) {
	none := tx.Confirmation{}
	if t.cnf == none {
		return
	}
	same := x.cnf.JKT != "" && x.cnf.JKT == t.cnf.JKT || x.cnf.X5T != "" && x.cnf.X5T == t.cnf.X5T
	for n := x; n != t; n = n.parent {
		same = same || n.hop.rule.Rebind || n.hop.door == doorRefresh
	}
	if x.cnf == none || !same {
		wk.violate("key", t, x, "T%d is bound to %v, T%d to %v", x.number, x.cnf, t.number, t.cnf)
	}
}

// judgeOrganisation: X's is T's, or the last one that a target has selected; and the rule that
// decided speaks of the one that the presented token has.
func (wk *walk) judgeOrganisation(x *node) {
	from := x.parent
	for from.parent != nil && from.org == x.org {
		from = from.parent
	}
	if ev := wk.event(x.hop.door == doorEmbedded); ev != nil &&
		ev.Decision.Subject.Tenant != x.org {
		wk.violate("organisation", from, x, "T%d is issued for %q, its organisation is %q",
			x.number, ev.Decision.Subject.Tenant, x.org)
	}
	if x.hasTenant && x.tenant != x.org {
		wk.violate("organisation", from, x, "T%d says %q, its organisation is %q", x.number,
			x.tenant, x.org)
	}
	presented := wk.people["alice"].Identity
	presented.Tenant = x.parent.org
	if x.hop.door != doorRefresh && !matches(x.hop.rule.Subjects, presented) {
		wk.violate("organisation pattern", from, x, "the rule %s speaks of %v, T%d is of %q",
			x.hop.rule.Name, x.hop.rule.Subjects,
			x.parent.number, x.parent.org)
	}
}

// judgeHost: whoever is in the input is active, and the authorizer says yes to whoever acts with X,
// in X's organisation. It need not be asked about a narrowing of an access token.
func (wk *walk) judgeHost(x *node) {
	grant := x.grant()
	if who := grant.hop.who; who != nil && !wk.active(who.id.Issuer, who.id.ID) {
		wk.violate("status", x.parent, x, "%s acts with T%d and is locked", who.id.ID, x.number)
	}
	if chain := grant.parent.chain; len(chain) > 0 && !wk.active(chain[0].iss, chain[0].sub) {
		wk.violate("status", x.parent, x, "%s, the current actor of T%d, is locked", chain[0].sub,
			grant.parent.number)
	}
	if x.hop.door == doorEmbedded || x.hop.rule.Mode == tx.Narrow && x.parent.made != refresh {
		return
	}
	who := wk.actor(x)
	if !slices.Contains(wk.asked, x.org) {
		wk.violate("authorizer", x.parent, x, "T%d is of %q, the authorizer was asked about %q",
			x.number, x.org, wk.asked)
	}
	if !wk.allows(who, x.org) {
		wk.violate("authorizer", x.parent, x,
			"%s acts with T%d in %q, to which the authorizer says no", who.ID, x.number, x.org)
	}
}

// actor is who acts with a token: the current actor, who may act with a ticket, or the client where
// no actor is named.
func (wk *walk) actor(x *node) tx.Identity {
	switch {
	case x.hop.door == doorTicket:
		return x.hop.who.id
	case len(x.chain) > 0:
		return tx.Identity{Issuer: x.chain[0].iss, ID: x.chain[0].sub}
	}
	return tx.Identity{Issuer: own, ID: x.hop.client.ID}
}

// judgeEnded: what somebody was given to do for alice and she has ended is given by no token of
// before.
func (wk *walk) judgeEnded(x *node) {
	theirs := len(x.chain) > 0 || x.client != x.parent.client
	who := wk.actor(x)
	for _, e := range wk.endings {
		isName := x.first().made == userName
		if theirs && x.client == e.client && who.ID == e.who.ID && who.Issuer == e.who.Issuer &&
			(isName || !x.first().born.After(e.at)) {
			wk.violate("ended delegation", x.first(), x,
				"%s acts at %s again, which alice has ended", who.ID, x.client)
		}
	}
}
