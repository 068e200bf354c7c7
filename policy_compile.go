package tokenexchange

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// The limits of a chain (D15).
const (
	defaultChain = 4  // max_chain if a rule sets none
	deepestChain = 32 // the greatest max_chain
)

// rule is a Rule made ready for Decide. Settings that the mode of the rule does not have are zero.
type rule struct {
	name            string
	clients         []string
	mode            Mode
	subjects        []Identity
	subjectTypes    []TokenType
	types           []TokenType
	targets         set
	defaultTargets  []string
	subjectAudience bool
	scope           set
	anyScope        bool
	lifetime        time.Duration
	maxChain        int
	replaceMayAct   bool

	publicClients bool
	mayActClient  bool
	carry         bool
	self          bool
	actors        []Identity
	actorTypes    []TokenType
	actorAudience bool
	otherActors   bool
	outliveActor  bool

	otherTokens     bool
	issuers         []string
	tenantTargets   bool
	expand          set
	outliveSubject  bool
	rebind          bool
	idToken         bool
	refreshLifetime time.Duration // zero: no refresh token
}

// compile checks a rule and makes it ready. The result shares the memory of r.
func compile(r Rule) (rule, error) {
	c := rule{
		name: r.Name, clients: r.Clients,
		subjects: r.Subjects, subjectTypes: r.SubjectTypes, types: r.Types,
		targets: setOf(r.Targets), defaultTargets: r.DefaultTargets,
		subjectAudience: r.SubjectAudience,
		scope:           setOf(r.Scope), anyScope: slices.Contains(r.Scope, "*"),
		lifetime: r.Lifetime, maxChain: cmp.Or(r.MaxChain, defaultChain),
		replaceMayAct: r.ReplaceMayAct,
	}
	modes := 0
	if m := r.Narrow; m != nil {
		modes++
		c.mode, c.publicClients = Narrow, m.PublicClients
	}
	if m := r.Impersonate; m != nil {
		modes++
		c.mode = Impersonate
		c.publicClients, c.mayActClient, c.carry = m.PublicClients, m.MayActClient, m.Carry
		c.otherTokens, c.issuers, c.tenantTargets = m.OtherTokens, m.Issuers, m.TenantTargets
		c.expand, c.outliveSubject, c.rebind = setOf(m.Expand), m.OutliveSubject, m.Rebind
		c.idToken, c.refreshLifetime = m.IDToken, m.RefreshLifetime
	}
	if m := r.Delegate; m != nil {
		modes++
		c.mode = Delegate
		c.actors, c.actorTypes, c.actorAudience = m.Actors, m.ActorTypes, m.ActorAudience
		c.otherActors, c.outliveActor = m.OtherActors, m.OutliveActor
		c.self, c.publicClients = m.Self, m.PublicClients
		c.otherTokens, c.issuers, c.tenantTargets = m.OtherTokens, m.Issuers, m.TenantTargets
		c.expand, c.outliveSubject, c.rebind = setOf(m.Expand), m.OutliveSubject, m.Rebind
		c.idToken, c.refreshLifetime = m.IDToken, m.RefreshLifetime
	}
	if m := r.ClientActs; m != nil {
		modes++
		c.mode = ClientActs
		c.mayActClient, c.self = m.MayActClient, m.Self
		c.otherTokens, c.issuers, c.tenantTargets = m.OtherTokens, m.Issuers, m.TenantTargets
		c.expand, c.outliveSubject, c.rebind = setOf(m.Expand), m.OutliveSubject, m.Rebind
		c.idToken, c.refreshLifetime = m.IDToken, m.RefreshLifetime
	}
	if modes != 1 {
		return rule{}, fmt.Errorf(
			"%d of narrow, impersonate, delegate and client_as_actor are set; it must be one", modes)
	}
	return c, c.check()
}

// check refuses a rule that could never match, or that could mean more than it states.
func (r *rule) check() error {
	for _, check := range []func(*rule) error{
		(*rule).checkParties, (*rule).checkTokenTypes, (*rule).checkTargetLists,
		(*rule).checkScopeLists, (*rule).checkLimits,
	} {
		if err := check(r); err != nil {
			return err
		}
	}
	return nil
}

// require returns an error if the condition does not hold.
func require(holds bool, format string, args ...any) error {
	if holds {
		return nil
	}
	return fmt.Errorf(format, args...)
}

func (r *rule) checkParties() error {
	wildcard := slices.Contains(r.clients, "*")
	return errors.Join(
		require(r.name != "", "name is missing"),
		require(len(r.clients) > 0 && !slices.Contains(r.clients, ""),
			"clients: at least one id is needed, and none may be empty"),
		require(!wildcard || len(r.clients) == 1, `clients: "*" must stand alone`),
		require(!wildcard || !r.publicClients && !r.otherTokens && !r.otherActors && !r.carry &&
			len(r.issuers) == 0, `clients: "*" names no client; public_clients, other_tokens, `+
			`other_actors, issuers and carry need clients by name`),
		checkPatterns("subjects", r.subjects),
		require(len(r.actors) > 0 || r.mode != Delegate, "authorizer: at least one pattern is needed"),
		checkPatterns("actors", r.actors),
		require(len(r.subjects) > 0, "subjects: at least one pattern is needed"),
		require(!slices.Contains(r.issuers, ""), "issuers: an issuer is empty"),
	)
}

