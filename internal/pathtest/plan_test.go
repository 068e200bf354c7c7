package pathtest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// The ways in which a hop can happen.
const (
	doorExchange  = "exchange"
	doorRefresh   = "refresh"
	doorTicket    = "ticket"
	doorAssertion = "assertion"
	doorLogin     = "login"  // a session at a front door of the host
	doorActAs     = "act-as" // the same, where the scope names the subject
	doorEmbedded  = "embedded"
)

// planned is a hop as it is planned: it will be granted if all goes well.
type planned struct {
	door    string
	mode    tx.Mode
	subject made   // of which kind the subject token is
	client  string // who asks
	actor   string // subject of the actor token; empty: no actor token is sent
	main    made   // the kind of token that is asked for
	want    made   // which of the tokens that are made is the subject of the next hop
	targets []string
	selects bool // it asks for an organisation too
	audient bool // the client is in the audience of the subject token, so no rule has to name it
	pending bool // a may_act is still to be fulfilled
	depth   int  // of the chain in the result
	rule    rule
}

// plan is one path before it happens.
type plan struct {
	kind  made
	first minted
	steps []*planned
}

var actorNames = []string{"bob", "carol", "dave", "erin"}

// narrowTakesRefresh reports whether a policy may have a rule that narrows refresh tokens.
var narrowTakesRefresh = func() bool {
	r := tx.Rule{Name: "narrow", Narrow: &tx.Narrowing{}, Clients: []string{"webapp"}}
	r.Subjects, r.SubjectTypes = []tx.Identity{everybody}, []tx.TokenType{tx.TypeRefreshToken}
	r.Types, r.Targets = []tx.TokenType{tx.TypeAccessToken}, []string{api}
	r.Scope, r.Lifetime = tx.Scope{"*"}, time.Hour
	_, err := tx.NewPolicy(r)
	return err == nil
}()

// modeRefresh is how the table calls a refresh, which has a mode of its own in no rule.
const modeRefresh tx.Mode = "refresh"

// modesFor are the modes in which a token of some kind can be the subject of a hop. What is missing
// is impossible: only an own access token is narrowed, only a refresh token is refreshed, and a
// ticket always needs its actor (D01, D09, D28).
func modesFor(kind made) []tx.Mode {
	switch kind {
	case opaque, signed, embedded:
		return []tx.Mode{tx.Narrow, tx.Impersonate, tx.Delegate, tx.ClientActs}
	case refresh:
		modes := []tx.Mode{modeRefresh, modeRefresh, tx.Impersonate, tx.Delegate, tx.ClientActs}
		if narrowTakesRefresh {
			modes = append(modes, tx.Narrow)
		}
		return modes
	case ticket, userName:
		return []tx.Mode{tx.Delegate}
	case clientWord:
		return []tx.Mode{tx.Impersonate, tx.ClientActs, tx.Delegate}
	}
	return []tx.Mode{tx.Impersonate, tx.Delegate, tx.ClientActs}
}

// plan draws a path.
func (w *world) plan() *plan {
	p := &plan{}
	kinds := []made{signed, signed, idToken, userName, foreignAccess, foreignID, assertion,
		clientWord, session}
	if w.stored {
		kinds = append(kinds, opaque, opaque, opaque, refresh, session, userName)
	}
	p.kind = pick(w.dice, kinds...)
	client := pick(w.dice, "webapp", "webapp", "gateway", "helpdesk")
	if w.oneIn(20) {
		client = "spa"
	}
	if p.kind == clientWord {
		client = "robot"
	}
	p.first = minted{sub: "alice", kind: tx.KindUser, client: client, scope: w.firstScope(),
		lives: pick(w.dice, 40*time.Second, 5*time.Minute, 2*time.Hour, 2*time.Hour, 3*time.Hour)}
	if w.percent(15) {
		p.first.cnf = pick(w.dice, tx.Confirmation{JKT: "k1"}, tx.Confirmation{X5T: "x1"},
			tx.Confirmation{JKT: "k1", X5T: "x1"})
	}
	var chain []string // the members of the chain, the current actor last
	canCarry := slices.Contains([]made{opaque, signed, idToken, refresh, foreignAccess, foreignID},
		p.kind)
	if canCarry && w.percent(15) {
		chain = append(chain, "erin")
		p.first.act = pick(w.dice, `{"sub":"erin"}`, `{"iss":"https://as.example","sub":"erin"}`,
			`{"sub":"erin", "n":1.0}`)
		if p.kind == foreignAccess || p.kind == foreignID {
			chain[0] = "p-erin"
			p.first.act = `{"sub":"p-erin","client_id":"their-client"}`
		}
	}
	p.first.aud = w.drawTargets(nil)
	w.planSteps(p, chain)
	p.first.aud = p.first.firstAudience(p)
	if canCarry && w.percent(45) {
		issuer := own
		if p.kind == foreignAccess || p.kind == foreignID {
			issuer = idp
		}
		p.first.mayAct = w.planMayAct(p.steps, issuer)
	}
	w.planHooks(p)
	return p
}

