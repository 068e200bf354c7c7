package tokenexchange

import (
	"errors"
	"hash/maphash"
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
	list := unique{items: make([]string, 0, min(strings.Count(s, " ")+1, fewAtMost))}
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
	rest, found := strings.CutPrefix(token, "act_as")
	return found && (rest == "" || rest[0] == ':') || token == "internal_user_impersonate"
}

// fewAtMost is how many short strings a scan goes through in the time that a hash of one takes, and a bit more.
const fewAtMost = 8

// set is a set of strings that is a slice while a slice is faster. It is not changed by use. The zero set is empty.
type set struct {
	list []string
	many map[string]struct{} // the same; nil where a scan does
}

func setOf(list []string) set {
	s := set{list: list}
	if len(list) > fewAtMost {
		s.many = mapOf(list)
	}
	return s
}

func mapOf(list []string) map[string]struct{} {
	m := make(map[string]struct{}, len(list))
	for _, s := range list {
		m[s] = struct{}{}
	}
	return m
}

func (s *set) has(token string) bool {
	if s.many != nil {
		_, ok := s.many[token]
		return ok
	}
	return slices.Contains(s.list, token)
}

// cursor looks for many strings in one list. It tries the one behind the last hit first: who asks for many scopes mostly
// names them in the order in which they were registered and granted. So a list that is only looked in for one decision
// needs no map, which for 128 scopes would take 40 ns for each, and this 3. The zero cursor is at the beginning.
type cursor struct {
	next    int // behind the last hit
	scanned int // how many scans there were
	made    map[string]struct{}
}

// scansAtMost is how many scans over a long list take as long as making a map of it.
const scansAtMost = 8

// finds reports whether token is in s.
func (c *cursor) finds(token string, s set) bool {
	if c.next < len(s.list) && s.list[c.next] == token {
		c.next++
		return true
	}
	return c.searches(token, s)
}

func (c *cursor) searches(token string, s set) bool {
	if s.many == nil && c.scanned == scansAtMost && len(s.list) > fewAtMost {
		c.made, c.scanned = mapOf(s.list), scansAtMost+1
	}
	if c.made != nil {
		s.many = c.made
	}
	if s.many != nil {
		return s.has(token)
	}
	c.scanned = min(c.scanned+1, scansAtMost)
	at := slices.Index(s.list, token)
	c.next = at + 1
	return at >= 0
}

// unique is a list without repeats, in the order in which its items were added. The zero unique is empty.
type unique struct {
	items []string
	seen  *[filterWords]uint64 // a bit for the hash of each item; nil while there are few
	many  map[string]struct{}  // the items; nil until there are more than the bits are good for
}

const (
	filterWords  = 64
	filterAtMost = filterWords * 64 / 32 // so that a bit is set by another item at one time in 32 at most
)

// hashSeed keeps those who choose the strings from choosing their hashes.
var hashSeed = maphash.MakeSeed()

func (u *unique) add(s string) {
	if u.isNew(s) {
		u.items = append(u.items, s)
	}
}

// isNew reports whether s is not in the list yet, and takes it that it will be. An item whose bit is not set has not been
// there: with 128 items that takes 9 ns for each, a map 40.
func (u *unique) isNew(s string) bool {
	switch n := len(u.items); {
	case n < fewAtMost:
		return !slices.Contains(u.items, s)
	case n < filterAtMost:
		if u.seen == nil {
			u.seen = new([filterWords]uint64)
			for _, item := range u.items {
				u.mark(item)
			}
		}
		return u.mark(s) || !slices.Contains(u.items, s)
	case u.many == nil:
		u.many = mapOf(u.items)
	}
	if _, have := u.many[s]; have {
		return false
	}
	u.many[s] = struct{}{}
	return true
}

// mark sets the bit of s and reports whether it was not set before.
func (u *unique) mark(s string) bool {
	h := maphash.String(hashSeed, s)
	word, bit := &u.seen[h/64%filterWords], uint64(1)<<(h%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}
