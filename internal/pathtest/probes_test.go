package pathtest

import (
	"net/url"
	"slices"
	"time"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// ended is a delegation that alice has ended.
type ended struct {
	who    tx.Identity
	client string
	at     time.Time
}

// probe asks at the end of a path what can only be asked once: is the last token an actor token,
// does it die with what it was made from, is an ended delegation at an end?
func (wk *walk) probe(x *node) error {
	if x.parent == nil {
		return nil
	}
	switch {
	case wk.stored && wk.oneIn(5):
		return wk.probeEnded(x)
	case wk.oneIn(3):
		return wk.probeUse(x)
	case wk.oneIn(2):
		return wk.probeOrigin(x)
	}
	return nil
}

// probeOrigin ends one of the tokens that X descends from.
func (wk *walk) probeOrigin(x *node) error {
	path := x.path()
	t := path[wk.IntN(len(path)-1)]
	if t.id == "" || x.spent || t.made == refresh && !t.exp.After(wk.now) {
		return nil // a name, a spent token, or a refresh token that the store has forgotten
	}
	if wk.stored {
		if err := wk.tokens.Revoke(wk.ctx, tx.Token{Issuer: t.issuer, ID: t.id,
			Expires: t.exp}); err != nil {
			return err
		}
	} else {
		wk.denied[originName(t.issuer, t.id)] = true
	}
	wk.log("T%d is revoked", t.number)
	if _, err := wk.look(x.value, x.declared, x.hop.client, true); err == nil {
		wk.violate("origin", t, x, "T%d is good although T%d is revoked", x.number, t.number)
	}
	return nil
}

// probeUse presents X as an actor token, beside a token of somebody else.
func (wk *walk) probeUse(x *node) error {
	if len(x.chain) > 0 || !x.made.isOwnAccess() && x.made != idToken && x.made != idBeside {
		return nil
	}
	client := wk.clients[x.client]
	client.Confirmation = x.cnf
	victim, err := wk.mint(signed, minted{sub: "dave", kind: tx.KindUser, client: client.ID,
		aud: []string{api}, scope: tx.Scope{"read"},
		lives: time.Hour})
	if err != nil {
		return err
	}
	wk.events = nil
	_, err = wk.x.Exchange(wk.ctx, client, url.Values{"grant_type": {tx.GrantType},
		"subject_token":      {victim.value},
		"subject_token_type": {string(victim.declared)}, "actor_token": {x.value},
		"actor_token_type": {string(x.declared)}})
	wk.log("%s presents T%d as actor token: %v", client.ID, x.number, err)
	if err != nil || wk.rules[wk.event(false).Decision.Rule].OtherActors {
		return nil
	}
	for _, t := range x.path() {
		if t.issuer == own && t.made != userName && !t.actsFor(client.ID) {
			wk.violate("use", t, x, "T%d is an actor token for %s, T%d is none", x.number,
				client.ID, t.number)
		}
	}
	return nil
}

// actsFor reports whether a token would be an actor token for a client, or a login there.
func (n *node) actsFor(client string) bool {
	isID := n.made == idToken || n.made == idBeside
	return n.client == client || n.about == tx.KindClient && n.subject == client || isID &&
		slices.Contains(n.aud, client)
}

// probeEnded lets alice end what a token on the way to X is given for, and asks for it again: with
// the same token and a new token of the actor, with a narrower one, and with another token of the
// same login. After a new login it may be given again.
func (wk *walk) probeEnded(x *node) error {
	var given []*node
	for _, n := range x.path()[1:] {
		if s := wk.stepOf(n); s != nil && n.parent.made != ticket && !n.parent.spent {
			given = append(given, n)
		}
	}
	if len(given) == 0 {
		return nil
	}
	x = pick(wk.dice, given...)
	at, s := x.parent, wk.stepOf(x)
	sibling, err := wk.again(at)
	if err != nil {
		return err
	}
	who := wk.actor(x)
	if found, err := wk.endDelegation(who, x.client); err != nil || !found {
		return err
	}
	wk.endings = append(wk.endings, ended{who, x.client, wk.now})
	wk.log("alice ends what %s does at %s", who.ID, x.client)
	wk.now = wk.now.Add(2 * time.Second)
	wk.once(s, at)
	if at.made.isOwnAccess() && at.client != "spa" {
		if narrower := wk.once(&planned{door: doorExchange, mode: tx.Narrow, subject: at.made,
			client: at.client, main: signed,
			want: signed, rule: wk.rules["spare-narrow"]}, at); narrower != nil {
			wk.once(s, narrower)
		}
	}
	if sibling != nil {
		wk.once(s, sibling)
	}
	fresh, err := wk.again(at)
	if err != nil || fresh == nil || fresh.made == userName {
		return err
	}
	wk.attacked["login after the end"]++
	if wk.once(s, fresh) != nil {
		wk.attacked["login after the end, granted"]++
	}
	if allowed, err := wk.allowAgain(wk.endings[0]); err != nil || !allowed {
		return err
	}
	wk.endings = nil
	wk.log("alice allows %s at %s again", who.ID, x.client)
	if wk.once(s, at) != nil {
		wk.attacked["allowed again, granted"]++
	}
	return nil
}

// stepOf is the hop as it was planned that has made a token for somebody to act with; nil: it was
// another one.
func (wk *walk) stepOf(n *node) *planned {
	for _, s := range wk.steps {
		acts := s.mode != tx.Narrow && s.mode != modeRefresh && s.door != doorTicket
		if acts && n.hop.rule.Name == s.rule.Name && n.hop.door == s.door &&
			n.hop.client.ID == s.client {
			return s
		}
	}
	return nil
}

// again mints another token of the login that a first token is of; nil if it is no first token, or
// of another issuer.
func (wk *walk) again(at *node) (*node, error) {
	kind := at.made
	switch {
	case at.parent != nil || at.issuer != own:
		return nil, nil
	case kind == opaque || kind == signed:
		kind = pick(wk.dice, opaque, signed)
	}
	n, err := wk.mint(kind, wk.first)
	if err == nil {
		n.number, wk.pool = len(wk.pool), append(wk.pool, n)
		wk.log("T%d: %s of the same login as T%d", n.number, n.made, at.number)
	}
	return n, err
}

// once tries a hop as it is planned, without anything more.
func (wk *walk) once(s *planned, at *node) (next *node) {
	wk.asked, wk.events = nil, nil
	for _, a := range wk.attempts(s, at) {
		if a.attack != "" || a.tenant != "" {
			continue
		}
		answer, err := wk.send(a, at)
		wk.log("%s", a.describe(at, err))
		if err == nil {
			next, _ = wk.take(a, at, answer)
			return next
		}
	}
	return nil
}

// endDelegation finds a delegation in the list that alice sees, and ends it.
func (wk *walk) endDelegation(who tx.Identity, client string) (found bool, err error) {
	list, err := wk.tokens.Delegations(wk.ctx, wk.people["alice"].Identity)
	for _, d := range list {
		actor := client
		if d.Actor != nil {
			actor = d.Actor.Subject
		}
		if d.Client == client && actor == who.ID { // all of this party and client end with it
			return true, wk.tokens.EndDelegation(wk.ctx, wk.people["alice"].Identity, d.ID)
		}
	}
	return false, err
}
