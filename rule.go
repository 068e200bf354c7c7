package tokenexchange

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange/internal/strictjson"
)

// Rule lets some clients do one thing. Empty lists match nobody and grant nothing; each bool lifts one default refusal.
type Rule struct {
	Name string `json:"name"` // for the audit trail; unique in a policy
	Mode Mode   `json:"mode"`

	// Clients are ids. "*" alone is any confidential client, but names nobody: an error together with OtherTokens,
	// OtherActors, Issuers, Carry and PublicClients.
	Clients []string `json:"clients"`

	Subjects     []Identity  `json:"subjects"`         // patterns
	SubjectTypes []TokenType `json:"subject_types"`    // Token.Type must be one of these; a front door has types of its own
	Actors       []Identity  `json:"actors,omitempty"` // patterns for the actor token; only for Delegate
	ActorTypes   []TokenType `json:"actor_types,omitempty"`
	Types        []TokenType `json:"types"` // what may be issued; the first where no type is asked for

	Targets         []string `json:"targets,omitempty"`          // exact names or URIs
	DefaultTargets  []string `json:"default_targets,omitempty"`  // where the request names none, each one of Targets; empty: what the subject's or actor's access token is for, as far as the rule allows it (D24)
	TenantTargets   bool     `json:"tenant_targets,omitempty"`   // a target that equals one of Subject.Tenants sets Decision.Subject.Tenant, not aud
	SubjectAudience bool     `json:"subject_audience,omitempty"` // also what the subject's own access token is for (D24)
	ActorAudience   bool     `json:"actor_audience,omitempty"`   // also what the actor's own access token is for

	Scope           Scope         `json:"scope,omitempty"`     // "*" alone is whatever subject and client may
	Expand          Scope         `json:"expand,omitempty"`    // granted beyond the subject where asked for, to clients registered for it (D21)
	Lifetime        time.Duration `json:"-"`                   // at least a second
	RefreshLifetime time.Duration `json:"-"`                   // of the refresh token; at least a second, with RefreshToken only
	MaxChain        int           `json:"max_chain,omitempty"` // act objects in the result, the new actor included; zero is 4 (D15)

	PublicClients  bool     `json:"public_clients,omitempty"`  // R09
	OtherTokens    bool     `json:"other_tokens,omitempty"`    // D04: own tokens that were issued to other clients, and names (user ids)
	OtherActors    bool     `json:"other_actors,omitempty"`    // D05: actor tokens neither issued to nor about the client
	Issuers        []string `json:"issuers,omitempty"`         // D04, D05: foreign issuers whose tokens these clients may present; empty: none
	MayActClient   bool     `json:"may_act_client,omitempty"`  // D09: may_act names the client itself, no actor token
	Carry          bool     `json:"carry,omitempty"`           // D13: the client may carry an act chain on without the actor's token
	Self           bool     `json:"self,omitempty"`            // D16: subject and actor may be the same
	OutliveSubject bool     `json:"outlive_subject,omitempty"` // D25: at most until that Subject's Until
	OutliveActor   bool     `json:"outlive_actor,omitempty"`   // D25
	Rebind         bool     `json:"rebind,omitempty"`          // D30: a bound subject token without its key, to the key that the client proved
	IDToken        bool     `json:"id_token,omitempty"`        // an ID token with scope openid (D23)
	RefreshToken   bool     `json:"refresh_token,omitempty"`   // a refresh token with scope offline_access (D23)
	ReplaceMayAct  bool     `json:"replace_may_act,omitempty"` // D17: the issuer's hook may replace a may_act that the result carries
}

const (
	defaultChain = 4  // MaxChain zero (D15)
	deepestChain = 32 // what MaxChain may be at most
)

// longest is what expires_in may be at most: clients read it into 32 bits.
const longest = (1<<31 - 1) * time.Second

