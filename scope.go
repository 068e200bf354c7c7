package tokenexchange

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Scope is a list of scope tokens (RFC 6749 §3.3). Nil means unknown. An empty, non-nil Scope
// means that there is no scope. Scope tokens are compared byte for byte. In JSON, nil is null and
// the empty Scope is [].
type Scope []string

var errScope = errors.New("malformed scope")

// ParseScope parses scope tokens that are separated by single spaces, and removes repeats. The
// empty string is the empty Scope. Any other separator is an error, because readers disagree about
// it. The error does not quote the input.
func ParseScope(s string) (Scope, error) {
	if s == "" {
		return Scope{}, nil
	}
	list := strings.Split(s, " ")
	for _, token := range list {
		if !isScopeToken(token) {
			return nil, errScope
		}
	}
	return distinct(list), nil
}

// isScopeToken reports whether s is a scope-token of RFC 6749 §3.3:
// 1*( %x21 / %x23-5B / %x5D-7E ).
func isScopeToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}

// Within returns the scope tokens of s that are also in ceiling, in the order of s. It is nil if s
// is nil, and empty if ceiling is nil.
func (s Scope) Within(ceiling Scope) Scope {
	if s == nil {
		return nil
	}
	allowed := setOf(ceiling)
	within := make(Scope, 0, min(len(s), len(ceiling)))
	for _, token := range s {
		if allowed.has(token) {
			within = append(within, token)
		}
	}
	return within
}

// String joins the scope tokens with single spaces.
func (s Scope) String() string { return strings.Join(s, " ") }

// The scopes that have a meaning for the exchange itself (D23).
const (
	scopeOpenID  = "openid"
	scopeOffline = "offline_access"
)

// asksForImpersonation reports whether the scope token asks to become another party: act_as, the
// scopes with the prefix act_as:, and a name in use for the permission to impersonate. Such a scope
// is never granted (D23).
func asksForImpersonation(token string) bool {
	return token == "act_as" || strings.HasPrefix(token, "act_as:") ||
		token == "internal_user_impersonate"
}

// makesToken reports whether the scope token asks for a further token: openid for an ID token
// (OpenID Connect Core §3.1.2.1), offline_access for a refresh token (§11).
func makesToken(token string) bool { return token == scopeOpenID || token == scopeOffline }

// set is a set of strings. The nil set is empty.
type set map[string]struct{}

// setOf returns the set of the items. It is not nil, even for a nil list.
func setOf(list []string) set {
	s := make(set, len(list))
	for _, item := range list {
		s[item] = struct{}{}
	}
	return s
}

func (s set) has(item string) bool {
	_, ok := s[item]
	return ok
}

// distinct removes repeats from list in place, so the caller must own the list. The first of equal
// items stays.
func distinct(list []string) []string {
	if len(list) < 2 {
		return list
	}
	seen := set{}
	return slices.DeleteFunc(list, func(item string) bool {
		repeated := seen.has(item)
		seen[item] = struct{}{}
		return repeated
	})
}

// String lists the items for operators. A long list is only counted.
func (s set) String() string {
	if len(s) > mostListed {
		return fmt.Sprintf("%d values", len(s))
	}
	return listed(slices.Sorted(maps.Keys(s)))
}
