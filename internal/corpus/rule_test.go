package corpus

import (
	"slices"
	"time"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// The modes of a rule.
const (
	narrow      = "narrow"
	delegate    = "delegate"
	clientActs  = "client-as-actor"
	impersonate = "impersonate"
)

// policy is a list of rules, or no policy at all.
type policy struct {
	None  bool   `json:"none,omitempty"` // a nil *Policy
	Rules []rule `json:"rules"`
}

// rule holds every setting that a rule has had when the corpus was recorded, in whatever mode.
type rule struct {
	Name            string         `json:"name"`
	Mode            string         `json:"mode"`
	Clients         []string       `json:"clients"`
	Subjects        []tx.Identity  `json:"subjects"`
	SubjectTypes    []tx.TokenType `json:"subject_types"`
	Actors          []tx.Identity  `json:"actors,omitempty"`
	ActorTypes      []tx.TokenType `json:"actor_types,omitempty"`
	Types           []tx.TokenType `json:"types"`
	Targets         []string       `json:"targets,omitempty"`
	DefaultTargets  []string       `json:"default_targets,omitempty"`
	TenantTargets   bool           `json:"tenant_targets,omitempty"`
	SubjectAudience bool           `json:"subject_audience,omitempty"`
	ActorAudience   bool           `json:"actor_audience,omitempty"`
	Scope           []string       `json:"scope,omitempty"`
	Expand          []string       `json:"expand,omitempty"`
	Lifetime        span           `json:"lifetime"`
	RefreshLifetime span           `json:"refresh_lifetime,omitzero"`
	MaxChain        int            `json:"max_chain,omitempty"`
	PublicClients   bool           `json:"public_clients,omitempty"`
	OtherTokens     bool           `json:"other_tokens,omitempty"`
	OtherActors     bool           `json:"other_actors,omitempty"`
	Issuers         []string       `json:"issuers,omitempty"`
	MayActClient    bool           `json:"may_act_client,omitempty"`
	Carry           bool           `json:"carry,omitempty"`
	Self            bool           `json:"self,omitempty"`
	OutliveSubject  bool           `json:"outlive_subject,omitempty"`
	OutliveActor    bool           `json:"outlive_actor,omitempty"`
	Rebind          bool           `json:"rebind,omitempty"`
	IDToken         bool           `json:"id_token,omitempty"`
	RefreshToken    bool           `json:"refresh_token,omitempty"`
	ReplaceMayAct   bool           `json:"replace_may_act,omitempty"`
}

// span is a duration that JSON shows as text.
type span struct{ time.Duration }

func (s span) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// flags returns the settings of a rule that are on or off, by name.
func (r *rule) flags() []flagOf {
	return []flagOf{
		{"tenant_targets", &r.TenantTargets},
		{"subject_audience", &r.SubjectAudience},
		{"actor_audience", &r.ActorAudience},
		{"public_clients", &r.PublicClients},
		{"other_tokens", &r.OtherTokens},
		{"other_actors", &r.OtherActors},
		{"may_act_client", &r.MayActClient},
		{"carry", &r.Carry},
		{"self", &r.Self},
		{"outlive_subject", &r.OutliveSubject},
		{"outlive_actor", &r.OutliveActor},
		{"rebind", &r.Rebind},
		{"id_token", &r.IDToken},
		{"refresh_token", &r.RefreshToken},
		{"replace_may_act", &r.ReplaceMayAct},
	}
}

type flagOf struct {
	name string
	on   *bool
}

// settings returns which fields of a rule say something, by name. The fields that every rule needs
// are told apart by what they say.
func (r rule) settings() map[string]bool {
	set := map[string]bool{
		"clients *":        slices.Contains(r.Clients, "*"),
		"clients several":  len(r.Clients) > 1,
		"subjects several": len(r.Subjects) > 1,
		"subject_types":    len(r.SubjectTypes) > 1,
		"actors":           len(r.Actors) > 0,
		"actor_types":      len(r.ActorTypes) > 1,
		"types":            len(r.Types) > 1,
		"targets":          len(r.Targets) > 0,
		"default_targets":  len(r.DefaultTargets) > 0,
		"scope *":          slices.Contains(r.Scope, "*"),
		"scope":            len(r.Scope) > 0 && r.Scope[0] != "*",
		"expand":           len(r.Expand) > 0,
		"lifetime":         r.Lifetime.Duration > time.Minute,
		"refresh_lifetime": r.RefreshLifetime.Duration > 0,
		"max_chain":        r.MaxChain > 0,
		"issuers":          len(r.Issuers) > 0,
	}
	for _, f := range r.flags() {
		set[f.name] = *f.on
	}
	return set
}

// needsNames reports whether a setting demands clients by name.
func (r *rule) needsNames() bool {
	return r.PublicClients || r.OtherTokens || r.OtherActors || r.Carry || len(r.Issuers) > 0
}

// without returns a new list without the values for which drop is true.
func without[T any](list []T, drop func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(list), drop)
}

