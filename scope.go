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
	list := strings.Split(s, " ")
	for _, token := range list {
		if !isScopeToken(token) {
			return nil, errScope
		}
	}
	return distinct(list), nil
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
	return token == "act_as" || strings.HasPrefix(token, "act_as:") || token == "internal_user_impersonate"
}

// makesToken reports whether the scope token asks for a further token.
func makesToken(token string) bool { return token == scopeOpenID || token == scopeOffline }

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

// hint is where a string is looked for first: behind the last hit. Who asks for many scopes mostly names them in the order
// in which they were registered and granted. The zero hint is the beginning.
type hint int32

// finds reports whether token is in s.
func (h *hint) finds(token string, s *set) bool {
	if i := int(*h); i < len(s.list) && s.list[i] == token {
		*h++
		return true
	}
	return s.has(token)
}

// cursor looks for many strings in one list that is looked in for one decision only. With a hint it needs no map, which
// for 128 scopes would take 40 ns for each, and this 3; where the hints are wrong it makes one. The zero cursor is at the
// beginning.
type cursor struct {
	next    hint
	scanned int32 // how many scans there were
	made    map[string]struct{}
}

// scansAtMost is how many scans over a long list take as long as making a map of it.
const scansAtMost = 8

// isNext reports whether token is what comes next in list, which is the same at every call.
func (c *cursor) isNext(token string, list []string) bool {
	if i := int(c.next); i < len(list) && list[i] == token {
		c.next++
		return true
	}
	return false
}

// finds reports whether token is in list.
func (c *cursor) finds(token string, list []string) bool {
	return c.isNext(token, list) || c.searches(token, list)
}

func (c *cursor) searches(token string, list []string) bool {
	if c.made == nil && c.scanned == scansAtMost && len(list) > fewAtMost {
		c.made = mapOf(list)
	}
	if c.made != nil {
		_, found := c.made[token]
		return found
	}
	c.scanned = min(c.scanned+1, scansAtMost)
	at := slices.Index(list, token)
	c.next = hint(at + 1)
	return at >= 0
}

// distinct takes the repeats out of list, in place: of what occurs more than once, the first stays.
func distinct(list []string) []string {
	if len(list) < 2 {
		return list
	}
	return distinctOfMany(list)
}

// appendDistinct appends what is in list to what is empty, without the repeats.
func appendDistinct(empty, list []string) []string {
	if len(list) == 1 {
		return append(empty, list[0])
	}
	return distinct(append(empty, list...))
}

// distinctOfMany compares each with those before it while they are few, and needs no memory up to filterAtMost.
func distinctOfMany(list []string) []string {
	switch {
	case len(list) <= fewAtMost:
		return keep(list, func(before []string, s string) bool { return !slices.Contains(before, s) })
	case len(list) <= filterAtMost:
		var seen filter
		return keep(list, func(before []string, s string) bool { return seen.add(s) || !slices.Contains(before, s) })
	}
	seen := make(map[string]struct{}, filterAtMost) // not len(list): who repeats one item 10,000 times gets no room for as many
	return keep(list, func(_ []string, s string) bool {
		n := len(seen)
		seen[s] = struct{}{}
		return len(seen) > n
	})
}

// keep leaves in list, in place, those of which isNew says that they are not among those that were kept before.
func keep(list []string, isNew func(before []string, s string) bool) []string {
	n := 0
	for i, s := range list {
		if isNew(list[:n], s) {
			if n < i {
				list[n] = s
			}
			n++
		}
	}
	return list[:n]
}

// filter has two bits for the hash of each item. Where not both bits of a string are set, it is no item: with 128 items
// that is known in 7 ns for each, by a map in 40.
type filter [filterBits / 64]uint64

const (
	filterBits   = 4096
	filterAtMost = 128 // so many items set both bits of another string at one time in 256
)

// hashSeed keeps those who choose the strings from choosing their hashes.
var hashSeed = maphash.MakeSeed()

// add sets the bits of s, and reports whether one of them was not set before.
func (f *filter) add(s string) (isNew bool) {
	h := maphash.String(hashSeed, s)
	one, other := h%filterBits, h>>32%filterBits
	isNew = f[one/64]>>(one%64)&(f[other/64]>>(other%64))&1 == 0
	f[one/64] |= 1 << (one % 64)
	f[other/64] |= 1 << (other % 64)
	return isNew
}
