package tokenexchange

import (
	"errors"
	"slices"
	"strings"
)

// Scope is a list of scope tokens (RFC 6749 §3.3). Nil is unknown; empty and not nil is known to be none.
type Scope []string

var errScope = errors.New("malformed scope")

// ParseScope reads a list of scope tokens with one space between them; duplicates collapse. The empty string is the
// empty list. The error does not quote the input.
func ParseScope(s string) (Scope, error) {
	if s == "" {
		return Scope{}, nil
	}
	var list unique
	for token := range strings.SplitSeq(s, " ") {
		if !isScopeToken(token) {
			return nil, errScope
		}
		list.add(token)
	}
	return list.items, nil
}

// isScopeToken reports whether s is 1*( %x21 / %x23-5B / %x5D-7E ).
func isScopeToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}

// Within returns what of s is also in ceiling, in the order of s: nil if s is nil, and nothing if ceiling is nil.
func (s Scope) Within(ceiling Scope) Scope {
	if s == nil {
		return nil
	}
	allowed := setOf(ceiling)
	kept := make(Scope, 0, min(len(s), len(ceiling)))
	for _, token := range s {
		if allowed.has(token) {
			kept = append(kept, token)
		}
	}
	return kept
}

// String joins with single spaces.
func (s Scope) String() string { return strings.Join(s, " ") }

// The scopes that mean something to the exchange itself (D23).
const (
	scopeOpenID  = "openid"
	scopeOffline = "offline_access"
)

// asksForImpersonation reports whether the scope token asks to be somebody else rather than to do something: act_as and
// the prefix scopes made of it, and the name that is in use for the permission to impersonate. It is never granted.
func asksForImpersonation(token string) bool {
	name, _, _ := strings.Cut(token, ":")
	return name == "act_as" || token == "internal_user_impersonate"
}

// fewAtMost is where a map begins to win over a scan of short strings.
const fewAtMost = 12

// set is a set of strings that is a slice while a slice is faster. The zero set is empty.
type set struct {
	few  []string
	many map[string]struct{}
}

func setOf(list []string) set {
	if len(list) <= fewAtMost {
		return set{few: list}
	}
	many := make(map[string]struct{}, len(list))
	for _, s := range list {
		many[s] = struct{}{}
	}
	return set{many: many}
}

func (s *set) has(token string) bool {
	if s.many != nil {
		_, ok := s.many[token]
		return ok
	}
	return slices.Contains(s.few, token)
}

// unique is a list without repeats, in the order in which its items were added. The zero unique is empty.
type unique struct {
	items []string
	have  set
}

func (u *unique) add(s string) {
	if u.have.has(s) {
		return
	}
	u.items = append(u.items, s)
	if u.have.many != nil {
		u.have.many[s] = struct{}{}
	} else {
		u.have = setOf(u.items)
	}
}