// check reports why a rule could never match, or could mean more than it says.
func (r Rule) check() error {
	for _, check := range []func(Rule) error{Rule.checkWho, Rule.checkTypes, Rule.checkTargets, Rule.checkScope,
		Rule.checkLimits, Rule.checkNarrow, Rule.checkLifts} {
		if err := check(r); err != nil {
			return err
		}
	}
	return nil
}

// need turns a condition into an error where it does not hold.
func need(holds bool, format string, args ...any) error {
	if holds {
		return nil
	}
	return fmt.Errorf(format, args...)
}

func (r Rule) checkWho() error {
	everybody := slices.Contains(r.Clients, "*")
	nobody := func(p Identity) bool {
		return p.ID == "" || p.Kind != "*" && !Identity{Issuer: "x", Kind: p.Kind, ID: "x"}.isSomebody()
	}
	return errors.Join(
		need(r.Name != "", "it has no name"),
		need(r.Mode == Narrow || r.Mode == Delegate || r.Mode == ClientActs || r.Mode == Impersonate, "mode %q is unknown", r.Mode),
		need(len(r.Clients) > 0 && !slices.Contains(r.Clients, ""), "it names no client"),
		need(!everybody || len(r.Clients) == 1, `"*" stands beside other clients`),
		need(!everybody || !r.PublicClients && !r.OtherTokens && !r.OtherActors && !r.Carry && len(r.Issuers) == 0,
			`"*" names no client, so public_clients, other_tokens, other_actors, issuers and carry need clients by name`),
		need(len(r.Subjects) > 0, "it matches no subject"),
		need(!slices.ContainsFunc(r.Subjects, nobody), "a subject pattern without a kind that exists or without id matches nobody"),
		need(!slices.ContainsFunc(r.Actors, nobody), "an actor pattern without a kind that exists or without id matches nobody"),
	)
}

func (r Rule) checkTypes() error {
	delegates := r.Mode == Delegate
	return errors.Join(
		need(len(r.SubjectTypes) > 0 && !slices.Contains(r.SubjectTypes, ""), "it accepts no subject token type"),
		need(len(r.Types) > 0 && !slices.Contains(r.Types, ""), "it issues no token type"),
		need(!slices.Contains(r.Types, TypeRefreshToken), "a refresh token is not a type to be asked for (D28)"),
		need(!delegates || len(r.Actors) > 0, "it matches no actor"),
		need(!delegates || len(r.ActorTypes) > 0 && !slices.Contains(r.ActorTypes, ""), "it accepts no actor token type"),
		need(!slices.Contains(r.ActorTypes, TypeRefreshToken), "a refresh token is no actor token (D28)"),
		need(delegates || len(r.Actors) == 0 && len(r.ActorTypes) == 0 && !r.ActorAudience && !r.OtherActors && !r.OutliveActor,
			"actors, actor_types, actor_audience, other_actors and outlive_actor are for mode delegate"),
	)
}

// issuesOnly reports whether t is all that the rule issues.
func (r Rule) issuesOnly(t TokenType) bool {
	return !slices.ContainsFunc(r.Types, func(have TokenType) bool { return have != t })
}

func (r Rule) checkTargets() error {
	outside := func(target string) bool { return !slices.Contains(r.Targets, target) }
	empty := func(target string) bool { return target == "" || target == "*" }
	own := func(types []TokenType) bool { return slices.ContainsFunc(types, TokenType.isAccess) }
	return errors.Join(
		need(!slices.ContainsFunc(r.Targets, empty), "a target is an exact name; neither empty nor a wildcard"),
		need(!slices.ContainsFunc(r.DefaultTargets, outside), "a default target is not one of its targets"),
		need(len(r.Targets) > 0 || r.SubjectAudience || r.ActorAudience || r.issuesOnly(TypeIDToken),
			"it allows no target"),
		need(!r.SubjectAudience || own(r.SubjectTypes), "subject_audience needs an access token as subject"),
		need(!r.ActorAudience || own(r.ActorTypes), "actor_audience needs an access token as actor"),
	)
}

