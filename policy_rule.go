package tokenexchange

import (
	"slices"
	"time"
)

// Rule allows some clients one kind of exchange. An empty list matches no party and grants nothing.
// A field of type bool permits what is refused by default.
//
// Exactly one of Narrow, Impersonate, Delegate and ClientActs must be set. It is the mode of the
// rule, and holds the settings of this mode. A mode without settings is the pointer to a zero
// struct, in JSON an empty object:
//
//	{"name": "less", "clients": ["mobile"], "narrow": {}, "lifetime": "5m", ...}
type Rule struct {
	Name string `json:"name"` // for the audit trail; unique in a policy

	// Clients are client ids. "*" alone stands for every confidential client. It names no client,
	// so it is an error together with settings that need named clients: PublicClients, OtherTokens,
	// OtherActors, Issuers and Carry.
	Clients []string `json:"clients"`

	Narrow      *Narrowing     `json:"narrow,omitempty"`
	Impersonate *Impersonation `json:"impersonate,omitempty"`
	Delegate    *Delegation    `json:"delegate,omitempty"`
	ClientActs  *ClientActing  `json:"client_as_actor,omitempty"`

	Subjects     []Identity  `json:"subjects"`      // patterns
	SubjectTypes []TokenType `json:"subject_types"` // accepted types of the subject token
	Types        []TokenType `json:"types"`         // may be issued; the first is the default

	// Targets are exact names or URIs. Where the request names no target, the result is for
	// DefaultTargets, each of which must be one of Targets. Without DefaultTargets, it is for the
	// audience of the subject's or the actor's access token, as far as the rule allows it (D24).
	Targets        []string `json:"targets,omitempty"`
	DefaultTargets []string `json:"default_targets,omitempty"`

	// SubjectAudience allows the aud of the subject's access token in addition to Targets.
	SubjectAudience bool `json:"subject_audience,omitempty"`

	Scope    Scope         `json:"scope,omitempty"`     // "*" alone: no further bound (D21)
	Lifetime time.Duration `json:"-"`                   // "lifetime": of the result; at least 1s
	MaxChain int           `json:"max_chain,omitempty"` // act entries in the result; 0 is 4 (D15)

	// ReplaceMayAct lets the claims hook of an issuer replace a may_act that the result carries
	// (D17).
	ReplaceMayAct bool `json:"replace_may_act,omitempty"`
}

// Narrowing is the mode for a client that makes its own access token smaller: less scope, fewer
// targets, less time. No actor is added. The subject type must be TypeAccessToken.
type Narrowing struct {
	PublicClients bool `json:"public_clients,omitempty"` // the named clients may be public (R09)
}

// Impersonation is the mode for an exchange without an actor token in which no new actor is named.
// The new token looks like a token of the subject; the audit trail shows the exchange (I07).
type Impersonation struct {
	PublicClients bool `json:"public_clients,omitempty"` // the named clients may be public (R09)
	MayActClient  bool `json:"may_act_client,omitempty"` // a may_act may name the client (D09)
	Carry         bool `json:"carry,omitempty"`          // the client may carry on a chain (D13)

	OtherTokens     bool          `json:"other_tokens,omitempty"`
	Issuers         []string      `json:"issuers,omitempty"`
	TenantTargets   bool          `json:"tenant_targets,omitempty"`
	Expand          Scope         `json:"expand,omitempty"`
	OutliveSubject  bool          `json:"outlive_subject,omitempty"`
	Rebind          bool          `json:"rebind,omitempty"`
	IDToken         bool          `json:"id_token,omitempty"`
	RefreshLifetime time.Duration `json:"-"`
}

