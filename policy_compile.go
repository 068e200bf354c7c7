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

// rule is a Rule made ready for Decide. The settings of the four modes are in one struct, so that
// the checks need not ask for the mode. A setting that the mode of the rule does not have is zero,
// which refuses.
type rule struct {
	// The settings of every mode.
	name            string
	clients         []string // client ids, or "*" alone: every confidential client
	mode            Mode
	subjects        []Identity    // patterns for the subject; see matchesAny
	subjectTypes    []TokenType   // found types of the subject token (R07)
	types           []TokenType   // types that may be issued; the first is the default
	targets         set           // ceiling of audience and resource (D24)
	defaultTargets  []string      // within targets; empty: the aud of a presented token
	subjectAudience bool          // the aud of the subject token extends targets
	scope           set           // ceiling of the scope; contains "*" if anyScope
	anyScope        bool          // the rule sets no bound beside subject and client (D21)
	lifetime        time.Duration // of the result; between a second and longestLifetime
	maxChain        int           // entries of act in the result; never zero
	replaceMayAct   bool          // a hook may replace a carried may_act (D17)

	// The settings of some modes. The fields from actors on belong to delegate alone.
	publicClients bool        // the named clients may be public (R09)
	mayActClient  bool        // a may_act may name the client (D09)
	carry         bool        // the client may carry on a chain of others (D13)
	self          bool        // subject and actor may be the same (D16)
	actors        []Identity  // patterns for the actor
	actorTypes    []TokenType // found types of the actor token
	actorAudience bool        // the aud of the actor token extends targets
	otherActors   bool        // accepts actor tokens of other clients (D05)
	outliveActor  bool        // the result may outlive the actor token (D25)

	// The settings of every mode but narrow; see Delegation.
	otherTokens     bool          // accepts subject tokens of other clients, and names (D04)
	issuers         []string      // foreign issuers whose tokens are accepted (D04, D05)
	tenantTargets   bool          // a target may select the organisation (D24)
	expand          set           // scope that the subject need not have (D21)
	outliveSubject  bool          // the result may outlive the subject token (D25)
	rebind          bool          // another proved key may replace that of the subject token (D30)
	idToken         bool          // openid adds an ID token (D23)
	refreshLifetime time.Duration // zero: no refresh token
}

// compile checks a rule and makes it ready. The result shares the memory of r, so the caller passes
// a clone.
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
	// A rule of two modes would permit both an impersonation and a delegation, and its settings
	// could be read in two ways (D01).
	if modes != 1 {
		return rule{}, fmt.Errorf(
			"%d of narrow, impersonate, delegate and client_as_actor are set; it must be one",
			modes)
	}
	return c, c.check()
}

// check refuses a rule that could never match, or that could mean more than it states.
func (r *rule) check() error {
	// The checks of one group are reported together, so that a policy is corrected in few rounds.
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

// checkParties checks the name and everything that says which parties the rule is for. "*" in
// clients is kept away from the settings that trust a client, so that a client registered later
// does not get them by accident.
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
		require(len(r.actors) > 0 || r.mode != Delegate, "actors: at least one pattern is needed"),
		checkPatterns("actors", r.actors),
		require(len(r.subjects) > 0, "subjects: at least one pattern is needed"),
		require(!slices.Contains(r.issuers, ""), "issuers: an issuer is empty"),
	)
}

// checkPatterns refuses a pattern without kind or id. Such a pattern would match no party, and its
// author may have expected that it matches every party.
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

// checkTokenTypes checks the lists of token types. An empty list would never match. A type that is
// always refused later, such as a refresh token as actor token, is an error here, where the author
// of the rule sees it.
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

// all reports whether the condition holds for every item. It is true for an empty list.
func all[T any](list []T, is func(T) bool) bool {
	return !slices.ContainsFunc(list, func(item T) bool { return !is(item) })
}

// issuesOnly reports whether t is the only type that the rule issues.
func (r *rule) issuesOnly(t TokenType) bool {
	return all(r.types, func(issued TokenType) bool { return issued == t })
}

// checkTargetLists checks the targets (D24). A wildcard would give a client every API of the
// server, those of tomorrow included, so there is none.
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

// checkScopeLists checks the scopes (D21, D23). An expansion must be named, since the subject does
// not have it. A scope that has an effect needs the setting for the effect.
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

// longestLifetime is the greatest expires_in. Some clients store it as a 32-bit integer.
const longestLifetime = (1<<31 - 1) * time.Second

// checkLimits checks the lifetimes and the length of the chain. There is no default lifetime: the
// author of a rule must choose it.
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
