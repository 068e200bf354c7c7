package tokenexchange

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Policy is a checked, immutable list of rules. The first rule that grants a request decides. The
// zero Policy and a nil Policy refuse every request. A Policy may be used by several goroutines.
type Policy struct {
	source []Rule // copies of the rules as they were given, for MarshalJSON
	rules  []rule // the same rules, compiled

	// Indexes into rules, in policy order.
	named map[string][]int // rules that name a client, by client id
	any   []int            // rules for every confidential client
}

// NewPolicy checks and compiles rules. It returns an error that names the first rule that could
// never match or whose meaning is not certain. It copies the rules, so the caller may change them
// afterwards. No rules make a Policy that refuses every request.
func NewPolicy(rules ...Rule) (*Policy, error) {
	p := &Policy{named: map[string][]int{}}
	taken := set{}
	for i, r := range rules {
		r = r.clone()
		compiled, err := compile(r)
		if err == nil && taken.has(r.Name) {
			err = errors.New("another rule has the same name")
		}
		if err != nil {
			return nil, fmt.Errorf("tokenexchange: rule %q (number %d): %w", r.Name, i+1, err)
		}
		taken[r.Name] = struct{}{}
		p.source = append(p.source, r)
		p.rules = append(p.rules, compiled)
		for _, client := range r.Clients {
			if client == "*" {
				p.any = append(p.any, i)
			} else {
				p.named[client] = append(p.named[client], i)
			}
		}
	}
	return p, nil
}

// ParsePolicy reads a policy as JSON, strictly: a member that is unknown, null, misspelled or
// repeated is an error, and so is a rule that NewPolicy refuses. The error names the rule.
func ParsePolicy(data []byte) (*Policy, error) {
	rules, err := parseRules(data)
	if err != nil {
		return nil, fmt.Errorf("tokenexchange: %w", err)
	}
	return NewPolicy(rules...)
}

// MarshalJSON writes what ParsePolicy reads: {"rules": [...]}.
func (p *Policy) MarshalJSON() ([]byte, error) {
	rules := []Rule{}
	if p != nil {
		rules = append(rules, p.source...)
	}
	return json.Marshal(map[string]any{"rules": rules})
}

// Decide decides one request. It is pure: equal facts give equal decisions.
//
// Decide first refuses facts that no rule can permit, such as an expired token. It then tries the
// rules that apply to the client in policy order. One rule must grant the whole request (RFC 8693
// §2.1.1); rules are never merged. If no rule grants it, the refusal is that of the rule which the
// request satisfied the furthest: first client, mode, types, subject, actor, may_act, chain and
// keys (invalid_request), then targets (invalid_target), then scope (invalid_scope).
//
// A refusal is an *Error. The field Facts of the Decision is empty; an Exchanger sets it.
func (p *Policy) Decide(f Facts) (Decision, error) {
	chain, refused := p.checkFacts(&f)
	if refused != nil {
		return Decision{}, refused
	}
	refused = refuse(InvalidRequest, "rule_other_client",
		"no rule is for client %q (D02)", f.Client.ID)
	furthest := -1
	for _, i := range p.rulesFor(f.Client.ID) {
		r := &p.rules[i]
		// A rule with "*" is among the candidates, and must not admit a public client (R09).
		if f.Client.Public && !r.publicClients {
			continue
		}
		d, reached, err := r.decide(&f, chain)
		if err == nil {
			return d, nil
		}
		err.Rule = r.name
		// Of two rules that the request satisfied equally far, the first is reported (D03).
		if reached > furthest {
			furthest, refused = reached, err
		}
		if reached == decided {
			break
		}
	}
	return Decision{}, refused
}

// rulesFor returns the rules that apply to a client, in policy order.
func (p *Policy) rulesFor(client string) []int {
	if p == nil {
		return nil
	}
	list := slices.Concat(p.named[client], p.any)
	slices.Sort(list)
	return list
}

