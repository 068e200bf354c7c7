package corpus

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// member is one more JSON member of an actor or a may_act, for which Actor has no field.
type member struct{ name, value string }

var members = []member{
	{"name", `"Bob"`}, {"level", "1.0"}, {"roles", `["a", "b"]`},
	{"org", `{"x":1,"y":[null,true]}`},
	{"email", `"bob@example.com"`}, {"ok", "true"}, {"none", "null"}, {"ü", `"\u00fc"`},
}

// text returns the actor as JSON, with further members behind its own.
func text(a *tx.Actor, more []member, space string) string {
	var b strings.Builder
	b.WriteString("{" + space)
	add := func(name, value string) {
		if value != "" {
			if b.Len() > 1+len(space) {
				b.WriteString("," + space)
			}
			b.WriteString(strconv.Quote(name) + ":" + space + value)
		}
	}
	quote := func(s string) string {
		if s == "" {
			return ""
		}
		return strconv.Quote(s)
	}
	add("iss", quote(a.Issuer))
	add("sub", quote(a.Subject))
	add("client_id", quote(a.ClientID))
	if a.Prior != nil {
		add("act", actorText(a.Prior))
	}
	for _, m := range more {
		add(m.name, m.value)
	}
	b.WriteString(space + "}")
	return b.String()
}

// actorText returns Raw, or the fields as JSON.
func actorText(a *tx.Actor) string {
	if a.Raw != nil {
		return string(a.Raw)
	}
	return text(a, nil, "")
}

// setRaw gives the actor the text that it was read from.
func setRaw(a *tx.Actor, more []member, space string) {
	a.Raw = json.RawMessage(text(a, more, space))
}

// drawChain draws the actors before.
func (s *scene) drawChain() {
	f, r := &s.facts, &s.rule
	t := &f.Subject.Token
	if t.ByClient || s.often(62) {
		return
	}
	depth := 1 + s.IntN(4)
	if s.often(12) {
		depth = 5 + s.IntN(30)
	}
	var chain *tx.Actor
	for i := range depth {
		a := &tx.Actor{Subject: fmt.Sprint("svc-", i), Issuer: pick(s.dice, "", own, own, idp),
			ClientID: pick(s.dice, "", "", clients[0], clients[1]), Prior: chain}
		switch s.IntN(40) {
		case 0: // another issuer's of the same name
			a.Subject, a.Issuer = "svc-0", fmt.Sprint("https://", i, ".example")
		case 1:
			a.Subject = pick(s.dice, users...)
		case 2:
			a.Subject = pick(s.dice, clients...)
		}
		chain = a
		if i == depth-1 {
			s.drawOutermost(a)
		}
		if s.often(12) {
			setRaw(a, some(s.dice, members, 25), pick(s.dice, "", "", " "))
		}
	}
	t.Actor = chain
	added := 0
	if r.Mode == delegate || r.Mode == clientActs {
		added = pick(s.dice, 0, 1, 1, 1, 1)
	}
	need := depth + added
	r.MaxChain = min(32, max(0, need+pick(s.dice, 0, 0, 0, 0, 0, 1, 2, -1)))
	if need <= 4 && s.often(50) || s.often(3) {
		r.MaxChain = 0
	}
	if r.Mode == impersonate && (t.Issuer != own || t.ClientID != f.Client.ID) && s.often(70) {
		r.Carry = true
	}
}

// drawOutermost draws the current actor: often the one who acts now.
func (s *scene) drawOutermost(a *tx.Actor) {
	f := &s.facts
	switch n := s.IntN(10); {
	case n < 3 && f.Actor != nil:
		*a = tx.Actor{Issuer: f.Actor.Issuer, Subject: f.Actor.ID, Prior: a.Prior}
		if f.Actor.Token.Issuer == own {
			a.ClientID = f.Actor.Token.ClientID
		}
	case n < 4 || n < 6 && f.Actor == nil:
		*a = tx.Actor{Issuer: own, Subject: f.Client.ID, ClientID: f.Client.ID, Prior: a.Prior}
	default:
		return
	}
	switch s.IntN(6) {
	case 0:
		a.ClientID = pick(s.dice, "", clients[0], clients[1])
	case 1:
		a.Issuer = pick(s.dice, "", idp)
	}
}

// drawMayAct draws whom the subject token says may act.
func (s *scene) drawMayAct() {
	f, r := &s.facts, &s.rule
	t := &f.Subject.Token
	if t.ByClient || s.kind != "ticket" && s.often(76) {
		return
	}
	m := &tx.Actor{}
	t.MayAct = m
	if f.Actor == nil {
		m.ClientID = f.Client.ID
		if s.often(35) {
			m.Subject = f.Client.ID
			m.Issuer = pick(s.dice, own, own, "")
		}
		r.MayActClient = true
		if s.often(10) {
			m.Subject, m.Issuer = pick(s.dice, users...), pick(s.dice, "", own, idp)
		}
		if s.often(15) {
			setRaw(m, some(s.dice, members, 25), pick(s.dice, "", " "))
		}
		if r.Mode != narrow && t.Issuer == own && !t.Name && s.often(30) {
			t.ClientID = s.otherClient() // may_act is then why the client may present the token
			r.OtherTokens = s.often(30)
		}
		return
	}
	isClient := f.Actor.Kind == tx.KindClient && f.Actor.Issuer == own && f.Actor.ID == f.Client.ID
	switch {
	case isClient && s.kind != "ticket" && s.often(50):
		m.ClientID = f.Client.ID
	case s.often(70):
		m.Subject, m.Issuer = f.Actor.ID, f.Actor.Issuer
		if f.Actor.Kind == tx.KindClient {
			m.ClientID = m.Subject
		}
	default:
		m.Subject, m.Issuer = f.Actor.Token.Subject, f.Actor.Token.Issuer
		if f.Actor.Kind == tx.KindClient {
			m.ClientID = m.Subject
		}
	}
	if m.Issuer == t.Issuer && s.often(50) {
		m.Issuer = ""
	}
	if m.ClientID == "" && s.often(40) {
		m.ClientID = f.Client.ID
	}
	if s.often(30) {
		s.drawMembers(m, &f.Actor.Token)
	}
}

// drawMembers gives a may_act further members, and the actor token claims that mostly fit.
func (s *scene) drawMembers(m *tx.Actor, t *tx.Token) {
	more := some(s.dice, members, 25)
	setRaw(m, more, pick(s.dice, "", " "))
	if len(more) == 0 && s.often(50) {
		return
	}
	claims := some(s.dice, members, 97)
	for i, c := range claims {
		switch {
		case s.often(2):
			claims[i].value = `"else"`
		case c.name == "org" && s.often(50):
			claims[i].value = `{ "y": [null, true], "x": 1 }`
		case c.name == "level" && s.often(20):
			claims[i].value = "1.00"
		case c.name == "ü" && s.often(50):
			claims[i].value = `"ü"`
		}
	}
	t.Claims = json.RawMessage(text(&tx.Actor{Issuer: t.Issuer, Subject: t.Subject}, claims, ""))
}
