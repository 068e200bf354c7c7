package world

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/go-tokenexchange/tokenexchange"
)

// checkPolicy compares the policy with the rest of the world. The library cannot know that a
// client, a token type or an organization does not exist. A rule that names one would never match,
// or would issue tokens of a type that nothing here can make.
func (w *World) checkPolicy() error {
	var policy struct {
		Rules []tokenexchange.Rule `json:"rules"`
	}
	if err := json.Unmarshal(w.Policy, &policy); err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	for i, r := range policy.Rules {
		if problem := w.unknownIn(r); problem != "" {
			return fmt.Errorf("policy.rules[%d] (%s).%s", i, r.Name, problem)
		}
		if _, named := w.MayAct[r.Name]; r.ReplaceMayAct && !named {
			const problem = "replace_may_act: may_act does not name this rule"
			return fmt.Errorf("policy.rules[%d] (%s).%s", i, r.Name, problem)
		}
	}
	for rule, p := range w.MayAct {
		if !slices.ContainsFunc(policy.Rules, func(r tokenexchange.Rule) bool {
			return r.Name == rule
		}) {
			return fmt.Errorf("may_act.%s: there is no rule of that name", rule)
		}
		if problem := w.unknownParty(p); problem != "" {
			return fmt.Errorf("may_act.%s%s", rule, problem)
		}
	}
	for rule := range w.Embedded.Rules {
		if !slices.ContainsFunc(policy.Rules, func(r tokenexchange.Rule) bool {
			return r.Name == rule
		}) {
			return fmt.Errorf("embedded.rules.%s: there is no rule of that name", rule)
		}
	}
	for i, c := range w.Clients {
		if c.MayAct == nil {
			continue
		}
		if problem := w.unknownParty(*c.MayAct); problem != "" {
			return fmt.Errorf("clients[%d] (%s).may_act%s", i, c.ID, problem)
		}
	}
	return nil
}

// unknownIn returns what a rule names that does not exist, or "".
func (w *World) unknownIn(r tokenexchange.Rule) string {
	for _, id := range r.Clients {
		if id != "*" && !w.hasClient(id) {
			return fmt.Sprintf("clients: there is no client %q", id)
		}
	}
	issuers, actors, actorTypes := settings(r)
	for _, issuer := range issuers {
		// A client that signs is an issuer too.
		if !w.hasClient(issuer) && !slices.ContainsFunc(w.Issuers, func(f foreignIssuer) bool {
			return f.Issuer == issuer
		}) {
			return fmt.Sprintf("issuers: there is no foreign issuer %q", issuer)
		}
	}
	for _, t := range slices.Concat(r.SubjectTypes, actorTypes) {
		if !w.reads(t) {
			return fmt.Sprintf("subject_types or actor_types: nothing here is of type %q", t)
		}
	}
	for _, t := range r.Types {
		if !slices.Contains([]tokenexchange.TokenType{tokenexchange.TypeAccessToken,
			tokenexchange.TypeJWT, tokenexchange.TypeIDToken}, t) {
			return fmt.Sprintf("types: this server issues no tokens of type %q", t)
		}
	}
	for _, id := range slices.Concat(r.Subjects, actors) {
		if problem := w.unknownIdentity(id); problem != "" {
			return "subjects or actors: " + problem
		}
	}
	return ""
}

// settings returns the issuers and actors in the mode of a rule.
func settings(r tokenexchange.Rule) (
	issuers []string, actors []tokenexchange.Identity, actorTypes []tokenexchange.TokenType,
) {
	switch {
	case r.Impersonate != nil:
		return r.Impersonate.Issuers, nil, nil
	case r.Delegate != nil:
		return r.Delegate.Issuers, r.Delegate.Actors, r.Delegate.ActorTypes
	case r.ClientActs != nil:
		return r.ClientActs.Issuers, nil, nil
	}
	return nil, nil, nil
}

// reads reports whether a token can be of the type: a type of RFC 8693, or one that the world adds.
func (w *World) reads(t tokenexchange.TokenType) bool {
	usual := []tokenexchange.TokenType{tokenexchange.TypeAccessToken,
		tokenexchange.TypeRefreshToken, tokenexchange.TypeIDToken,
		tokenexchange.TypeJWT, tokenexchange.TypeSAML1, tokenexchange.TypeSAML2}
	return slices.Contains(usual, t) || slices.Contains(ownTypes, t) || t == w.UserIDType ||
		t == TypeAssertion && slices.ContainsFunc(w.Clients, func(c Client) bool {
			return len(c.JWKS) > 0
		}) ||
		slices.ContainsFunc(w.Issuers, func(f foreignIssuer) bool {
			_, ok := f.Types[t]
			return ok
		})
}

// unknownIdentity returns why a pattern matches no identity of this server, or "". The users of
// other issuers are not known here.
func (w *World) unknownIdentity(p tokenexchange.Identity) string {
	user, client := p.Kind == tokenexchange.KindUser, p.Kind == tokenexchange.KindClient
	switch {
	case p.Issuer != "" && p.Issuer != "*":
		return ""
	case user && p.Tenant == "":
		return `every user has an organization; "tenant": "*" matches all of them`
	case client && p.Tenant != "" && p.Tenant != "*":
		return "clients have no organization"
	case p.Tenant != "" && p.Tenant != "*" &&
		!slices.ContainsFunc(w.Organizations, func(o organization) bool {
			return o.ID == p.Tenant
		}):
		return fmt.Sprintf("there is no organization %q", p.Tenant)
	case p.ID == "*":
		return ""
	case user && !w.hasUser(p.ID):
		return fmt.Sprintf("there is no user %q", p.ID)
	case client && !w.hasClient(p.ID):
		return fmt.Sprintf("there is no client %q", p.ID)
	}
	return ""
}

// unknownParty returns what a may_act names that does not exist, or "". The users of other issuers
// are not known here.
func (w *World) unknownParty(p Party) string {
	switch {
	case p == Party{}:
		return " names no user or client"
	case p.ClientID != "" && !w.hasClient(p.ClientID):
		return fmt.Sprintf(".client_id: there is no client %q", p.ClientID)
	case p.Issuer == "" && p.Subject != "" && !w.hasUser(p.Subject) && !w.hasClient(p.Subject):
		return fmt.Sprintf(".sub: there is no user or client %q", p.Subject)
	case p.Subject == "" && p.Issuer != "":
		return ".iss without sub names no user"
	}
	return ""
}

func (w *World) hasUser(id string) bool {
	return slices.ContainsFunc(w.Users, func(u User) bool { return u.ID == id })
}

func (w *World) hasClient(id string) bool {
	return slices.ContainsFunc(w.Clients, func(c Client) bool { return c.ID == id })
}