// Delegation is the mode for an exchange with an actor token. The subject of the actor token
// becomes the current actor.
//
// The fields from OtherTokens on mean the same in Impersonation and ClientActing.
//
// Example of a rule's member delegate, for the support staff of the organisation acme:
//
//	"delegate": {
//	  "actors": [{"kind": "user", "tenant": "acme", "id": "*"}],
//	  "actor_types": ["urn:ietf:params:oauth:token-type:access_token"]
//	}
type Delegation struct {
	Actors     []Identity  `json:"actors"`      // patterns for the actor
	ActorTypes []TokenType `json:"actor_types"` // accepted types of the actor token

	// ActorAudience allows the aud of the actor's access token in addition to Targets (D24).
	ActorAudience bool `json:"actor_audience,omitempty"`

	// OtherActors accepts actor tokens that were neither issued to the client nor are about it
	// (D05).
	OtherActors bool `json:"other_actors,omitempty"`

	// OutliveActor is OutliveSubject for the actor token.
	OutliveActor bool `json:"outlive_actor,omitempty"`

	Self          bool `json:"self,omitempty"`           // subject and actor may be the same (D16)
	PublicClients bool `json:"public_clients,omitempty"` // the named clients may be public (R09)

	// OtherTokens accepts own subject tokens that were issued to other clients, and names such as
	// user ids (D04).
	OtherTokens bool `json:"other_tokens,omitempty"`

	// Issuers are the foreign issuers whose tokens the clients may present (D04, D05).
	Issuers []string `json:"issuers,omitempty"`

	// TenantTargets makes a target that equals one of Subject.Tenants select the organisation of
	// the result. It is then not part of aud (D24).
	TenantTargets bool `json:"tenant_targets,omitempty"`

	// Expand is the scope that may be granted although the subject does not have it, if it is
	// requested and the client is registered for it (D21).
	Expand Scope `json:"expand,omitempty"`

	// OutliveSubject lets the result expire after the subject token, at Subject.Until at the latest
	// (D25).
	OutliveSubject bool `json:"outlive_subject,omitempty"`

	// Rebind accepts a bound subject token without proof of its key, and binds the result to
	// another key that the client proved (D30).
	Rebind bool `json:"rebind,omitempty"`

	// IDToken adds an ID token if the granted scope has openid (D23).
	IDToken bool `json:"id_token,omitempty"`

	// RefreshLifetime adds a refresh token of this lifetime if the granted scope has
	// offline_access (D23). Zero adds none; otherwise it is at least a second.
	RefreshLifetime time.Duration `json:"-"`
}

// ClientActing is the mode for an exchange without an actor token in which the client, which must
// be confidential, becomes the current actor.
type ClientActing struct {
	MayActClient bool `json:"may_act_client,omitempty"` // a may_act may name the client (D09)
	Self         bool `json:"self,omitempty"`           // subject and client may be the same (D16)

	OtherTokens     bool          `json:"other_tokens,omitempty"`
	Issuers         []string      `json:"issuers,omitempty"`
	TenantTargets   bool          `json:"tenant_targets,omitempty"`
	Expand          Scope         `json:"expand,omitempty"`
	OutliveSubject  bool          `json:"outlive_subject,omitempty"`
	Rebind          bool          `json:"rebind,omitempty"`
	IDToken         bool          `json:"id_token,omitempty"`
	RefreshLifetime time.Duration `json:"-"`
}

// clone returns a copy of the rule that shares no memory with it.
func (r Rule) clone() Rule {
	r.Clients = slices.Clone(r.Clients)
	r.Subjects = slices.Clone(r.Subjects)
	r.SubjectTypes = slices.Clone(r.SubjectTypes)
	r.Types = slices.Clone(r.Types)
	r.Targets = slices.Clone(r.Targets)
	r.DefaultTargets = slices.Clone(r.DefaultTargets)
	r.Scope = slices.Clone(r.Scope)
	if r.Narrow != nil {
		mode := *r.Narrow
		r.Narrow = &mode
	}
	if r.Impersonate != nil {
		mode := *r.Impersonate
		mode.Issuers, mode.Expand = slices.Clone(mode.Issuers), slices.Clone(mode.Expand)
		r.Impersonate = &mode
	}
	if r.Delegate != nil {
		mode := *r.Delegate
		mode.Actors, mode.ActorTypes = slices.Clone(mode.Actors), slices.Clone(mode.ActorTypes)
		mode.Issuers, mode.Expand = slices.Clone(mode.Issuers), slices.Clone(mode.Expand)
		r.Delegate = &mode
	}
	if r.ClientActs != nil {
		mode := *r.ClientActs
		mode.Issuers, mode.Expand = slices.Clone(mode.Issuers), slices.Clone(mode.Expand)
		r.ClientActs = &mode
	}
	return r
}
