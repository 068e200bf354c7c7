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

// attempt is one request, which may be an attack.
type attempt struct {
	*planned
	client     tx.Client
	actorToken *actorToken
	scope      []string // nil: the request has none
	tenant     string
	targets    []string
	attack     string // the limit that the request exceeds; empty: none
	during     string // a party that is locked or refused during the request
}

// walk is the state of one path.
type walk struct {
	*world
	*plan
	pool        []*node
	violations  []*violation // the first of each clause
	counts      map[pair]int
	granted     int // second and later hops
	endings     []ended
	attacked    map[string]int
	lastRefusal string // the error of the last refused attempt
}

// pair is the kind of a subject token and the mode of the hop that presents it.
type pair struct {
	kind tokenKind
	mode tx.Mode
}

// violation is a limit that a granted token exceeds.
type violation struct {
	clause string
	kinds  string // the kinds of tokens from the one with the limit to the violation
	hops   int
	text   string
}

func (wk *walk) violate(clause string, t, x *node, format string, args ...any) {
	if slices.ContainsFunc(wk.violations, func(v *violation) bool { return v.clause == clause }) {
		return
	}
	v := &violation{clause: clause, hops: x.hops(), text: fmt.Sprintf(format, args...)}
	v.kinds = string(x.kind)
	for n := x; n.parent != nil && n != t; n = n.parent {
		v.kinds = fmt.Sprintf("%s -%s-> %s", n.parent.kind, n.hop.label(), v.kinds)
	}
	wk.log("VIOLATION: %s: %s", clause, v.text)
	wk.violations = append(wk.violations, v)
}

func (h *hop) label() string {
	if h.grant == grantExchange {
		return string(h.rule.Mode)
	}
	return h.grant + " " + string(h.rule.Mode)
}

// run walks the plan. It stops when a planned request is refused.
func (wk *walk) run() error {
	first, err := wk.mint(wk.kind, wk.first)
	if err != nil {
		return err
	}
	first.number, wk.pool = 0, []*node{first}
	wk.log("T0: %s, client %q, aud %q, scope %q, may_act %s, act %s, cnf %v, ends %s", first.kind,
		first.client, first.aud,
		wk.first.scope, wk.first.mayAct, wk.first.act, first.cnf, first.exp.Format(time.TimeOnly))
	at := first
	for _, s := range wk.steps {
		wk.wait(at)
		if !s.accepts(at) {
			continue // the hop before did not issue the planned kind of token
		}
		next, err := wk.step(s, at)
		if err != nil {
			return err
		}
		if next == nil {
			break
		}
		at = next
	}
	return wk.probe(at)
}

// accepts reports whether the hop can begin with the token.
func (s *planned) accepts(at *node) bool {
	switch {
	case s.grant == grantRefresh:
		return at.kind == refresh
	case s.grant == grantLogin:
		return at.kind == session
	case s.mode == tx.Narrow:
		return at.kind.isOwnAccess() || at.kind == refresh
	}
	return true
}

// wait lets time pass. The subject token does not expire meanwhile.
func (wk *walk) wait(at *node) {
	left := at.exp.Sub(wk.now)
	pass := pick(wk.dice, 0, 0, time.Second, 10*time.Second, 20*time.Second, 5*time.Minute,
		40*time.Minute)
	if at.parent != nil && at.kind == refresh && !wk.oneIn(3) {
		pass = min(pass, 20*time.Second)
	}
	if pass+2*time.Second < left {
		wk.now = wk.now.Add(pass)
	}
}

// step makes the requests of a hop until one is granted. The requests that should be refused come
// first.
func (wk *walk) step(s *planned, at *node) (*node, error) {
	for _, a := range wk.attempts(s, at) {
		wk.asked, wk.events = nil, nil
		undo := wk.disturb(a, at)
		answer, err := wk.send(a, at)
		wk.log("%s", a.describe(at, err))
		if err == nil {
			wk.lastRefusal = ""
			next, err := wk.receive(a, at, answer)
			undo()
			return next, err
		}
		undo()
		wk.lastRefusal = string(s.subject) + " " + a.grant + " " + string(a.mode) + ": " +
			err.Error()
	}
	return nil, nil
}

func (a attempt) describe(at *node, err error) string {
	outcome := "granted"
	if err != nil {
		// The detail may have the random id of a token, and a seed must give the same text again.
		e := tx.AsError(err)
		outcome = string(e.Code) + ": " + e.Reason
	}
	actor := ""
	if a.actorToken != nil {
		actor = fmt.Sprintf(", actor %s (expires at %s)", a.actorToken.text,
			a.actorToken.exp.Format(time.TimeOnly))
	}
	mark := ""
	if a.attack != "" {
		mark = " ATTACK(" + a.attack + " " + a.during + ")"
	}
	return fmt.Sprintf("%s %s by %s from T%d%s: requests %s, targets %q %s, scope %q, "+
		"proves %v%s: %s",
		a.grant, a.mode, a.client.ID, at.number, mark, a.main, a.targets, a.tenant, a.scope,
		a.client.Confirmation, actor,
		outcome)
}

// disturb locks a party, or makes the authorizer refuse it, until undo is called.
func (wk *walk) disturb(a attempt, at *node) (undo func()) {
	p := wk.people[a.during]
	switch {
	case p == nil:
	case a.attack == "status":
		p.disabled = true
		return func() { p.disabled = false }
	case a.attack == "authorizer":
		wk.refused[a.during] = true
		return func() { delete(wk.refused, a.during) }
	}
	return func() {}
}