func (r Rule) checkScope() error {
	malformed := func(token string) bool { return !isScopeToken(token) }
	all := slices.Concat(r.Scope, r.Expand)
	return errors.Join(
		need(!slices.ContainsFunc(all, malformed), "a scope is malformed"),
		need(!slices.Contains(r.Scope, "*") || len(r.Scope) == 1, `"*" stands beside other scopes`),
		need(!slices.Contains(r.Expand, "*"), "an expansion must be named"),
		need(!slices.ContainsFunc(all, asksForImpersonation), "a scope that asks for impersonation is never granted (D23)"),
		need(!slices.ContainsFunc(r.Expand, makesToken), "openid and offline_access are no expansions (D23)"),
		need(!slices.Contains(r.Scope, scopeOpenID) || r.IDToken, "openid is granted by id_token (D23)"),
		need(!slices.Contains(r.Scope, scopeOffline) || r.RefreshToken, "offline_access is granted by refresh_token (D23)"),
	)
}

func (r Rule) checkLimits() error {
	within := func(d time.Duration) bool { return d >= time.Second && d <= longest }
	return errors.Join(
		need(within(r.Lifetime), "its lifetime is not between a second and %s (D25)", longest),
		need(!r.RefreshToken || within(r.RefreshLifetime), "its refresh_lifetime is not between a second and %s (D25)", longest),
		need(r.RefreshToken || r.RefreshLifetime == 0, "refresh_lifetime is for refresh_token"),
		need(r.MaxChain >= 0 && r.MaxChain <= deepestChain, "max_chain is not between 0 and %d (D15)", deepestChain),
	)
}

// checkNarrow: what does not apply to a narrowing must not look as if it did.
func (r Rule) checkNarrow() error {
	if r.Mode != Narrow {
		return nil
	}
	other := func(t TokenType) bool { return t != TypeAccessToken }
	return errors.Join(
		need(!slices.ContainsFunc(r.SubjectTypes, other),
			"only an access token of this server can be narrowed"),
		need(!slices.Contains(r.Types, TypeIDToken) && !r.IDToken && !r.RefreshToken,
			"an ID token or a refresh token is more than a narrower token"),
		need(len(r.Expand) == 0 && !r.OutliveSubject && !r.Rebind && !r.TenantTargets && !r.OtherTokens && len(r.Issuers) == 0 && !r.Carry,
			"expand, outlive_subject, rebind, tenant_targets, other_tokens, issuers and carry do not apply to mode narrow"),
	)
}

func (r Rule) checkLifts() error {
	withoutActor := r.Mode == Impersonate || r.Mode == ClientActs
	return errors.Join(
		need(!r.PublicClients || r.Mode != ClientActs, "a public client is no actor (client-as-actor)"),
		need(!r.MayActClient || withoutActor, "may_act_client is for the modes impersonate and client-as-actor (D09)"),
		need(!r.Carry || r.Mode == Impersonate, "carry is for mode impersonate (D13)"),
		need(!r.Self || r.Mode == Delegate || r.Mode == ClientActs, "self is for the modes delegate and client-as-actor (D16)"),
		need(!slices.Contains(r.Issuers, ""), "an empty issuer"),
		need(!r.RefreshToken || !r.issuesOnly(TypeIDToken), "there is no refresh token with an ID token (D23)"),
	)
}

// clone copies what a caller could still change.
func (r Rule) clone() Rule {
	r.Clients, r.Issuers = slices.Clone(r.Clients), slices.Clone(r.Issuers)
	r.Subjects, r.Actors = slices.Clone(r.Subjects), slices.Clone(r.Actors)
	r.SubjectTypes, r.ActorTypes, r.Types = slices.Clone(r.SubjectTypes), slices.Clone(r.ActorTypes), slices.Clone(r.Types)
	r.Targets, r.DefaultTargets = slices.Clone(r.Targets), slices.Clone(r.DefaultTargets)
	r.Scope, r.Expand = slices.Clone(r.Scope), slices.Clone(r.Expand)
	return r
}