// checkFacts refuses facts that no rule can permit (I10). It returns the chain of the subject
// token, in which every member has its issuer. The order is part of D03: a public client that no
// rule names is refused before its tokens are compared with each other.
func (p *Policy) checkFacts(f *Facts) (chain *Actor, refused *Error) {
	if refused = checkComplete(f); refused != nil {
		return nil, refused
	}
	if refused = checkSubjectToken(f); refused != nil {
		return nil, refused
	}
	if refused = checkActorToken(f); refused != nil {
		return nil, refused
	}
	if refused = p.checkPublicClient(f.Client); refused != nil {
		return nil, refused
	}
	if refused = checkPresented(f); refused != nil {
		return nil, refused
	}
	return presentedChain(&f.Subject.Token)
}

// checkPublicClient refuses a public client that no rule with public_clients names. The wildcard
// does not name a client (R09).
func (p *Policy) checkPublicClient(client Client) *Error {
	if !client.Public {
		return nil
	}
	for _, i := range p.rulesFor(client.ID) {
		if p.rules[i].publicClients {
			return nil
		}
	}
	return refuse(UnauthorizedClient, "public_client_not_named",
		"client %q is public, and no rule with public_clients names it (R09)", client.ID)
}

// ruleChecks are the checks that decide whether a rule fits a request, in the order in which their
// refusals are reported (D03). All refuse with invalid_request, so the client cannot see which
// check failed. The operator sees the last check that any rule reached.
var ruleChecks = [...]func(*rule, *Facts, *Actor) *Error{
	(*rule).checkMode,
	(*rule).checkTypes,
	(*rule).checkSubject,
	(*rule).checkActor,
	(*rule).checkPresenting,
	(*rule).checkMayAct,
	(*rule).checkChain,
	(*rule).checkSelf,
	(*rule).checkKeys,
}

// How far a request satisfied a rule: the index of the check that refused it, or one of these.
const (
	failsLifetime = len(ruleChecks) + iota
	failsTargets
	failsScope
	decided // the rule decides, and no later rule is tried (D02)
)

// decide applies one rule that is for the client. It returns a decision, or a refusal and how far
// the request satisfied the rule.
func (r *rule) decide(f *Facts, chain *Actor) (d Decision, reached int, refused *Error) {
	for i, check := range ruleChecks {
		if refused = check(r, f, chain); refused != nil {
			return Decision{}, i, refused
		}
	}
	// Targets and scope are looked at even if no time is left: only then is it known whether this
	// rule decides.
	expires, late := r.grantLifetime(f)
	reached = failsTargets
	audience, tenant, refused := r.grantTargets(f)
	var scope, expanded Scope
	if refused == nil {
		reached = failsScope
		scope, expanded, refused = r.grantScope(f)
	}
	switch {
	case late != nil && refused == nil:
		// What the client asks for selects the rule; the lifetime of the rule does not (D02).
		return Decision{}, decided, late
	case late != nil:
		return Decision{}, failsLifetime, late
	case refused != nil:
		return Decision{}, reached, refused
	}
	d = Decision{
		Rule: r.name, Mode: r.mode, Issuer: f.Issuer, Client: f.Client.ID,
		Subject: f.Subject.Identity, Actor: r.grantChain(f, chain),
		Audience: audience, Scope: scope, Expanded: expanded, Type: r.issuedType(f),
		Issued: wholeSeconds(f.Now), Expires: expires, Ends: r.grantEnd(f),
		Confirmation: grantKey(f), ReplaceMayAct: r.replaceMayAct,
	}
	d.Subject.Tenant = tenant
	// No further token is issued beside a requested ID token (D23).
	if d.Type == TypeIDToken {
		return d, decided, nil
	}
	d.IDToken = r.idToken && slices.Contains(scope, scopeOpenID)
	if r.refreshLifetime > 0 && slices.Contains(scope, scopeOffline) {
		d.RefreshToken = true
		d.RefreshExpires, refused = r.grantRefreshLifetime(f)
	}
	return d, decided, refused
}
