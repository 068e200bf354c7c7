package pathtest

import (
	"slices"
	"time"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// rule is a rule with the settings of every mode, so that the settings can be drawn for any mode.
type rule struct {
	tx.Rule // its mode objects are not set
	tx.Delegation
	Mode                tx.Mode
	Carry, MayActClient bool
}

// withMode returns the rule for a policy, with the mode object of its mode.
func (r rule) withMode() tx.Rule {
	result, shared := r.Rule, r.Delegation
	switch r.Mode {
	case tx.Narrow:
		result.Narrow = &tx.Narrowing{PublicClients: r.PublicClients}
	case tx.Impersonate:
		result.Impersonate = &tx.Impersonation{PublicClients: r.PublicClients,
			MayActClient: r.MayActClient, Carry: r.Carry,
			OtherTokens: shared.OtherTokens, Issuers: shared.Issuers,
			TenantTargets: shared.TenantTargets, Expand: shared.Expand,
			OutliveSubject: shared.OutliveSubject, Rebind: shared.Rebind,
			IDToken: shared.IDToken, RefreshLifetime: shared.RefreshLifetime}
	case tx.Delegate:
		result.Delegate = &shared
	case tx.ClientActs:
		result.ClientActs = &tx.ClientActing{MayActClient: r.MayActClient, Self: r.Self,
			OtherTokens: shared.OtherTokens, Issuers: shared.Issuers,
			TenantTargets: shared.TenantTargets, Expand: shared.Expand,
			OutliveSubject: shared.OutliveSubject, Rebind: shared.Rebind,
			IDToken: shared.IDToken, RefreshLifetime: shared.RefreshLifetime}
	}
	return result
}

// subjectTypeOf returns the type of a token in Rule.SubjectTypes.
func subjectTypeOf(kind tokenKind, grant string) tx.TokenType {
	switch grant {
	case grantTicket:
		return typeRequested
	case grantActAs:
		return typeActAs
	}
	return map[tokenKind]tx.TokenType{opaque: tx.TypeAccessToken, signed: tx.TypeAccessToken,
		embedded: tx.TypeAccessToken,
		idToken:  tx.TypeIDToken, addedIDToken: tx.TypeIDToken, refresh: tx.TypeRefreshToken,
		ticket: typeTicket, session: typeSession,
		foreignAccess: tx.TypeJWT, foreignID: tx.TypeIDToken, userName: typeUserID,
		assertion:       typeAssertion,
		clientAssertion: typeAssertion}[kind]
}

// requestTypeFor returns the requested_token_type for a token of this kind.
func (w *world) requestTypeFor(kind tokenKind) tx.TokenType {
	switch kind {
	case opaque:
		return tx.TypeAccessToken
	case idToken:
		return tx.TypeIDToken
	case ticket:
		return typeTicket
	case session:
		return typeSession
	}
	return tx.TypeJWT
}

var everybody = tx.Identity{Kind: "*", ID: "*", Tenant: "*"}

// policyFor draws a policy that can grant the plan. Its rules allow more than the plan needs, and
// it has further rules.
func (w *world) policyFor(p *plan) []rule {
	var rules []rule
	switched := false
	for i, s := range p.steps {
		if s.mode == modeRefresh {
			continue // the rule of the grant decides
		}
		s.rule = w.ruleFor(p, i, switched)
		rules = append(rules, s.rule)
		switched = switched || s.selects
	}
	if w.oneIn(5) {
		w.Shuffle(len(rules), func(i, j int) { rules[i], rules[j] = rules[j], rules[i] })
	}
	if w.oneIn(2) {
		rules = append(rules, spareRule)
	}
	probe := probeRule
	probe.OtherActors = w.oneIn(5)
	return append(rules, probe, innerRule)
}

var (
	confidential = []string{"webapp", "gateway", "helpdesk", "robot"}
	ofEverybody  = []tx.Identity{everybody}
)

// spareRule narrows access tokens of all clients.
var spareRule = rule{
	Mode: tx.Narrow,
	Rule: tx.Rule{
		Name:            "spare-narrow",
		Clients:         []string{"*"},
		Subjects:        ofEverybody,
		SubjectTypes:    []tx.TokenType{tx.TypeAccessToken},
		Types:           []tx.TokenType{tx.TypeJWT},
		SubjectAudience: true,
		Scope:           tx.Scope{"*"},
		Lifetime:        time.Hour,
	},
}

// probeRule accepts every actor token of the client itself.
var probeRule = rule{
	Mode: tx.Delegate,
	Delegation: tx.Delegation{
		Actors:     []tx.Identity{everybody, {Issuer: "*", Kind: "*", ID: "*"}},
		ActorTypes: []tx.TokenType{tx.TypeAccessToken, tx.TypeIDToken},
	},
	Rule: tx.Rule{
		Name:           "probe",
		Clients:        confidential,
		Subjects:       ofEverybody,
		SubjectTypes:   []tx.TokenType{tx.TypeAccessToken},
		Types:          []tx.TokenType{tx.TypeJWT},
		Targets:        []string{api},
		DefaultTargets: []string{api},
		Scope:          tx.Scope{"*"},
		Lifetime:       time.Hour,
	},
}

// innerRule is for embedded tokens.
var innerRule = rule{
	Mode:       tx.Impersonate,
	Delegation: tx.Delegation{PublicClients: true},
	Rule: tx.Rule{
		Name:         "inner",
		Clients:      []string{"webapp", "gateway", "helpdesk", "robot", "spa"},
		Subjects:     ofEverybody,
		SubjectTypes: []tx.TokenType{typeOuter},
		Types:        []tx.TokenType{tx.TypeJWT},
		Targets:      []string{api, down, pay, help},
		Scope:        tx.Scope{"*"},
		Lifetime:     2 * time.Hour,
		MaxChain:     8,
	},
}

// ruleFor draws the rule of one hop.
func (w *world) ruleFor(p *plan, i int, switched bool) rule {
	s := p.steps[i]
	r := rule{Mode: s.mode, Rule: tx.Rule{
		Name:         ruleName(i),
		Clients:      []string{s.client},
		Subjects:     w.drawPatterns(switched),
		SubjectTypes: []tx.TokenType{subjectTypeOf(s.subject, s.grant)},
		Types:        []tx.TokenType{w.requestTypeFor(s.main)},
		Scope:        tx.Scope{"*"},
		Lifetime:     pick(w.dice, time.Minute, 10*time.Minute, time.Hour, 2*time.Hour),
	}}
	r.PublicClients = s.client == "spa" && s.mode != tx.ClientActs
	if s.mode == tx.Narrow {
		return w.narrowRule(r)
	}
	if w.oneIn(3) {
		r.Clients = append(r.Clients, without([]string{"webapp", "gateway"}, r.Clients)...)
	}
	// The hop before may have issued only an access token.
	optional := s.subject == refresh || s.subject == addedIDToken
	if w.oneIn(4) && s.grant == grantExchange || optional {
		r.SubjectTypes = append(r.SubjectTypes, tx.TypeAccessToken)
	}
	if w.oneIn(4) && r.Types[0] != tx.TypeIDToken {
		r.Types = append(r.Types, tx.TypeIDToken)
	}
	r.Targets = []string{api, down, pay, help}
	if s.grant == grantTicket {
		r.Targets = []string{s.client}
	} else if w.oneIn(3) {
		r.Targets = s.targets
		r.DefaultTargets = s.targets[:1]
	}
	r.SubjectAudience = slices.Contains(r.SubjectTypes, tx.TypeAccessToken) && w.oneIn(3)
	r.TenantTargets = s.selects || w.oneIn(8)
	w.drawReplace(&r)
	w.drawScope(&r, s)
	w.drawPermissions(&r, p, i)
	if s.want == embedded || w.oneIn(8) && s.main == signed {
		w.embeds.Rules[r.Name] = w.innerRequest()
	}
	return r
}

// drawPatterns draws the subject patterns of a rule. The pattern may require the home organisation,
// mostly if no earlier hop has selected another one.
func (w *world) drawPatterns(switched bool) []tx.Identity {
	alice := w.people["alice"].Identity
	alice.Issuer = ""
	if w.oneIn(6) && (!switched || w.oneIn(3)) {
		return []tx.Identity{alice}
	}
	return []tx.Identity{everybody}
}

func (w *world) narrowRule(r rule) rule {
	if w.oneIn(2) {
		r.Clients = append(r.Clients, without([]string{"webapp", "gateway"}, r.Clients)...)
	}
	r.SubjectAudience = w.oneIn(2) && slices.Contains(r.SubjectTypes, tx.TypeAccessToken)
	if r.Targets = []string{api, down, pay, help}; r.SubjectAudience && w.oneIn(2) {
		r.Targets = nil
	}
	if w.oneIn(4) {
		r.Scope = tx.Scope{"read", "write"}
	}
	return r
}

func (w *world) drawScope(r *rule, s *planned) {
	onlyID := !slices.ContainsFunc(r.Types,
		func(t tx.TokenType) bool { return t != tx.TypeIDToken })
	plain := s.grant != grantTicket && (s.main == opaque || s.main == signed)
	r.IDToken = plain && (s.want == addedIDToken || w.oneIn(5))
	if plain && w.stored && !onlyID && (s.want == refresh || w.oneIn(5)) {
		r.RefreshLifetime = pick(w.dice, 10*time.Minute, time.Hour, 24*time.Hour)
	}
	if w.oneIn(4) {
		r.Scope = tx.Scope{"read", "write", "admin"}
		if r.IDToken {
			r.Scope = append(r.Scope, "openid")
		}
		if r.RefreshLifetime > 0 {
			r.Scope = append(r.Scope, "offline_access")
		}
	}
	if w.oneIn(6) {
		r.Expand = tx.Scope(pick(w.dice, []string{"admin"}, []string{"extra"},
			[]string{"admin", "extra"}))
	}
}

// drawPermissions draws the settings that allow the hop, and sometimes more.
func (w *world) drawPermissions(r *rule, p *plan, i int) {
	s := p.steps[i]
	holder := p.first.client // the client that the subject token was issued to
	if i > 0 {
		holder = p.steps[i-1].client
	}
	name := s.subject == userName
	r.OtherTokens = name || holder != s.client && !s.inAudience || w.oneIn(8)
	if s.subject == foreignAccess || s.subject == foreignID || s.subject == assertion {
		r.Issuers = []string{idp, shop}
	}
	r.OutliveSubject, r.Rebind = w.percent(15), w.percent(15)
	if depth := s.depth; depth > 4 || w.oneIn(4) {
		r.MaxChain = max(depth, 4) + w.IntN(3)
	}
	switch r.Mode {
	case tx.Impersonate:
		r.Carry = w.oneIn(4) || s.depth > 0 && holder != s.client
		r.MayActClient = s.pending || w.oneIn(6)
	case tx.ClientActs:
		r.MayActClient = s.pending || w.oneIn(6)
		r.Self = w.oneIn(8)
	case tx.Delegate:
		r.Actors = []tx.Identity{everybody}
		r.ActorTypes = []tx.TokenType{tx.TypeAccessToken, tx.TypeIDToken}
		if s.grant != grantExchange {
			r.ActorTypes = append(r.ActorTypes, typeSession)
		}
		if s.actor == "p-guest" {
			r.Actors = append(r.Actors, tx.Identity{Issuer: "*", Kind: "*", ID: "*", Tenant: "*"})
			r.ActorTypes = append(r.ActorTypes, tx.TypeJWT)
			if !slices.Contains(r.Issuers, idp) {
				r.Issuers = append(r.Issuers, idp)
			}
		}
		r.ActorAudience, r.OtherActors = w.oneIn(4), w.oneIn(5)
		r.OutliveActor, r.Self = w.percent(15), w.oneIn(8)
	}
}

func (w *world) innerRequest() tx.Request {
	req := tx.Request{Audience: w.drawTargets(nil), RequestedTokenType: tx.TypeJWT}
	if w.oneIn(3) {
		req.Scope = tx.Scope{"read", "write"}
	}
	return req
}