// attempts returns the requests to make for one hop, in order.
func (wk *walk) attempts(s *planned, at *node) []attempt {
	base := attempt{planned: s, client: wk.clients[s.client], targets: s.targets}
	base.client.Confirmation = wk.proof(s, at)
	if s.mode == tx.Delegate {
		if s.grant == grantExchange {
			base.actorToken = wk.drawActor(s.actor, s.client, s.pending)
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
	base.scope = wk.requestScope(s, at)
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
	case s.grant == grantTicket:
	case base.scope != nil:
		base.scope = nil
		list = append(list, base)
	case len(least) > 0:
		base.scope = least
		list = append(list, base)
	}
	return list
}

// drawActor makes an actor token that the client can present.
func (wk *walk) drawActor(name, client string, isJWT bool) *actorToken {
	a, err := wk.actorFor(name, client, isJWT)
	if err != nil {
		panic(err)
	}
	return a
}

// proof returns the key that the client proves.
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

// requestScope draws the scope to request: a part of the available scope, and the scopes that add
// the planned tokens.
func (wk *walk) requestScope(s *planned, at *node) []string {
	if wk.oneIn(3) && s.grant != grantTicket {
		return nil
	}
	can := within(at.ceiling, wk.clients[s.client].Scope)
	if !slices.Contains(s.rule.Scope, "*") && s.mode != modeRefresh {
		can = within(can, s.rule.Scope)
	}
	if at.kind == refresh && s.mode == modeRefresh {
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
	if len(list) == 0 && s.grant == grantTicket {
		return []string{"read"}
	}
	return list
}

// attack changes a request so that it exceeds a limit of an earlier token. It returns false if it
// does not.
func (wk *walk) attack(a attempt, at *node) (attempt, bool) {
	var none tx.Confirmation
	current := ""
	if len(at.chain) > 0 && wk.people[at.chain[0].sub] != nil {
		current = at.chain[0].sub
	}
	beyond := without(within(a.client.Scope, []string{"read", "write", "admin"}), at.ceiling)
	other := pick(wk.dice, actorNames...)
	var kinds []string
	if len(beyond) > 0 && a.grant != grantTicket {
		kinds = append(kinds, "scope", "scope")
	}
	if a.actorToken != nil && a.pending && other != a.actor {
		kinds = append(kinds, "actor", "actor", "actor")
	}
	if at.cnf != none {
		kinds = append(kinds, "key")
	}
	if current != "" {
		kinds = append(kinds, "status")
	}
	if a.mode == tx.Narrow || a.mode == modeRefresh || wk.oneIn(8) {
		kinds = append(kinds, "authorizer")
	}
	if len(kinds) == 0 || !wk.percent(45) {
		return a, false
	}
	switch a.attack = pick(wk.dice, kinds...); a.attack {
	case "scope":
		a.scope = append(slices.Clone(a.scope), pick(wk.dice, beyond...))
	case "actor":
		a.actorToken = wk.drawActor(other, a.client.ID, false)
	case "key":
		a.client.Confirmation = pick(wk.dice, none, tx.Confirmation{JKT: "k9"})
	case "status":
		a.during = current
	case "authorizer":
		a.during = wk.actingAfter(a, at).ID
	}
	return a, true
}

// actingAfter returns the party that would act with the result.
func (wk *walk) actingAfter(a attempt, at *node) tx.Identity {
	switch {
	case a.actorToken != nil:
		return a.actorToken.id
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

// send makes the request of an attempt.
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
	switch a.grant {
	case grantRefresh:
		form.Del("audience")
		form.Set("grant_type", "refresh_token")
		form.Set("refresh_token", at.value)
		return wk.tokens.Refresh(wk.ctx, wk.x, a.client, form)
	case grantTicket:
		return wk.ticketFor(a.client, a.actor, a.scope)
	case grantAssertion:
		return wk.assert(a.client, at, form)
	case grantLogin, grantActAs:
		return wk.login(a, at, form)
	}
	form.Set("grant_type", tx.GrantType)
	form.Set("subject_token", at.value)
	form.Set("subject_token_type", string(at.declared))
	if a.main == opaque || a.main == idToken || a.main == session || a.main == ticket ||
		!wk.oneIn(2) {
		form.Set("requested_token_type", string(wk.requestTypeFor(a.main)))
	}
	if a.actorToken != nil {
		form.Set("actor_token", a.actorToken.value)
		form.Set("actor_token_type", string(a.actorToken.declared))
	}
	return wk.x.Exchange(wk.ctx, a.client, form)
}

// login is the grant of the host itself: the host has authenticated a user, or verifies a session.
func (wk *walk) login(a attempt, at *node, form url.Values) (tx.Response, error) {
	form.Set("grant_type", tx.GrantType)
	form.Set("subject_token", "session")
	form.Set("subject_token_type", string(typeSession))
	req, err := tx.ParseRequest(form)
	if err != nil {
		return tx.Response{}, err
	}
	req.RequestedTokenType = wk.requestTypeFor(a.main)
	self := func(name string) tx.Token {
		return tx.Token{Type: typeSession, Kind: tx.KindUser, ID: "session-" + name, Issuer: own,
			Subject: name, ClientID: a.client.ID,
			Scope: tx.Scope{"read"}, Issued: wk.now, Expires: wk.now.Add(time.Hour),
			AuthTime: wk.now}
	}
	return wk.x.Run(wk.ctx, loginGrantType, a.client, func(ctx context.Context,
		now time.Time) (tx.Request, tx.Token, *tx.Token, error) {
		if a.grant == grantActAs {
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