// ruleJSON is a rule as data: durations are text, "90s" or "1h30m".
type ruleJSON struct {
	Rule
	Lifetime        string `json:"lifetime"`
	RefreshLifetime string `json:"refresh_lifetime,omitempty"`
}

// MarshalJSON writes what ParsePolicy reads: {"rules": [...]}, members named as in Rule, durations as text.
func (p *Policy) MarshalJSON() ([]byte, error) {
	rules := []ruleJSON{}
	if p != nil {
		for i := range p.rules {
			r := &p.rules[i].Rule
			j := ruleJSON{Rule: *r, Lifetime: r.Lifetime.String()}
			if r.RefreshLifetime != 0 {
				j.RefreshLifetime = r.RefreshLifetime.String()
			}
			rules = append(rules, j)
		}
	}
	return json.Marshal(map[string]any{"rules": rules})
}

// ParsePolicy reads the JSON that Policy.MarshalJSON writes, strictly: a member that is unknown or occurs twice, a
// misspelt mode or a rule that NewPolicy refuses is an error that names the rule.
func ParsePolicy(data []byte) (*Policy, error) {
	policy, err := strictjson.Object(data)
	if err != nil {
		return nil, fmt.Errorf("tokenexchange: policy: %w", err)
	}
	var list []json.RawMessage
	for name, value := range strictjson.Members(policy) {
		if name != "rules" {
			return nil, fmt.Errorf("tokenexchange: policy: unknown member %q", name)
		}
		if err := json.Unmarshal(value, &list); err != nil {
			return nil, fmt.Errorf("tokenexchange: policy: rules: %w", err)
		}
	}
	rules := make([]Rule, len(list))
	for i, raw := range list {
		r, err := parseRule(raw)
		if err != nil {
			return nil, fmt.Errorf("tokenexchange: rule %q (number %d): %w", r.Name, i+1, err)
		}
		rules[i] = r
	}
	return NewPolicy(rules...)
}

func parseRule(raw []byte) (Rule, error) {
	var j ruleJSON
	for name, value := range strictjson.Members(raw) {
		if name == "name" {
			j.Name, _ = strictjson.String(value) // for the error; decoded again below
		}
	}
	if err := checkMembers(raw, ruleMembers); err != nil {
		return j.Rule, err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&j); err != nil {
		return j.Rule, err
	}
	var err error
	if j.Rule.Lifetime, err = parseDuration("lifetime", j.Lifetime); err == nil {
		j.Rule.RefreshLifetime, err = parseDuration("refresh_lifetime", j.RefreshLifetime)
	}
	return j.Rule, err
}

func parseDuration(name, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	return d, need(err == nil, "%s %q is no duration such as 90s or 1h30m", name, text)
}

// checkMembers refuses what encoding/json would let pass: a member whose name differs in case only, and null.
func checkMembers(raw []byte, known map[string]bool) error {
	if !strictjson.IsObject(raw) {
		return errors.New("not an object")
	}
	for name, value := range strictjson.Members(raw) {
		if !known[name] {
			return fmt.Errorf("unknown member %q", name)
		}
		if string(value) == "null" {
			return fmt.Errorf("member %q is null", name)
		}
		if name == "subjects" || name == "actors" {
			if err := checkPatterns(value); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

func checkPatterns(raw []byte) error {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return err
	}
	for _, pattern := range list {
		if err := checkMembers(pattern, patternMembers); err != nil {
			return err
		}
	}
	return nil
}

var (
	ruleMembers    = memberNames(reflect.TypeFor[ruleJSON]())
	patternMembers = memberNames(reflect.TypeFor[Identity]())
)

// memberNames lists the JSON members of a struct, embedded ones included.
func memberNames(t reflect.Type) map[string]bool {
	names := map[string]bool{}
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			names[name] = true
		}
	}
	return names
}
