package pathtest

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/grants"
)

// attempt is one request: the client, what it asks for, the keys that it proves, and the attack
// that it is, if any.
type attempt struct {
	*planned
	client  tx.Client
	who     *actorToken
	scope   []string // nil: none is asked for
	tenant  string
	targets []string
	attack  string // what it asks for that an earlier token did not allow; empty: nothing
	during  string // a party that is locked meanwhile, or to which the authorizer says no
}

// walk is one path on its way.
type walk struct {
	*world
	*plan
	pool     []*node
	broken   []*violation // the first of each clause
	counts   map[pair]int
	granted  int // second and later hops
	endings  []ended
	attacked map[string]int
	stopped  string // why the last attempt was refused
}

// pair is what was made at one hop, and the mode of the next.
type pair struct {
	made made
	mode tx.Mode
}

// violation is a clause that a granted token breaks.
type violation struct {
	clause string
	kinds  string // the way from the token whose limit is broken
	hops   int
	text   string
}

func (wk *walk) violate(clause string, t, x *node, format string, args ...any) {
	if slices.ContainsFunc(wk.broken, func(v *violation) bool { return v.clause == clause }) {
		return
	}
	v := &violation{clause: clause, hops: x.hops(), text: fmt.Sprintf(format, args...)}
	v.kinds = string(x.made)
	for n := x; n.parent != nil && n != t; n = n.parent {
		v.kinds = fmt.Sprintf("%s -%s-> %s", n.parent.made, n.hop.label(), v.kinds)
	}
	wk.log("BROKEN: %s: %s", clause, v.text)
	wk.broken = append(wk.broken, v)
}

func (h *hop) label() string {
	if h.door == doorExchange {
		return string(h.rule.Mode)
	}
	return h.door + " " + string(h.rule.Mode)
}

// run walks the plan: a hop that is refused with what was planned ends it.
func (wk *walk) run() error {
	first, err := wk.mint(wk.kind, wk.first)
	if err != nil {
		return err
	}
	first.number, wk.pool = 0, []*node{first}
	wk.log("T0: %s, client %q, aud %q, scope %q, may_act %s, act %s, cnf %v, ends %s", first.made,
		first.client, first.aud,
		wk.first.scope, wk.first.mayAct, wk.first.act, first.cnf, first.exp.Format(time.TimeOnly))
	at := first
	for _, s := range wk.steps {
		wk.wait(at)
		if !s.takes(at) {
			continue // the hop before did not make what was planned
		}
		made, err := wk.step(s, at)
		if err != nil {
			return err
		}
		if made == nil {
			break
		}
		at = made
	}
	return wk.probe(at)
}

// takes reports whether a hop can begin with a token.
func (s *planned) takes(at *node) bool {
	switch {
	case s.door == doorRefresh:
		return at.made == refresh
	case s.door == doorLogin:
		return at.made == session
	case s.mode == tx.Narrow:
		return at.made.isOwnAccess() || at.made == refresh
	}
	return true
}

// wait lets time pass, as long as the subject token lives.
func (wk *walk) wait(at *node) {
	left := at.exp.Sub(wk.now)
	pass := pick(wk.dice, 0, 0, time.Second, 10*time.Second, 20*time.Second, 5*time.Minute,
		40*time.Minute)
	if at.parent != nil && at.made == refresh && !wk.oneIn(3) {
		pass = min(pass, 20*time.Second)
	}
	if pass+2*time.Second < left {
		wk.now = wk.now.Add(pass)
	}
}

// step tries a hop: what should be refused first, what should be granted last.
func (wk *walk) step(s *planned, at *node) (*node, error) {
	for _, a := range wk.attempts(s, at) {
		wk.asked, wk.events = nil, nil
		undo := wk.disturb(a, at)
		answer, err := wk.send(a, at)
		wk.log("%s", a.describe(at, err))
		if err == nil {
			wk.stopped = ""
			next, err := wk.take(a, at, answer)
			undo()
			return next, err
		}
		undo()
		wk.stopped = string(s.subject) + " " + a.door + " " + string(a.mode) + ": " + err.Error()
	}
	return nil, nil
}

func (a attempt) describe(at *node, err error) string {
	outcome := "granted"
	if err != nil {
		outcome = err.Error()
	}
	who := ""
	if a.who != nil {
		who = fmt.Sprintf(", actor %s (ends %s)", a.who.text, a.who.exp.Format(time.TimeOnly))
	}
	mark := ""
	if a.attack != "" {
		mark = " ATTACK(" + a.attack + " " + a.during + ")"
	}
	return fmt.Sprintf("%s %s by %s from T%d%s: asks for %s, targets %q %s, scope %q, "+
		"proves %v%s: %s",
		a.door, a.mode, a.client.ID, at.number, mark, a.main, a.targets, a.tenant, a.scope,
		a.client.Confirmation, who,
		outcome)
}

