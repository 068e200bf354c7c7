package pathtest

import (
	"net/url"
	"slices"
	"time"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// ended is a delegation that alice has ended.
type ended struct {
	actor  tx.Identity
	client string
	at     time.Time
}

// probe makes one of the checks that would disturb a path and therefore come last: whether the last
// token is accepted as an actor token, whether it is revoked with the tokens that it was made from,
// and whether a delegation that has ended stays ended.
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

// probeOrigin revokes one of the tokens that x was made from. x must then be refused.
func (wk *walk) probeOrigin(x *node) error {
	path := x.path()
	t := path[wk.IntN(len(path)-1)]
	if t.id == "" || x.consumed || t.kind == refresh && !t.exp.After(wk.now) {
		return nil // a name, a used token, or a refresh token that the store has deleted
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
	if _, err := wk.read(x.value, x.declared, x.hop.client, true); err == nil {
		wk.violate("origin", t, x, "T%d is valid although T%d is revoked", x.number, t.number)
	}
	return nil
}

// probeUse presents x as an actor token with the token of another user.
func (wk *walk) probeUse(x *node) error {
	if len(x.chain) > 0 || !x.kind.isOwnAccess() && x.kind != idToken && x.kind != addedIDToken {
		return nil
	}
	client := wk.clients[x.client]
	client.Confirmation = x.cnf
	victim, err := wk.mint(signed, minted{sub: "dave", kind: tx.KindUser, client: client.ID,
		aud: []string{api}, scope: tx.Scope{"read"},
		lifetime: time.Hour})
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
		if t.issuer == own && t.kind != userName && !t.actsFor(client.ID) {
			wk.violate("use", t, x, "T%d is accepted as an actor token of %s, T%d would not be",
				x.number, client.ID, t.number)
		}
	}
	return nil
}

// actsFor reports whether the client can present the token as an actor token.
func (n *node) actsFor(client string) bool {
	isID := n.kind == idToken || n.kind == addedIDToken
	return n.client == client || n.subjectKind == tx.KindClient && n.subject == client || isID &&
		slices.Contains(n.aud, client)
}

// probeEnded lets alice end the delegation of a token on the path to x, and requests the token
// again: with the same subject token and a new actor token, with a narrowed subject token, and with
// another token of the same login. After a new login the request may be granted.
func (wk *walk) probeEnded(x *node) error {
	var given []*node
	for _, n := range x.path()[1:] {
		if s := wk.stepOf(n); s != nil && n.parent.kind != ticket && !n.parent.consumed {
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
	actor := wk.actor(x)
	if found, err := wk.endDelegation(actor, x.client); err != nil || !found {
		return err
	}
	wk.endings = append(wk.endings, ended{actor, x.client, wk.now})
	wk.log("alice ends the delegation of %s at %s", actor.ID, x.client)
	wk.now = wk.now.Add(2 * time.Second)
	wk.once(s, at)
	if at.kind.isOwnAccess() && at.client != "spa" {
		if narrower := wk.once(&planned{grant: grantExchange, mode: tx.Narrow, subject: at.kind,
			client: at.client, main: signed,
			want: signed, rule: wk.rules["spare-narrow"]}, at); narrower != nil {
			wk.once(s, narrower)
		}
	}
	if sibling != nil {
		wk.once(s, sibling)
	}
	fresh, err := wk.again(at)
	if err != nil || fresh == nil || fresh.kind == userName {
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
	wk.log("alice allows %s at %s again", actor.ID, x.client)
	if wk.once(s, at) != nil {
		wk.attacked["allowed again, granted"]++
	}
	return nil
}

// stepOf returns the planned hop that made a token with an actor; nil if it was another hop.
func (wk *walk) stepOf(n *node) *planned {
	for _, s := range wk.steps {
		acts := s.mode != tx.Narrow && s.mode != modeRefresh && s.grant != grantTicket
		if acts && n.hop.rule.Name == s.rule.Name && n.hop.grant == s.grant &&
			n.hop.client.ID == s.client {
			return s
		}
	}
	return nil
}

// again mints another token of the login of a first token. It returns nil for any other token and
// for a token of another issuer.
func (wk *walk) again(at *node) (*node, error) {
	kind := at.kind
	switch {
	case at.parent != nil || at.issuer != own:
		return nil, nil
	case kind == opaque || kind == signed:
		kind = pick(wk.dice, opaque, signed)
	}
	n, err := wk.mint(kind, wk.first)
	if err == nil {
		n.number, wk.pool = len(wk.pool), append(wk.pool, n)
		wk.log("T%d: %s of the same login as T%d", n.number, n.kind, at.number)
	}
	return n, err
}

// once makes the request of a planned hop, without an attack. It returns nil if it is refused.
func (wk *walk) once(s *planned, at *node) (next *node) {
	wk.asked, wk.events = nil, nil
	for _, a := range wk.attempts(s, at) {
		if a.attack != "" || a.tenant != "" {
			continue
		}
		answer, err := wk.send(a, at)
		wk.log("%s", a.describe(at, err))
		if err == nil {
			next, _ = wk.receive(a, at, answer)
			return next
		}
	}
	return nil
}

// endDelegation ends a delegation of alice and reports whether she has it.
func (wk *walk) endDelegation(actor tx.Identity, client string) (found bool, err error) {
	list, err := wk.tokens.Delegations(wk.ctx, wk.people["alice"].Identity)
	for _, d := range list {
		name := client
		if d.Actor != nil {
			name = d.Actor.Subject
		}
		if d.Client == client && name == actor.ID { // ends all delegations of actor and client
			return true, wk.tokens.EndDelegation(wk.ctx, wk.people["alice"].Identity, d.ID)
		}
	}
	return false, err
}
