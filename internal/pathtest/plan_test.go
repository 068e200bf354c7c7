package pathtest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// The grants of a hop.
const (
	grantExchange  = "exchange"
	grantRefresh   = "refresh"
	grantTicket    = "ticket"
	grantAssertion = "assertion"
	grantLogin     = "login"  // the host presents a session
	grantActAs     = "act-as" // the host presents a session, and the scope names the subject
	grantEmbedded  = "embedded"
)

// planned is a hop that will be granted unless an earlier hop has another result than planned.
type planned struct {
	grant      string
	mode       tx.Mode
	subject    tokenKind // kind of the subject token
	client     string    // the client that sends the request
	actor      string    // subject of the actor token; empty: no actor token is sent
	main       tokenKind // kind of the requested token
	want       tokenKind // kind of the issued token that the next hop presents
	targets    []string
	selects    bool // the request selects an organisation
	inAudience bool // the client is in the audience of the subject token
	pending    bool // the chain still lacks the actor that may_act names
	depth      int  // of the chain of the result
	rule       rule
}

// plan is a path before it is walked.
type plan struct {
	kind  tokenKind
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

// modeRefresh stands for a refresh in the counts. No rule has this mode.
const modeRefresh tx.Mode = "refresh"

// modesFor returns the modes of hops whose subject token is of this kind. Only an own access token
// can be narrowed, only a refresh token can be refreshed, and a ticket needs its actor (D01, D09,
// D28).
func modesFor(kind tokenKind) []tx.Mode {
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
	case clientAssertion:
		return []tx.Mode{tx.Impersonate, tx.ClientActs, tx.Delegate}
	}
	return []tx.Mode{tx.Impersonate, tx.Delegate, tx.ClientActs}
}

