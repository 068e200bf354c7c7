package pathtest

import (
	"slices"
	"time"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// judge compares a new token with the limits of every token that it was made from (I13), and with
// the current state of the directory and the authorizer.
func (wk *walk) judge(x *node) {
	for _, t := range x.path() {
		if t == x {
			continue
		}
		wk.judgeScope(t, x)
		wk.judgeEnd(t, x)
		wk.judgeActor(t, x)
		wk.judgeChain(t, x)
		wk.judgeKey(t, x)
	}
	wk.judgeLimit(x)
	wk.judgeOrganisation(x)
	wk.judgeHost(x)
	wk.judgeEnded(x)
}

// judgeScope checks that the scope of x is within the ceiling of t, apart from the scopes that
// rules of the path add.
func (wk *walk) judgeScope(t, x *node) {
	has := x.scope
	if x.hop.grant != grantEmbedded {
		has = append(slices.Clone(x.scope), x.hop.granted...)
	}
	if more := without(has, t.ceiling, x.expandedSince(t)); len(more) > 0 {
		wk.violate("scope", t, x, "T%d has %q, which T%d (at most %q) did not allow", x.number,
			more, t.number, t.ceiling)
	}
}

// judgeEnd checks that x expires no later than t allows, or than Subject.Until if a rule of the
// path lets a token outlive t.
func (wk *walk) judgeEnd(t, x *node) {
	path := x.path()
	path = path[slices.Index(path, t)+1:]
	if path[0].hop.grant == grantRefresh {
		return // the tokens that the grant was made from limit it
	}
	end := t.end()
	for _, n := range path {
		end = extendedEnd(end, wk.people["alice"].Until, n.hop.rule.OutliveSubject,
			n.grant().parent.kind.isEvidence())
	}
	if x.exp.After(end) {
		wk.violate("end", t, x, "T%d expires at %s, T%d allows %s", x.number,
			x.exp.Format(time.DateTime), t.number, end.Format(time.DateTime))
	}
}

// judgeLimit checks that x expires no later than the tokens of its hop allow, and that a refresh
// does not move the end of a grant.
func (wk *walk) judgeLimit(x *node) {
	if limit := wk.limit(x); x.exp.After(limit) {
		wk.violate("end", x.parent, x, "T%d expires at %s, its hop allows %s", x.number,
			x.exp.Format(time.DateTime), limit.Format(time.DateTime))
	}
	if x.kind == refresh && x.exp.After(x.grantEnd) {
		wk.violate("end of the grant", x.parent, x, "T%d expires at %s, its grant ends at %s",
			x.number, x.exp.Format(time.DateTime), x.grantEnd.Format(time.DateTime))
	}
}

// judgeActor checks that the may_act of t names the first new actor on the path. The hops before
// may only be narrowings, hops of a client that may_act names (may_act_client), and hops of the
// current actor.
func (wk *walk) judgeActor(t, x *node) {
	if t.mayAct == nil {
		return
	}
	path := x.path()
	for _, n := range path[slices.Index(path, t)+1:] {
		h := n.hop
		actor := actingParty{id: tx.Identity{Issuer: own, Kind: tx.KindClient, ID: h.client.ID},
			iss: own,
			sub: h.client.ID}
		if h.actorToken != nil {
			actor = h.actorToken.actingParty
		}
		switch {
		case h.rule.ReplaceMayAct:
			return
		case len(n.chain) > len(n.parent.chain):
			if !t.mayAct.fits(t.issuer, h.client.ID, actor, h.rule.MayActClient) {
				wk.violate("actor", t, x,
					"%v acts at %s with T%d, but may_act of T%d is %v", actor.id, h.client.ID,
					n.number, t.number, *t.mayAct)
			}
			return
		case h.grant == grantRefresh || h.grant == grantEmbedded || h.rule.Mode == tx.Narrow:
		case h.rule.Mode == tx.Impersonate && !t.mayAct.namesClient(h.client.ID,
			h.rule.MayActClient):
			wk.violate("actor", t, x, "%s received T%d, but may_act of T%d is %v",
				h.client.ID, n.number, t.number, *t.mayAct)
			return
		}
	}
}

// judgeChain checks that the chain of x ends with the chain of t, byte for byte apart from iss.
func (wk *walk) judgeChain(t, x *node) {
	if !isSuffix(t.chain, x.chain) {
		wk.violate("chain", t, x, "T%d has the chain %v, T%d had %v", x.number, x.chain, t.number,
			t.chain)
	}
}

// judgeKey checks that x is bound if t is: to the same key, unless a rule of the path rebinds or
// the client proved another key in a refresh.
func (wk *walk) judgeKey(t, x *node) {
	none := tx.Confirmation{}
	if t.cnf == none {
		return
	}
	same := x.cnf.JKT != "" && x.cnf.JKT == t.cnf.JKT || x.cnf.X5T != "" && x.cnf.X5T == t.cnf.X5T
	for n := x; n != t; n = n.parent {
		same = same || n.hop.rule.Rebind || n.hop.grant == grantRefresh
	}
	if x.cnf == none || !same {
		wk.violate("key", t, x, "T%d is bound to %v, T%d to %v", x.number, x.cnf, t.number, t.cnf)
	}
}

// judgeOrganisation checks that x has the organisation that a target selected last, else that of
// its parent. The subject pattern of the rule must match the organisation of the presented token.
func (wk *walk) judgeOrganisation(x *node) {
	from := x.parent
	for from.parent != nil && from.org == x.org {
		from = from.parent
	}
	if ev := wk.event(x.hop.grant == grantEmbedded); ev != nil &&
		ev.Decision.Subject.Tenant != x.org {
		wk.violate("organisation", from, x, "T%d was decided for %q, its organisation is %q",
			x.number, ev.Decision.Subject.Tenant, x.org)
	}
	if x.hasTenant && x.tenant != x.org {
		wk.violate("organisation", from, x, "T%d states %q, its organisation is %q", x.number,
			x.tenant, x.org)
	}
	presented := wk.people["alice"].Identity
	presented.Tenant = x.parent.org
	if x.hop.grant != grantRefresh && !matches(x.hop.rule.Subjects, presented) {
		wk.violate("organisation pattern", from, x, "the rule %s is for %v, T%d is of %q",
			x.hop.rule.Name, x.hop.rule.Subjects, x.parent.number, x.parent.org)
	}
}

// judgeHost checks that the actor and the current actor of the presented token are active, and that
// the authorizer allows the actor of x in the organisation of x. A narrowing of an access token
// needs no authorizer.
func (wk *walk) judgeHost(x *node) {
	grant := x.grant()
	if actor := grant.hop.actorToken; actor != nil && !wk.active(actor.id.Issuer, actor.id.ID) {
		wk.violate("status", x.parent, x, "%s acts with T%d and is locked", actor.id.ID, x.number)
	}
	if chain := grant.parent.chain; len(chain) > 0 && !wk.active(chain[0].iss, chain[0].sub) {
		wk.violate("status", x.parent, x, "%s, the current actor of T%d, is locked", chain[0].sub,
			grant.parent.number)
	}
	if x.hop.grant == grantEmbedded || x.hop.rule.Mode == tx.Narrow && x.parent.kind != refresh {
		return
	}
	actor := wk.actor(x)
	if !slices.Contains(wk.asked, x.org) {
		wk.violate("authorizer", x.parent, x, "T%d is of %q, the authorizer was called for %q",
			x.number, x.org, wk.asked)
	}
	if !wk.allows(actor, x.org) {
		wk.violate("authorizer", x.parent, x,
			"%s acts with T%d in %q, which the authorizer refuses", actor.ID, x.number, x.org)
	}
}

// actor returns the party that acts with a token: the party that a ticket names, else the current
// actor, else the client.
func (wk *walk) actor(x *node) tx.Identity {
	switch {
	case x.hop.grant == grantTicket:
		return x.hop.actorToken.id
	case len(x.chain) > 0:
		return tx.Identity{Issuer: x.chain[0].iss, ID: x.chain[0].sub}
	}
	return tx.Identity{Issuer: own, ID: x.hop.client.ID}
}

// judgeEnded checks that no token of an earlier login gives a delegation that alice has ended.
func (wk *walk) judgeEnded(x *node) {
	delegated := len(x.chain) > 0 || x.client != x.parent.client
	actor := wk.actor(x)
	for _, e := range wk.endings {
		isName := x.first().kind == userName
		if delegated && x.client == e.client && actor.ID == e.actor.ID &&
			actor.Issuer == e.actor.Issuer &&
			(isName || !x.first().issued.After(e.at)) {
			wk.violate("ended delegation", x.first(), x,
				"%s acts at %s again, but alice has ended that", actor.ID, x.client)
		}
	}
}