func checkPatterns(field string, patterns []Identity) error {
	for i, p := range patterns {
		if p.Kind != "*" && !p.Kind.isKnown() {
			return fmt.Errorf("%s[%d]: kind is %q; it must be user, client, workload or *",
				field, i, p.Kind)
		}
		if p.ID == "" {
			return fmt.Errorf("%s[%d]: id is missing", field, i)
		}
	}
	return nil
}

func (r *rule) checkTokenTypes() error {
	needed := func(types []TokenType) bool { return len(types) > 0 && !slices.Contains(types, "") }
	smaller := func(t TokenType) bool { return t == TypeAccessToken }
	return errors.Join(
		require(needed(r.subjectTypes), "subject_types: at least one type is needed"),
		require(needed(r.types), "types: at least one type is needed"),
		require(!slices.Contains(r.types, TypeRefreshToken),
			"types: a refresh token cannot be requested (D28)"),
		require(needed(r.actorTypes) || r.mode != Delegate,
			"actor_types: at least one type is needed"),
		require(!slices.Contains(r.actorTypes, TypeRefreshToken),
			"actor_types: a refresh token cannot be an actor token (D28)"),
		require(r.mode != Narrow || all(r.subjectTypes, smaller),
			"subject_types: mode narrow accepts %q only", TypeAccessToken),
		require(r.mode != Narrow || !slices.Contains(r.types, TypeIDToken),
			"types: mode narrow cannot issue an ID token (D27)"),
		require(r.refreshLifetime == 0 || !r.issuesOnly(TypeIDToken),
			"refresh_lifetime: a rule that issues ID tokens only cannot add refresh tokens (D23)"),
	)
}

func all[T any](list []T, is func(T) bool) bool {
	return !slices.ContainsFunc(list, func(item T) bool { return !is(item) })
}

// issuesOnly reports whether t is the only type that the rule issues.
func (r *rule) issuesOnly(t TokenType) bool {
	return all(r.types, func(issued TokenType) bool { return issued == t })
}

func (r *rule) checkTargetLists() error {
	return errors.Join(
		require(!r.targets.has("") && !r.targets.has("*"),
			"targets: a target is an exact name, not empty and not a wildcard"),
		require(all(r.defaultTargets, r.targets.has),
			"default_targets: each must be one of targets"),
		require(len(r.targets) > 0 || r.subjectAudience || r.actorAudience ||
			r.issuesOnly(TypeIDToken), "targets: the rule allows no target"),
		require(!r.subjectAudience || slices.ContainsFunc(r.subjectTypes, TokenType.isAccess),
			"subject_audience needs an access token among subject_types"),
		require(!r.actorAudience || slices.ContainsFunc(r.actorTypes, TokenType.isAccess),
			"actor_audience needs an access token among actor_types"),
	)
}

func (r *rule) checkScopeLists() error {
	var errs []error
	for _, token := range slices.Sorted(maps.Keys(r.scope)) {
		errs = append(errs,
			require(isScopeToken(token), "scope: %q is malformed", token),
			require(!asksForImpersonation(token),
				"scope: %q asks for impersonation and is never granted (D23)", token))
	}
	for _, token := range slices.Sorted(maps.Keys(r.expand)) {
		errs = append(errs,
			require(isScopeToken(token), "expand: %q is malformed", token),
			require(token != "*", `expand: scopes must be named; "*" is not allowed`),
			require(!asksForImpersonation(token),
				"expand: %q asks for impersonation and is never granted (D23)", token),
			require(!makesToken(token), "expand: %q cannot be an expansion (D23)", token))
	}
	return errors.Join(append(errs,
		require(!r.anyScope || len(r.scope) == 1, `scope: "*" must stand alone`),
		require(!r.scope.has(scopeOpenID) || r.idToken, "scope: openid needs id_token (D23)"),
		require(!r.scope.has(scopeOffline) || r.refreshLifetime > 0,
			"scope: offline_access needs refresh_lifetime (D23)"),
	)...)
}

// longestLifetime is the greatest expires_in, which clients read into 32 bits.
const longestLifetime = (1<<31 - 1) * time.Second

func (r *rule) checkLimits() error {
	within := func(d time.Duration) bool { return d >= time.Second && d <= longestLifetime }
	return errors.Join(
		require(within(r.lifetime), "lifetime is %s; it must be between 1s and %s (D25)",
			r.lifetime, longestLifetime),
		require(r.refreshLifetime == 0 || within(r.refreshLifetime),
			"refresh_lifetime is %s; it must be between 1s and %s (D25)",
			r.refreshLifetime, longestLifetime),
		require(r.maxChain > 0 && r.maxChain <= deepestChain,
			"max_chain is %d; it must be between 1 and %d, or 0 for %d (D15)",
			r.maxChain, deepestChain, defaultChain),
	)
}