// plan draws a path.
func (w *world) plan() *plan {
	p := &plan{}
	kinds := []tokenKind{signed, signed, idToken, userName, foreignAccess, foreignID, assertion,
		clientAssertion, session}
	if w.stored {
		kinds = append(kinds, opaque, opaque, opaque, refresh, session, userName)
	}
	p.kind = pick(w.dice, kinds...)
	client := pick(w.dice, "webapp", "webapp", "gateway", "helpdesk")
	if w.oneIn(20) {
		client = "spa"
	}
	if p.kind == clientAssertion {
		client = "robot"
	}
	p.first = minted{sub: "alice", kind: tx.KindUser, client: client, scope: w.firstScope(),
		lifetime: pick(w.dice, 40*time.Second, 5*time.Minute, 2*time.Hour, 2*time.Hour,
			3*time.Hour)}
	if w.percent(15) {
		p.first.cnf = pick(w.dice, tx.Confirmation{JKT: "k1"}, tx.Confirmation{X5T: "x1"},
			tx.Confirmation{JKT: "k1", X5T: "x1"})
	}
	var chain []string // the members of the chain, the current actor last
	canCarry := slices.Contains(
		[]tokenKind{opaque, signed, idToken, refresh, foreignAccess, foreignID},
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

// firstAudience returns the aud of a first token.
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

// drawTargets draws targets from a list; nil means from all targets.
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

// planSteps draws the hops. The subject token of each is a token that the hop before makes.
func (w *world) planSteps(p *plan, chain []string) {
	kind, client, targets := p.kind, p.first.client, p.first.aud
	count := pick(w.dice, 3, 4, 4, 4, 4, 4)
	for i := range count {
		s := &planned{subject: kind, client: client}
		modes := modesFor(kind)
		if i == 0 { // a refresh token that was not made by an exchange cannot be refreshed here
			modes = slices.DeleteFunc(modes, func(m tx.Mode) bool { return m == modeRefresh })
		}
		s.mode = pick(w.dice, modes...)
		w.planGrant(s, i)
		w.planClient(s, client, targets)
		if s.mode == tx.Delegate {
			s.actor = w.planActor(s, chain)
			if i > 0 && p.steps[i-1].grant == grantTicket {
				s.actor = p.steps[i-1].actor // the ticket names its actor
			}
		}
		if !w.planChain(s, &chain) {
			break // every actor is in the chain already
		}
		s.depth = len(chain)
		s.selects = s.mode != tx.Narrow && s.mode != modeRefresh && s.grant != grantTicket &&
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

// planGrant draws the grant of a hop.
func (w *world) planGrant(s *planned, i int) {
	s.grant = grantExchange
	switch {
	case s.mode == modeRefresh:
		s.grant = grantRefresh
	case s.subject == clientAssertion && s.mode != tx.Delegate, s.subject == assertion &&
		s.mode != tx.Delegate && w.oneIn(2):
		s.grant = grantAssertion // a client assertion needs an actor token at the token endpoint
	case s.subject == session:
		s.grant = grantLogin
	case s.subject == userName && i == 0 && w.stored && w.oneIn(2):
		s.grant = grantTicket
	case s.subject == userName && i == 0 && w.oneIn(3):
		s.grant = grantActAs
	}
}

// audienceOf has the name under which a client receives tokens as an API.
var audienceOf = map[string]string{"gateway": api, "helpdesk": help, "robot": down}

func (w *world) planClient(s *planned, client string, targets []string) {
	fixed := s.mode == tx.Narrow || s.mode == modeRefresh || s.subject == refresh ||
		s.subject == clientAssertion ||
		s.grant == grantLogin || s.subject == ticket
	if fixed || w.percent(40) && (s.mode != tx.ClientActs || client != "spa") {
		return
	}
	s.client = pick(w.dice, "webapp", "gateway", "helpdesk", "robot")
	s.inAudience = (s.subject.isOwnAccess()) && slices.Contains(targets, audienceOf[s.client]) &&
		w.oneIn(2)
}

// planActor draws the actor; empty if every actor is in the chain.
func (w *world) planActor(s *planned, chain []string) string {
	free := slices.DeleteFunc(slices.Clone(actorNames), func(a string) bool {
		return slices.Contains(chain, a) || slices.Contains(chain, "p-"+a)
	})
	if len(chain) > 0 && slices.Contains(actorNames, chain[len(chain)-1]) && w.oneIn(8) {
		return chain[len(chain)-1] // the current actor acts again
	}
	fromHost := s.grant == grantTicket || s.grant == grantLogin || s.grant == grantActAs
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

// planChain adds the actor of a hop to the chain. It reports whether the hop has an actor that the
// chain allows.
func (w *world) planChain(s *planned, chain *[]string) bool {
	actor := s.actor
	if s.mode == tx.ClientActs {
		if actor = s.client; actor == "spa" {
			return false
		}
	}
	last := len(*chain) - 1
	switch {
	case s.mode == tx.Delegate && actor == "":
		return false
	case actor == "" || s.grant == grantTicket || last >= 0 && (*chain)[last] == actor:
	case slices.Contains(*chain, actor):
		return false
	default:
		*chain = append(*chain, actor)
	}
	return true
}

// planProduct draws the kind of token to request, and the issued token that the next hop presents.
func (w *world) planProduct(s *planned, p *plan) {
	wants := []tokenKind{signed, embedded, idToken, addedIDToken, ticket}
	if w.stored {
		wants = append(wants, opaque, refresh, refresh, session)
	}
	switch {
	case s.grant == grantTicket:
		wants = []tokenKind{ticket}
	case s.mode == tx.Narrow:
		wants = slices.DeleteFunc(wants, func(m tokenKind) bool { return !m.isOwnAccess() })
	case s.mode == modeRefresh:
		wants = []tokenKind{refresh, refresh, p.steps[len(p.steps)-1].main}
	}
	s.want = pick(w.dice, wants...)
	switch s.main = s.want; {
	case s.mode == modeRefresh:
		s.main = p.steps[len(p.steps)-1].main
	case s.want == embedded:
		s.main = signed
	case s.want == addedIDToken || s.want == refresh:
		if s.main = signed; w.stored && w.oneIn(2) {
			s.main = opaque
		}
	}
}

// planMayAct returns a may_act claim of an issuer that names the first actor of the steps. It is
// empty if no claim allows them.
func (w *world) planMayAct(steps []*planned, issuer string) string {
	client := "" // the client that the claim must name
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
	actor := s.actor
	if isClient {
		actor = s.client
	}
	bare := isClient && s.subject != ticket && w.oneIn(2) // with a ticket may_act needs a sub
	switch {
	case bare:
	case actor == "p-guest":
		add("iss", idp)
	case issuer != own || w.oneIn(3):
		add("iss", own)
	}
	if !bare {
		add("sub", actor)
	}
	if isClient || client != "" || w.oneIn(4) {
		add("client_id", s.client)
	}
	if !isClient && w.oneIn(10) && s.grant == grantExchange {
		dept := "d-" + actor
		if actor == "p-guest" {
			dept = "d-p-guest"
		}
		add("dept", dept)
	}
	return "{" + strings.Join(members, ",") + "}"
}

// planHooks draws the result of the host's may_act hook for each rule. A ticket needs a may_act. A
// session may only have one if the next hop has an actor. The hook names a party even if no hop
// follows.
func (w *world) planHooks(p *plan) {
	for i, s := range p.steps {
		name := ruleName(i)
		needs := s.main == ticket && s.grant != grantTicket
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
			w.hookResults[name] = party
		}
	}
	pending := p.first.mayAct != ""
	for i, s := range p.steps {
		s.pending = pending
		if s.mode == tx.Delegate || s.mode == tx.ClientActs {
			pending = false
		}
		pending = pending || w.hookResults[ruleName(i)] != nil || s.main == ticket
	}
}

func ruleName(i int) string { return fmt.Sprintf("step-%d", i+1) }