// disturb locks a party for the time of one attempt, or lets the authorizer say no.
func (wk *walk) disturb(a attempt, at *node) (undo func()) {
	p := wk.people[a.during]
	switch {
	case p == nil:
	case a.attack == "status":
		p.disabled = true
		return func() { p.disabled = false }
	case a.attack == "asked":
		wk.refused[a.during] = true
		return func() { delete(wk.refused, a.during) }
	}
	return func() {}
}

// attempts are what is tried for one hop, in order.
func (wk *walk) attempts(s *planned, at *node) []attempt {
	base := attempt{planned: s, client: wk.clients[s.client], targets: s.targets}
	base.client.Confirmation = wk.proof(s, at)
	if s.mode == tx.Delegate {
		if s.door == doorExchange {
			base.who = wk.draw(s.actor, s.client, s.pending)
		}
	}
	if s.mode == tx.Narrow {
		if base.targets = within(s.targets, at.aud); len(base.targets) == 0 && len(at.aud) > 0 {
			base.targets = at.aud[:1]
		}
		if wk.oneIn(4) {
			base.targets = nil
		}
	}
	if s.main == idToken {
		base.targets = nil
	}
	base.scope = wk.wish(s, at)
	var list []attempt
	if a, ok := wk.attack(base, at); ok {
		list = append(list, a)
	}
	if s.selects {
		switched := base
		switched.tenant = pick(wk.dice, "globex", "globex", "acme")
		list = append(list, switched)
	}
	list = append(list, base)
	switch least := within([]string{"read"}, at.ceiling); {
	case s.door == doorTicket:
	case base.scope != nil:
		base.scope = nil
		list = append(list, base)
	case len(least) > 0:
		base.scope = least
		list = append(list, base)
	}
	return list
}

// draw makes an actor token that the rule lets the client present.
func (wk *walk) draw(who, client string, isJWT bool) *actorToken {
	a, err := wk.actorFor(who, client, isJWT)
	if err != nil {
		panic(err)
	}
	return a
}

// proof is the key that the client proves.
func (wk *walk) proof(s *planned, at *node) tx.Confirmation {
	var none tx.Confirmation
	switch {
	case at.cnf == none && wk.oneIn(3):
		return pick(wk.dice, tx.Confirmation{JKT: "k2"}, tx.Confirmation{X5T: "x2"})
	case at.cnf != none && s.rule.Rebind && wk.oneIn(2):
		return tx.Confirmation{JKT: "k3"}
	}
	return at.cnf
}

// wish is the scope to ask for: some of what can be had, and what makes the tokens that are
// planned.
func (wk *walk) wish(s *planned, at *node) []string {
	if wk.oneIn(3) && s.door != doorTicket {
		return nil
	}
	can := within(at.ceiling, wk.clients[s.client].Scope)
	if !slices.Contains(s.rule.Scope, "*") && s.mode != modeRefresh {
		can = within(can, s.rule.Scope)
	}
	if at.made == refresh && s.mode == modeRefresh {
		can = at.ceiling
	}
	var list []string
	for _, scope := range can {
		on := s.mode == modeRefresh || scope == "openid" && s.rule.IDToken ||
			scope == "offline_access" && s.rule.RefreshLifetime > 0 && s.main != idToken
		switch {
		case scope == "openid" || scope == "offline_access":
			if on && wk.percent(85) {
				list = append(list, scope)
			}
		case wk.percent(70):
			list = append(list, scope)
		}
	}
	if s.mode != modeRefresh && s.mode != tx.Narrow && wk.oneIn(2) {
		list = append(list, without(within(s.rule.Expand, wk.clients[s.client].Scope), list)...)
	}
	if len(list) == 0 && s.door == doorTicket {
		return []string{"read"}
	}
	return list
}