// repair removes what a rule may not say, so that most rules of the corpus are accepted. It is
// written from the rule book and does not ask the package.
func (r *rule) repair() {
	if r.needsNames() && slices.Contains(r.Clients, "*") {
		r.Clients = clients
	}
	r.repairMode()
	r.Types = without(r.Types, func(t tx.TokenType) bool { return t == tx.TypeRefreshToken })
	if len(r.Types) == 0 {
		r.Types = []tx.TokenType{tx.TypeAccessToken}
	}
	isAccess := func(t tx.TokenType) bool {
		return t == tx.TypeAccessToken || t == tx.TypeRefreshToken || t == tx.TypeJWT
	}
	r.SubjectAudience = r.SubjectAudience && slices.ContainsFunc(r.SubjectTypes, isAccess)
	r.ActorAudience = r.ActorAudience && slices.ContainsFunc(r.ActorTypes, isAccess)
	onlyIDs := !slices.ContainsFunc(r.Types,
		func(t tx.TokenType) bool { return t != tx.TypeIDToken })
	if len(r.Targets) == 0 && !r.SubjectAudience && !r.ActorAudience && !onlyIDs {
		r.Targets = places[:1]
	}
	r.DefaultTargets = without(r.DefaultTargets,
		func(s string) bool { return !slices.Contains(r.Targets, s) })
	r.RefreshToken = r.RefreshToken && !onlyIDs
	switch {
	case !r.RefreshToken:
		r.RefreshLifetime = span{}
	case r.RefreshLifetime == span{}:
		r.RefreshLifetime = span{time.Hour}
	}
	if slices.Contains(r.Scope, "*") {
		r.Scope = []string{"*"}
	}
	r.Scope = without(r.Scope, func(s string) bool {
		return s == "openid" && !r.IDToken || s == "offline_access" && !r.RefreshToken
	})
}

// repairMode removes what does not apply to the mode.
func (r *rule) repairMode() {
	if r.Mode != delegate {
		r.Actors, r.ActorTypes = nil, nil
		r.ActorAudience, r.OtherActors, r.OutliveActor = false, false, false
	} else {
		if len(r.Actors) == 0 {
			r.Actors = []tx.Identity{anybody}
		}
		if len(r.ActorTypes) == 0 {
			r.ActorTypes = []tx.TokenType{tx.TypeAccessToken}
		}
	}
	if r.Mode == narrow {
		r.SubjectTypes = []tx.TokenType{tx.TypeAccessToken}
		r.Types = without(r.Types, func(t tx.TokenType) bool { return t == tx.TypeIDToken })
		r.IDToken, r.RefreshToken, r.OutliveSubject, r.Rebind = false, false, false, false
		r.TenantTargets, r.OtherTokens = false, false
		r.Expand, r.Issuers = nil, nil
	}
	r.PublicClients = r.PublicClients && r.Mode != clientActs
	r.MayActClient = r.MayActClient && (r.Mode == impersonate || r.Mode == clientActs)
	r.Carry = r.Carry && r.Mode == impersonate
	r.Self = r.Self && (r.Mode == delegate || r.Mode == clientActs)
}

// longest is the longest lifetime that a rule may give.
const longest = (1<<31 - 1) * time.Second