// firstAudience is the aud of a first token.
func (m minted) firstAudience(p *plan) []string {
	if p.kind == idToken {
		return []string{m.client}
	}
	return m.aud
}

func (w *world) firstScope() []string {
	switch w.IntN(10) {
	case 0:
		return nil
	case 1:
		return []string{"read"}
	case 2, 3:
		return []string{"read", "write", "openid", "offline_access"}
	}
	return []string{"read", "openid", "offline_access"}
}

// drawTargets draws from all, or from a list.
func (w *world) drawTargets(from []string) []string {
	if from == nil {
		from = []string{api, down, pay, help}
	}
	list := w.some(55, from)
	if len(list) == 0 {
		list = []string{pick(w.dice, from...)}
	}
	return list
}

// planSteps draws the hops, each from what the one before has made.
func (w *world) planSteps(p *plan, chain []string) {
	kind, client, targets := p.kind, p.first.client, p.first.aud
	count := pick(w.dice, 3, 4, 4, 4, 4, 4)
	for i := range count {
		s := &planned{subject: kind, client: client}
		modes := modesFor(kind)
		if i == 0 { // a refresh token that no exchange has made is the host's to refresh
			modes = slices.DeleteFunc(modes, func(m tx.Mode) bool { return m == modeRefresh })
		}
		s.mode = pick(w.dice, modes...)
		w.planDoor(s, i)
		w.planClient(s, client, targets)
		if s.mode == tx.Delegate {
			s.actor = w.planActor(s, chain)
			if i > 0 && p.steps[i-1].door == doorTicket {
				s.actor = p.steps[i-1].actor // the ticket names its impersonator
			}
		}
		if !w.planChain(s, &chain) {
			break // every actor is in the chain already
		}
		s.depth = len(chain)
		s.selects = s.mode != tx.Narrow && s.mode != modeRefresh && s.door != doorTicket &&
			w.percent(25)
		w.planProduct(s, p)
		s.targets = w.drawTargets(nil)
		if s.mode == tx.Narrow || s.mode == modeRefresh {
			s.targets = targets
		}
		if s.mode == tx.Narrow && len(targets) > 0 {
			s.targets = w.drawTargets(targets)
		}
		p.steps = append(p.steps, s)
		kind, client, targets = s.want, s.client, s.targets
	}
}

// planDoor says by which door a hop goes.
func (w *world) planDoor(s *planned, i int) {
	s.door = doorExchange
	switch {
	case s.mode == modeRefresh:
		s.door = doorRefresh
	case s.subject == clientWord && s.mode != tx.Delegate, s.subject == assertion &&
		s.mode != tx.Delegate && w.oneIn(2):
		s.door = doorAssertion // at the exchange the word of a client needs an actor token
	case s.subject == session:
		s.door = doorLogin
	case s.subject == userName && i == 0 && w.stored && w.oneIn(2):
		s.door = doorTicket
	case s.subject == userName && i == 0 && w.oneIn(3):
		s.door = doorActAs
	}
}

// audienceOf is under which name a client receives tokens as an API.
var audienceOf = map[string]string{"gateway": api, "helpdesk": help, "robot": down}

func (w *world) planClient(s *planned, client string, targets []string) {
	fixed := s.mode == tx.Narrow || s.mode == modeRefresh || s.subject == refresh ||
		s.subject == clientWord ||
		s.door == doorLogin || s.subject == ticket
	if fixed || w.percent(40) && (s.mode != tx.ClientActs || client != "spa") {
		return
	}
	s.client = pick(w.dice, "webapp", "gateway", "helpdesk", "robot")
	s.audient = (s.subject.isOwnAccess()) && slices.Contains(targets, audienceOf[s.client]) &&
		w.oneIn(2)
}

// planActor draws who acts.
func (w *world) planActor(s *planned, chain []string) string {
	free := slices.DeleteFunc(slices.Clone(actorNames), func(a string) bool {
		return slices.Contains(chain, a) || slices.Contains(chain, "p-"+a)
	})
	if len(chain) > 0 && slices.Contains(actorNames, chain[len(chain)-1]) && w.oneIn(8) {
		return chain[len(chain)-1] // the current actor once more
	}
	fromHost := s.door == doorTicket || s.door == doorLogin || s.door == doorActAs
	switch {
	case !fromHost && w.oneIn(10) && !slices.Contains(chain, "p-guest"):
		return "p-guest"
	case !fromHost && w.oneIn(12) && !slices.Contains(chain, s.client):
		return s.client
	case len(free) == 0:
		return ""
	}
	return pick(w.dice, free...)
}