// attack changes a request so that it asks for more than some token of the path allowed, where
// there is a way to.
func (wk *walk) attack(a attempt, at *node) (attempt, bool) {
	var none tx.Confirmation
	current := ""
	if len(at.chain) > 0 && wk.people[at.chain[0].sub] != nil {
		current = at.chain[0].sub
	}
	beyond := without(within(a.client.Scope, []string{"read", "write", "admin"}), at.ceiling)
	other := pick(wk.dice, actorNames...)
	var kinds []string
	if len(beyond) > 0 && a.door != doorTicket {
		kinds = append(kinds, "scope", "scope")
	}
	if a.who != nil && a.pending && other != a.actor {
		kinds = append(kinds, "who", "who", "who")
	}
	if at.cnf != none {
		kinds = append(kinds, "key")
	}
	if current != "" {
		kinds = append(kinds, "status")
	}
	if a.mode == tx.Narrow || a.mode == modeRefresh || wk.oneIn(8) {
		kinds = append(kinds, "asked")
	}
	if len(kinds) == 0 || !wk.percent(45) {
		return a, false
	}
	switch a.attack = pick(wk.dice, kinds...); a.attack {
	case "scope":
		a.scope = append(slices.Clone(a.scope), pick(wk.dice, beyond...))
	case "who":
		a.who = wk.draw(other, a.client.ID, false)
	case "key":
		a.client.Confirmation = pick(wk.dice, none, tx.Confirmation{JKT: "k9"})
	case "status":
		a.during = current
	case "asked":
		a.during = wk.actingAfter(a, at).ID
	}
	return a, true
}

// actingAfter is who would act with the result.
func (wk *walk) actingAfter(a attempt, at *node) tx.Identity {
	switch {
	case a.who != nil:
		return a.who.id
	case a.mode == tx.Delegate && a.actor != "":
		return wk.people[a.actor].Identity
	case a.mode != tx.ClientActs && len(at.chain) > 0:
		id := tx.Identity{Issuer: at.chain[0].iss, Kind: tx.KindUser, ID: at.chain[0].sub}
		if p := wk.people[id.ID]; p != nil && id.Issuer == own {
			return p.Identity
		}
		return id
	}
	return tx.Identity{Issuer: own, Kind: tx.KindClient, ID: a.client.ID}
}

// send makes the request at its door.
func (wk *walk) send(a attempt, at *node) (tx.Response, error) {
	form := url.Values{}
	set := func(name, value string) {
		if value != "" {
			form.Set(name, value)
		}
	}
	set("scope", strings.Join(a.scope, " "))
	form["audience"] = slices.Clone(a.targets)
	if a.tenant != "" {
		form["audience"] = append(form["audience"], a.tenant)
	}
	switch a.door {
	case doorRefresh:
		form.Del("audience")
		form.Set("grant_type", "refresh_token")
		form.Set("refresh_token", at.value)
		return wk.tokens.Refresh(wk.ctx, wk.x, a.client, form)
	case doorTicket:
		return wk.ticketFor(a.client, a.actor, a.scope)
	case doorAssertion:
		return wk.assert(a.client, at, form)
	case doorLogin, doorActAs:
		return wk.front(a, at, form)
	}
	form.Set("grant_type", tx.GrantType)
	form.Set("subject_token", at.value)
	form.Set("subject_token_type", string(at.declared))
	if a.main == opaque || a.main == idToken || a.main == session || a.main == ticket ||
		!wk.oneIn(2) {
		form.Set("requested_token_type", string(wk.askedAs(a.main)))
	}
	if a.who != nil {
		form.Set("actor_token", a.who.value)
		form.Set("actor_token_type", string(a.who.declared))
	}
	return wk.x.Exchange(wk.ctx, a.client, form)
}

// front is a door of the host: it has authenticated somebody, or a session of its own is presented
// there.
func (wk *walk) front(a attempt, at *node, form url.Values) (tx.Response, error) {
	form.Set("grant_type", tx.GrantType)
	form.Set("subject_token", "session")
	form.Set("subject_token_type", string(typeSession))
	req, err := tx.ParseRequest(form)
	if err != nil {
		return tx.Response{}, err
	}
	req.RequestedTokenType = wk.askedAs(a.main)
	self := func(who string) tx.Token {
		return tx.Token{Type: typeSession, Kind: tx.KindUser, ID: "session-" + who, Issuer: own,
			Subject: who, ClientID: a.client.ID,
			Scope: tx.Scope{"read"}, Issued: wk.now, Expires: wk.now.Add(time.Hour),
			AuthTime: wk.now}
	}
	return wk.x.Run(wk.ctx, grantLogin, a.client, func(ctx context.Context,
		now time.Time) (tx.Request, tx.Token, *tx.Token, error) {
		if a.door == doorActAs {
			req.Scope = append(req.Scope, "act_as:alice")
			return (grants.ActAs{Named: typeActAs, Prefix: "act_as:"}).Open(req, "", self(a.actor))
		}
		subject := at.login
		if at.login.Type == "" {
			c := tx.Credential{Token: at.value, Type: typeSession, Issuer: own, Client: a.client,
				Now: now}
			if subject, err = wk.x.Verify[typeSession](ctx, c); err != nil {
				return req, subject, nil, err
			}
		}
		if a.mode != tx.Delegate {
			return req, subject, nil, nil
		}
		actor := self(a.actor)
		return req, subject, &actor, nil
	})
}
