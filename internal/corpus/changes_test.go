package corpus

import (
	"slices"
	"time"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// ruleChanges change one setting of a rule each. They never write into a list, which other rules
// share.
var ruleChanges = append(flagChanges(), []ruleChange{
	{"mode", func(d dice, r *rule) { r.Mode = pick(d, narrow, delegate, clientActs, impersonate) }},
	{"clients", func(d dice, r *rule) {
		r.Clients = some(d, clients, 60)
		ensure(&r.Clients, "web")
	}},
	{"clients *", func(d dice, r *rule) { r.Clients = []string{"*"} }},
	{"subjects", func(d dice, r *rule) { r.Subjects = []tx.Identity{strict(d, r.Subjects)} }},
	{"subjects *", func(_ dice, r *rule) { r.Subjects = []tx.Identity{anybody} }},
	{"subject_types", func(d dice, r *rule) { r.SubjectTypes = types(d, r.SubjectTypes) }},
	{"actors", func(d dice, r *rule) { r.Actors = []tx.Identity{strict(d, r.Actors)} }},
	{"actors *", func(_ dice, r *rule) { r.Actors = []tx.Identity{anybody} }},
	{"actor_types", func(d dice, r *rule) { r.ActorTypes = types(d, r.ActorTypes) }},
	{"types", func(d dice, r *rule) { r.Types = types(d, r.Types) }},
	{"targets", func(d dice, r *rule) { r.Targets = some(d, places, 50) }},
	{"targets all", func(d dice, r *rule) { r.Targets = places }},
	{"default_targets", func(d dice, r *rule) {
		r.DefaultTargets = some(d, r.Targets, 50)
	}},
	{"scope", func(d dice, r *rule) { r.Scope = some(d, words, 60) }},
	{"scope *", func(_ dice, r *rule) { r.Scope = []string{"*"} }},
	{"expand", func(d dice, r *rule) { r.Expand = some(d, words, 40) }},
	{"lifetime", func(d dice, r *rule) { r.Lifetime = span{pick(d, time.Second, time.Hour)} }},
	{"refresh_lifetime", func(d dice, r *rule) {
		if r.RefreshLifetime.Duration > 0 {
			r.RefreshLifetime = span{pick(d, time.Second, time.Hour)}
		}
	}},
	{"max_chain", func(d dice, r *rule) { r.MaxChain = pick(d, 0, 1, 2, 3, 5, 31, 32) }},
	{"issuers", func(d dice, r *rule) { r.Issuers = some(d, []string{own, idp, partner}, 40) }},
}...)

type ruleChange struct {
	name   string
	change func(d dice, r *rule)
}

// flagChanges switch a setting on or off.
func flagChanges() []ruleChange {
	var list []ruleChange
	for i, f := range new(rule).flags() {
		list = append(list, ruleChange{f.name, func(_ dice, r *rule) {
			on := r.flags()[i].on
			*on = !*on
		}})
	}
	return list
}

func ensure(list *[]string, value string) {
	if len(*list) == 0 {
		*list = []string{value}
	}
}

// strict returns a pattern of the list with one field less open.
func strict(d dice, list []tx.Identity) tx.Identity {
	p := anybody
	if len(list) > 0 {
		p = pick(d, list...)
	}
	switch d.IntN(5) {
	case 0:
		p.ID = pick(d, plus(users, clients...)...)
	case 1:
		p.Kind = pick(d, tx.KindUser, tx.KindClient, tx.KindWorkload)
	case 2:
		p.Tenant = pick(d, tenants...)
	case 3:
		p.Issuer = pick(d, "", own, idp)
	}
	return p
}

func types(d dice, list []tx.TokenType) []tx.TokenType {
	if len(list) > 1 && d.often(50) {
		return []tx.TokenType{pick(d, list...)}
	}
	return shuffled(d, plus(some(d, list, 70),
		pick(d, tx.TypeAccessToken, tx.TypeJWT, tx.TypeIDToken, ticket, assertion)))
}

// token picks the subject token or the actor token.
func (s *scene) token() *tx.Token {
	if s.facts.Actor != nil && s.often(45) {
		return &s.facts.Actor.Token
	}
	return &s.facts.Subject.Token
}

// party picks the subject or the actor.
func (s *scene) party() *tx.Subject {
	if s.facts.Actor != nil && s.often(45) {
		return s.facts.Actor
	}
	return &s.facts.Subject
}

// factChanges change the facts in one point each, to something that is often refused.
var factChanges = []func(s *scene){
	// What says nothing.
	func(s *scene) { s.rarely(func() { s.facts = tx.Facts{} }) },
	func(s *scene) { s.rarely(func() { s.facts.Client.ID = "" }) },
	func(s *scene) { s.rarely(func() { s.facts.Issuer = "" }) },
	func(s *scene) { s.rarely(func() { s.facts.Grant = "" }) },
	func(s *scene) { s.rarely(func() { s.facts.Now = time.Time{} }) },
	func(s *scene) { s.rarely(func() { s.party().ID = "" }) },
	func(s *scene) { s.rarely(func() { s.party().Issuer = "" }) },
	func(s *scene) { s.rarely(func() { s.party().Kind = pick[tx.Kind](s.dice, "", "robot") }) },
	func(s *scene) { s.rarely(func() { s.token().Type = "" }) },
	func(s *scene) { s.rarely(func() { s.token().Issuer = "" }) },
	func(s *scene) { s.rarely(func() { s.token().Subject = "" }) },
	func(s *scene) { s.rarely(func() { s.facts.Subject.Token = tx.Token{} }) },

	// Client and door.
	func(s *scene) { s.facts.Grant = pick(s.dice, exchange, refresh, jwtBearer) },
	func(s *scene) { s.facts.Grant = pick(s.dice, exchange, refresh, jwtBearer) },
	func(s *scene) { s.facts.Client.ID = pick(s.dice, plus(clients, "unknown")...) },
	func(s *scene) { s.facts.Client.Public = !s.facts.Client.Public },
	func(s *scene) { s.facts.Client.Audiences = some(s.dice, places, 30) },
	func(s *scene) { s.facts.Client.Scope = some(s.dice, plus(words, further...), 60) },
	func(s *scene) { s.facts.Client.Confirmation = s.keys() },

	// Request.
	func(s *scene) {
		s.facts.Request.RequestedTokenType = pick(s.dice, "", tx.TypeAccessToken, tx.TypeIDToken,
			tx.TypeJWT, ticket, tx.TypeSAML2, tx.TypeRefreshToken)
	},
	func(s *scene) {
		q := &s.facts.Request
		q.Audience = shuffled(s.dice, plus(q.Audience, pick(s.dice, plus(places, clients...)...)))
	},
	func(s *scene) {
		q := &s.facts.Request
		q.Resource = plus(q.Resource, pick(s.dice, plus(places, tenants[1:]...)...))
	},
	func(s *scene) { s.facts.Request.Audience, s.facts.Request.Resource = nil, nil },
	func(s *scene) {
		q := &s.facts.Request
		q.Scope = shuffled(s.dice, plus(q.Scope, pick(s.dice, slices.Concat(words, further)...)))
	},
	func(s *scene) { s.facts.Request.Scope = plus(s.facts.Request.Scope, pick(s.dice, never...)) },
	func(s *scene) { s.facts.Request.Scope = nil },
	func(s *scene) { s.facts.Request.Scope = tx.Scope{} },

	// Identities.
	func(s *scene) { s.facts.Subject.Issuer = idp },
	func(s *scene) { s.party().ID = pick(s.dice, slices.Concat(users, clients, workloads)...) },
	func(s *scene) { s.party().Kind = pick(s.dice, tx.KindUser, tx.KindClient, tx.KindWorkload) },
	func(s *scene) { s.party().Tenant = pick(s.dice, tenants...) },
	func(s *scene) { s.party().Tenants = some(s.dice, tenants[1:], 50) },
	func(s *scene) {
		if s.facts.Actor != nil {
			s.facts.Actor.Identity = s.facts.Subject.Identity
		}
	},
	func(s *scene) {
		id := s.facts.Client.ID
		s.facts.Subject.Identity = tx.Identity{Issuer: own, Kind: tx.KindClient, ID: id}
	},
	func(s *scene) {
		if s.facts.Actor != nil {
			s.facts.Actor.Issuer = pick(s.dice, own, idp)
		}
	},

	// Actor token or none.
	func(s *scene) { s.rarely(func() { s.facts.Actor = nil }) },
	func(s *scene) {
		if s.facts.Actor == nil {
			s.rarely(func() { s.drawActor() })
		}
	},

	// Tokens.
	func(s *scene) {
		s.token().Type = pick(s.dice, tx.TypeAccessToken, tx.TypeAccessToken, tx.TypeIDToken,
			tx.TypeJWT, tx.TypeRefreshToken, userID, ticket)
	},
	func(s *scene) {
		if s.facts.Actor != nil {
			s.facts.Actor.Token.Type = pick(s.dice, tx.TypeRefreshToken, userID, tx.TypeAccessToken)
		}
	},
	func(s *scene) {
		if s.facts.Actor != nil {
			s.facts.Actor.Token.Issuer = pick(s.dice, own, idp, partner)
		}
	},
	func(s *scene) {
		t := &s.facts.Subject.Token
		if t.MayAct != nil {
			issuer := pick(s.dice, own, idp, t.Issuer)
			t.MayAct = &tx.Actor{Issuer: issuer, ClientID: t.MayAct.ClientID}
		}
	},
	func(s *scene) {
		if t := &s.facts.Subject.Token; t.ByClient {
			t.Type = pick(s.dice, tx.TypeJWT, tx.TypeIDToken, tx.TypeSAML2)
		}
	},
	func(s *scene) { s.token().Issuer = pick(s.dice, own, idp, partner, s.facts.Client.ID) },
	func(s *scene) { s.token().Subject = pick(s.dice, slices.Concat(users, clients)...) },
	func(s *scene) { s.token().ClientID = pick(s.dice, plus(clients, "")...) },
	func(s *scene) { s.token().ClientID = pick(s.dice, plus(clients, "")...) },
	func(s *scene) { s.token().Audience = some(s.dice, places, 40) },
	func(s *scene) { s.token().Audience = plus(s.token().Audience, s.facts.Client.ID, "") },
	func(s *scene) { s.token().Scope = nil },
	func(s *scene) { s.token().Scope = some(s.dice, plus(words, further...), 50) },
	func(s *scene) { s.party().Scope = nil },
	func(s *scene) { s.party().Scope = some(s.dice, plus(words, further...), 50) },
	func(s *scene) { s.token().Name = !s.token().Name },
	func(s *scene) {
		t := &s.facts.Subject.Token
		t.ByClient = !t.ByClient
		if s.often(60) {
			t.Issuer = pick(s.dice, s.facts.Client.ID, s.otherClient(), own)
		}
	},
	func(s *scene) { s.token().Issuer, s.token().Subject = s.facts.Client.ID, s.facts.Client.ID },
	func(s *scene) { s.token().Confirmation = s.keys() },
	func(s *scene) { s.facts.Subject.Token.Confirmation = s.keys() },

	// Time.
	func(s *scene) { s.token().Expires = s.facts.Now.Add(-time.Duration(s.IntN(3)) * time.Second) },
	func(s *scene) { s.token().Expires = s.facts.Now.Add(time.Duration(s.IntN(2_500_000_000))) },
	func(s *scene) { s.rarely(func() { s.token().Expires = time.Time{} }) },
	func(s *scene) { s.party().Until = s.facts.Now.Add(time.Duration(s.IntN(5)-2) * time.Second) },
	func(s *scene) { s.party().Until = s.facts.Now.Add(time.Duration(s.IntN(5)-2) * time.Second) },
	func(s *scene) { s.party().Until = time.Time{} },
	func(s *scene) { s.facts.Now = s.facts.Now.Add(time.Duration(s.IntN(2_000_000_000))) },

	// May_act.
	func(s *scene) { s.facts.Subject.Token.MayAct = nil },
	func(s *scene) { s.facts.Subject.Token.MayAct = s.anyMayAct() },
	func(s *scene) { s.facts.Subject.Token.MayAct = s.anyMayAct() },
	func(s *scene) { s.changeMayAct() },
	func(s *scene) { s.changeMayAct() },
	func(s *scene) { s.changeMayAct() },
	func(s *scene) { s.token().Claims = nil },

	// Chains.
	func(s *scene) {
		if s.facts.Actor != nil {
			s.facts.Actor.Token.Actor = &tx.Actor{Subject: "svc-0"}
		}
	},
	func(s *scene) { s.changeChain() },
	func(s *scene) { s.changeChain() },
	func(s *scene) {
		t := &s.facts.Subject.Token
		t.Actor = &tx.Actor{Issuer: pick(s.dice, "", own), Subject: s.facts.Client.ID,
			ClientID: pick(s.dice, "", s.facts.Client.ID), Prior: t.Actor}
	},

	// Lineages.
	func(s *scene) { s.token().Lineage = s.drawLineage() },
	func(s *scene) { s.token().Lineage = &tx.Lineage{} },
	func(s *scene) { s.token().Lineage = &tx.Lineage{Lent: true} },
	func(s *scene) { s.token().Lineage = &tx.Lineage{Tenant: pick(s.dice, "acme", "globex")} },
	func(s *scene) {
		t := s.token()
		ends := s.facts.Now.Add(time.Duration(s.IntN(4)-1) * time.Second)
		t.Lineage = &tx.Lineage{Ends: ends}
	},
	func(s *scene) { s.token().Lineage = &tx.Lineage{Scope: some(s.dice, words, 50)} },
}

// rarely keeps a change from being as common as the others.
func (s *scene) rarely(change func()) {
	if s.often(40) {
		change()
	}
}

func (s *scene) keys() tx.Confirmation {
	return tx.Confirmation{
		JKT: pick(s.dice, "", "", "k1", "k2"),
		X5T: pick(s.dice, "", "", "x1", "x2"),
	}
}

// anyMayAct draws one that need not fit.
func (s *scene) anyMayAct() *tx.Actor {
	m := &tx.Actor{Issuer: pick(s.dice, "", "", own, idp),
		Subject:  pick(s.dice, slices.Concat(users, clients, []string{""})...),
		ClientID: pick(s.dice, "", "", s.facts.Client.ID, s.facts.Client.ID, s.otherClient())}
	if s.often(30) {
		m.Subject = ""
	}
	if s.often(20) {
		setRaw(m, some(s.dice, members, 20), "")
	}
	return m
}

// changeMayAct changes one field of a may_act.
func (s *scene) changeMayAct() {
	t := &s.facts.Subject.Token
	if t.MayAct == nil {
		return
	}
	m := *t.MayAct
	m.Raw = nil
	switch s.IntN(5) {
	case 0:
		m.Issuer = pick(s.dice, "", own, idp)
	case 1:
		m.Subject = pick(s.dice, slices.Concat(users, clients, []string{""})...)
	case 2:
		m.ClientID = pick(s.dice, plus(clients, "")...)
	case 3:
		m.ClientID, m.Subject = s.facts.Client.ID, s.facts.Client.ID
	case 4:
		setRaw(&m, members[s.IntN(len(members)):], "")
	}
	t.MayAct = &m
}

// changeChain changes one member of a chain. What was read as text is then taken for what the
// fields say.
func (s *scene) changeChain() {
	var list []*tx.Actor
	for a := s.facts.Subject.Token.Actor; a != nil; a = a.Prior {
		a.Raw = nil
		list = append(list, a)
	}
	if len(list) == 0 {
		return
	}
	a, other := pick(s.dice, list...), pick(s.dice, list...)
	switch s.IntN(9) {
	case 0, 8:
		a.Subject = ""
	case 1:
		a.Subject, a.Issuer = other.Subject, other.Issuer
	case 2:
		a.Subject, a.Issuer = other.Subject, ""
	case 3:
		a.Subject, a.Issuer = s.facts.Client.ID, pick(s.dice, "", own)
	case 4:
		if s.facts.Actor != nil {
			a.Subject, a.Issuer = s.facts.Actor.ID, s.facts.Actor.Issuer
		}
	case 5:
		a.ClientID = pick(s.dice, plus(clients, "")...)
	case 6:
		a.Issuer = pick(s.dice, "", own, idp)
	case 7:
		a.Prior = nil
	}
}