// planChain keeps track of who is in the chain.
func (w *world) planChain(s *planned, chain *[]string) bool {
	who := s.actor
	if s.mode == tx.ClientActs {
		if who = s.client; who == "spa" {
			return false
		}
	}
	last := len(*chain) - 1
	switch {
	case s.mode == tx.Delegate && who == "":
		return false
	case who == "" || s.door == doorTicket || last >= 0 && (*chain)[last] == who:
	case slices.Contains(*chain, who):
		return false
	default:
		*chain = append(*chain, who)
	}
	return true
}

// planProduct draws what is made, and what of it the next hop takes.
func (w *world) planProduct(s *planned, p *plan) {
	wants := []made{signed, embedded, idToken, idBeside, ticket}
	if w.stored {
		wants = append(wants, opaque, refresh, refresh, session)
	}
	switch {
	case s.door == doorTicket:
		wants = []made{ticket}
	case s.mode == tx.Narrow:
		wants = slices.DeleteFunc(wants, func(m made) bool { return !m.isOwnAccess() })
	case s.mode == modeRefresh:
		wants = []made{refresh, refresh, p.steps[len(p.steps)-1].main}
	}
	s.want = pick(w.dice, wants...)
	switch s.main = s.want; {
	case s.mode == modeRefresh:
		s.main = p.steps[len(p.steps)-1].main
	case s.want == embedded:
		s.main = signed
	case s.want == idBeside || s.want == refresh:
		if s.main = signed; w.stored && w.oneIn(2) {
			s.main = opaque
		}
	}
}

// planMayAct names who acts first on the hops to come, as a may_act claim under an issuer; empty
// where no claim fits them.
func (w *world) planMayAct(steps []*planned, issuer string) string {
	client := "" // the one that the claim has to name
	for _, s := range steps {
		switch s.mode {
		case tx.Impersonate:
			if client != "" && client != s.client {
				return ""
			}
			client = s.client
		case tx.Delegate, tx.ClientActs:
			if client != "" && client != s.client {
				return ""
			}
			return w.mayActFor(s, client, issuer)
		}
	}
	return ""
}

func (w *world) mayActFor(s *planned, client, issuer string) string {
	members := []string{}
	add := func(name, value string) { members = append(members, fmt.Sprintf("%q:%q", name, value)) }
	isClient := s.mode == tx.ClientActs || s.actor == s.client
	who := s.actor
	if isClient {
		who = s.client
	}
	bare := isClient && s.subject != ticket && w.oneIn(2) // with a ticket may_act needs a sub
	switch {
	case bare:
	case who == "p-guest":
		add("iss", idp)
	case issuer != own || w.oneIn(3):
		add("iss", own)
	}
	if !bare {
		add("sub", who)
	}
	if isClient || client != "" || w.oneIn(4) {
		add("client_id", s.client)
	}
	if !isClient && w.oneIn(10) && s.door == doorExchange {
		dept := "d-" + who
		if who == "p-guest" {
			dept = "d-p-guest"
		}
		add("dept", dept)
	}
	return "{" + strings.Join(members, ",") + "}"
}

// planHooks says what the hook of the host answers for each rule. A ticket needs a may_act; a
// session must not have one unless an actor comes next. Where nothing is planned after the hop, the
// hook names somebody all the same.
func (w *world) planHooks(p *plan) {
	for i, s := range p.steps {
		name := ruleName(i)
		needs := s.main == ticket && s.door != doorTicket
		next := p.steps[i+1:]
		named := ""
		switch {
		case s.main == session && (len(next) == 0 || next[0].mode != tx.Delegate):
		case needs && len(next) == 0:
			named = `{"sub":"bob"}`
		case needs || w.percent(20):
			named = w.planMayAct(next, own)
		}
		if named == "" && needs {
			named = `{"sub":"bob"}`
		}
		if named != "" {
			party := &tx.Actor{}
			if err := party.UnmarshalJSON([]byte(named)); err != nil {
				panic(err)
			}
			w.hooked[name] = party
		}
	}
	pending := p.first.mayAct != ""
	for i, s := range p.steps {
		s.pending = pending
		if s.mode == tx.Delegate || s.mode == tx.ClientActs {
			pending = false
		}
		pending = pending || w.hooked[ruleName(i)] != nil || s.main == ticket
	}
}

func ruleName(i int) string { return fmt.Sprintf("step-%d", i+1) }