// contradictions make a rule that was accepted into one that is refused, each for a reason of its
// own. One that does not apply to the mode of the rule leaves a rule that is accepted.
var contradictions = []func(r *rule){
	func(r *rule) { r.Name = "" },
	func(r *rule) { r.Mode = "" },
	func(r *rule) { r.Mode = "merge" },
	func(r *rule) { r.Clients = nil },
	func(r *rule) { r.Clients = append(slices.Clone(r.Clients), "") },
	func(r *rule) { r.Clients = []string{"web", "*"} },
	func(r *rule) { outside(r, clientActs); r.Clients, r.PublicClients = []string{"*"}, true },
	func(r *rule) { outside(r, narrow); r.Clients, r.OtherTokens = []string{"*"}, true },
	func(r *rule) { inside(r, delegate); r.Clients, r.OtherActors = []string{"*"}, true },
	func(r *rule) { inside(r, impersonate); r.Clients, r.Carry = []string{"*"}, true },
	func(r *rule) {
		outside(r, narrow)
		r.Clients, r.Issuers = []string{"*"}, []string{idp}
	},
	func(r *rule) { r.Subjects = nil },
	func(r *rule) { r.Subjects = append(slices.Clone(r.Subjects), tx.Identity{}) },
	func(r *rule) { r.Subjects = []tx.Identity{{Kind: tx.KindUser, Tenant: "*"}} },
	func(r *rule) { r.Subjects = []tx.Identity{{Tenant: "*", ID: "*"}} },
	func(r *rule) { r.Subjects = []tx.Identity{{Kind: "robot", ID: "*"}} },
	func(r *rule) { inside(r, delegate); r.Actors = plus(r.Actors, tx.Identity{ID: "*"}) },
	func(r *rule) { inside(r, delegate); r.Actors = plus(r.Actors, tx.Identity{Kind: "*"}) },
	func(r *rule) { r.SubjectTypes = nil },
	func(r *rule) { r.SubjectTypes = append(slices.Clone(r.SubjectTypes), "") },
	func(r *rule) { r.Types = nil },
	func(r *rule) { r.Types = append(slices.Clone(r.Types), "") },
	func(r *rule) { r.Types = append(slices.Clone(r.Types), tx.TypeRefreshToken) },
	func(r *rule) { inside(r, delegate); r.Actors = nil },
	func(r *rule) { inside(r, delegate); r.ActorTypes, r.ActorAudience = nil, false },
	func(r *rule) { inside(r, delegate); r.ActorTypes = append(slices.Clone(r.ActorTypes), "") },
	func(r *rule) {
		inside(r, delegate)
		r.ActorTypes = append(slices.Clone(r.ActorTypes), tx.TypeRefreshToken)
	},
	func(r *rule) { outside(r, delegate); r.Actors = []tx.Identity{anybody} },
	func(r *rule) { outside(r, delegate); r.ActorTypes = []tx.TokenType{tx.TypeAccessToken} },
	func(r *rule) { outside(r, delegate); r.ActorAudience = true },
	func(r *rule) { outside(r, delegate); r.OtherActors, r.Clients = true, clients },
	func(r *rule) { outside(r, delegate); r.OutliveActor = true },
	func(r *rule) { r.Targets = append(slices.Clone(r.Targets), "") },
	func(r *rule) { r.Targets = append(slices.Clone(r.Targets), "*") },
	func(r *rule) { r.DefaultTargets = []string{"https://nowhere.example"} },
	func(r *rule) {
		r.Types = []tx.TokenType{tx.TypeAccessToken}
		r.Targets, r.DefaultTargets, r.SubjectAudience, r.ActorAudience = nil, nil, false, false
	},
	func(r *rule) {
		outside(r, narrow)
		r.SubjectAudience, r.SubjectTypes = true, []tx.TokenType{tx.TypeIDToken}
	},
	func(r *rule) {
		inside(r, delegate)
		r.ActorAudience, r.ActorTypes = true, []tx.TokenType{tx.TypeIDToken}
	},
	func(r *rule) { r.Scope = []string{"two words"} },
	func(r *rule) { r.Scope = []string{"read", ""} },
	func(r *rule) { r.Scope = []string{"*", "read"} },
	func(r *rule) { outside(r, narrow); r.Expand = []string{"*"} },
	func(r *rule) { outside(r, narrow); r.Expand = []string{`quo"te`} },
	func(r *rule) { r.Scope = []string{`back\\slash`} },
	func(r *rule) { r.Scope = []string{"ümlaut"} },
	func(r *rule) { r.Scope = []string{"del\x7f"} },
	func(r *rule) { r.Scope = []string{"act_as"} },
	func(r *rule) { r.Scope = []string{"act_as:bob", "read"} },
	func(r *rule) { outside(r, narrow); r.Expand = []string{"internal_user_impersonate"} },
	func(r *rule) { outside(r, narrow); r.Expand = []string{"openid"} },
	func(r *rule) { outside(r, narrow); r.Expand = []string{"offline_access"} },
	func(r *rule) { r.Scope, r.IDToken = []string{"read", "openid"}, false },
	func(r *rule) {
		r.Scope, r.RefreshToken, r.RefreshLifetime = []string{"offline_access"}, false, span{}
	},
	func(r *rule) { r.Lifetime = span{} },
	func(r *rule) { r.Lifetime = span{time.Second - 1} },
	func(r *rule) { r.Lifetime = span{-time.Minute} },
	func(r *rule) { r.Lifetime = span{longest + time.Second} },
	func(r *rule) { inside(r, impersonate); r.RefreshToken, r.RefreshLifetime = true, span{} },
	func(r *rule) {
		inside(r, impersonate)
		r.RefreshToken, r.RefreshLifetime = true, span{longest + 1}
	},
	func(r *rule) { r.RefreshToken, r.RefreshLifetime = false, span{time.Hour} },
	func(r *rule) { r.MaxChain = -1 },
	func(r *rule) { r.MaxChain = 33 },
	func(r *rule) {
		inside(r, narrow)
		r.SubjectTypes = []tx.TokenType{tx.TypeAccessToken, tx.TypeJWT}
	},
	func(r *rule) { inside(r, narrow); r.Types = append(slices.Clone(r.Types), tx.TypeIDToken) },
	func(r *rule) { inside(r, narrow); r.IDToken = true },
	func(r *rule) {
		inside(r, narrow)
		r.RefreshToken, r.RefreshLifetime = true, span{time.Hour}
	},
	func(r *rule) { inside(r, narrow); r.Expand = []string{"pay"} },
	func(r *rule) { inside(r, narrow); r.OutliveSubject = true },
	func(r *rule) { inside(r, narrow); r.Rebind = true },
	func(r *rule) { inside(r, narrow); r.TenantTargets = true },
	func(r *rule) { inside(r, narrow); r.OtherTokens, r.Clients = true, clients },
	func(r *rule) { inside(r, narrow); r.Issuers, r.Clients = []string{idp}, clients },
	func(r *rule) { inside(r, narrow); r.Carry, r.Clients = true, clients },
	func(r *rule) { inside(r, clientActs); r.PublicClients, r.Clients = true, clients },
	func(r *rule) { inside(r, delegate); r.MayActClient = true },
	func(r *rule) { inside(r, narrow); r.MayActClient = true },
	func(r *rule) { inside(r, delegate); r.Carry, r.Clients = true, clients },
	func(r *rule) { inside(r, clientActs); r.Carry, r.Clients = true, clients },
	func(r *rule) { inside(r, impersonate); r.Self = true },
	func(r *rule) { inside(r, narrow); r.Self = true },
	func(r *rule) { inside(r, impersonate); r.Issuers, r.Clients = []string{idp, ""}, clients },
	func(r *rule) {
		inside(r, impersonate)
		r.Types, r.RefreshToken = []tx.TokenType{tx.TypeIDToken}, true
		r.RefreshLifetime = span{time.Hour}
	},
}

// inside turns the rule into an accepted one of the mode.
func inside(r *rule, mode string) {
	r.Mode = mode
	r.repair()
}

// outside turns a rule of the mode into an accepted one of another.
func outside(r *rule, mode string) {
	if r.Mode == mode {
		inside(r, impersonate)
	}
}
