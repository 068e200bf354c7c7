package tokenexchange

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-tokenexchange/tokenexchange/internal/strictjson"
)

// Lineage holds the limits that a token inherits from the tokens it was made from and that its own
// type does not state. The verifier reads a Lineage, Decide obeys it, and the issuer writes the
// next one, so that a sequence of exchanges never gives more than its first token allowed.
//
// A Token without a Lineage comes from a login or from another issuer. The Lineage of a foreign
// token has at most Begun. A JWT carries the Lineage in the claim "lineage", which a claims hook
// cannot set. A record carries it as a field. Nil and the zero Lineage set no limit, but the zero
// Lineage says that there was no login.
//
// Example: the claim of a ticket. Nothing that is made from the ticket may last beyond ends, and
// the login was at begun:
//
//	{"ends": 1767229200, "begun": 1767222000}
type Lineage struct {
	// Scope is the upper bound for a token that has no scope of its own, an ID token. Nil means
	// that the lineage sets no bound; empty means that no scope may be granted.
	Scope Scope

	// Ends is the latest expiry of anything made from a token whose own expiry does not limit
	// that, such as a ticket. Zero means no limit.
	Ends time.Time

	// Tenant is the organisation that an earlier exchange selected. Empty means the organisation
	// that the SubjectResolver returns.
	Tenant string

	// Lent reports that the token was made from a token of another client. It is then not accepted
	// as an actor token, unless the rule has OtherActors (D05).
	Lent bool

	// Begun is when the lineage began, for tokens without auth_time: the iat of its first token.
	// Zero means that no login is known, as for a user id.
	Begun time.Time

	// From lists the origins of this token (see Token.Origin), at most 32, for issuers that keep no
	// record. It is empty if a record links the token to its origins.
	From []string
}

// maxOrigins is how many origins one token may list. A token that would need more is not issued:
// with a shorter list it would survive the revocation of an origin.
const maxOrigins = 32

// And returns a lineage with the limits of both, for a token that is described twice, as by a JWT
// and its record. Nil sets no limit. Two different organisations are an error, since a token is for
// one organisation. Of each limit the stricter value is taken. And does not change its operands;
// the result may share memory with them.
func (l *Lineage) And(other *Lineage) (*Lineage, error) {
	switch {
	case l == nil:
		return other, nil
	case other == nil:
		return l, nil
	case l.Tenant != "" && other.Tenant != "" && l.Tenant != other.Tenant:
		return nil, fmt.Errorf("two organisations: %q and %q", l.Tenant, other.Tenant)
	}
	both := Lineage{
		Scope: l.Scope, Ends: l.Ends, Begun: l.Begun, Lent: l.Lent || other.Lent,
		Tenant: cmp.Or(l.Tenant, other.Tenant), From: distinct(slices.Concat(l.From, other.From)),
	}
	if both.Scope == nil {
		both.Scope = other.Scope
	} else if other.Scope != nil {
		both.Scope = both.Scope.Within(other.Scope)
	}
	if both.Ends.IsZero() || !other.Ends.IsZero() && other.Ends.Before(both.Ends) {
		both.Ends = other.Ends
	}
	if other.Begun.Before(both.Begun) { // zero, which knows of no login, is the earliest
		both.Begun = other.Begun
	}
	return &both, nil
}

// Check returns an error for a lineage with more than 32 origins in From, which no verifier
// accepts. An issuer that keeps LineageWithOrigins in its records calls it before it makes a token.
// Nil is accepted.
func (l *Lineage) Check() error {
	if l != nil && len(l.From) > maxOrigins {
		return refuse(InvalidRequest, "too_many_origins",
			"the token would be made from %d tokens; %d are allowed (I13)", len(l.From), maxOrigins)
	}
	return nil
}

// isEmpty reports whether the lineage sets no limit and knows of no login.
func (l *Lineage) isEmpty() bool {
	return l.Scope == nil && l.Ends.IsZero() && l.Tenant == "" && !l.Lent && l.Begun.IsZero() &&
		len(l.From) == 0
}

// MarshalJSON writes the claim "lineage". Members that are zero are left out.
func (l Lineage) MarshalJSON() ([]byte, error) {
	claim := lineageClaim{Tenant: l.Tenant, Lent: l.Lent, From: l.From}
	if l.Scope != nil {
		text := l.Scope.String()
		claim.Scope = &text
	}
	if !l.Ends.IsZero() {
		claim.Ends = l.Ends.Unix()
	}
	if !l.Begun.IsZero() {
		claim.Begun = l.Begun.Unix()
	}
	return json.Marshal(claim)
}

// lineageClaim is the JSON of a Lineage. Dates are seconds since 1970, as in RFC 7519 §2. Scope is
// a pointer, since no scope at all and no bound are different limits.
type lineageClaim struct {
	Scope  *string  `json:"scope,omitempty"`
	Ends   int64    `json:"ends,omitempty"`
	Tenant string   `json:"tenant,omitempty"`
	Lent   bool     `json:"lent,omitempty"`
	Begun  int64    `json:"begun,omitempty"`
	From   []string `json:"from,omitempty"`
}

// UnmarshalJSON reads the claim strictly: a member that is unknown or malformed may state a limit,
// so it is an error. A newer version of this package may write members that this version does not
// know; to ignore them would lift their limits.
func (l *Lineage) UnmarshalJSON(b []byte) error {
	object, err := strictjson.Object(slices.Clone(b))
	if err != nil {
		return err
	}
	parsed, err := parseLineage(object)
	if err != nil {
		return err
	}
	*l = *parsed
	return nil
}

var errLineage = errors.New("not an object with scope, ends, tenant, lent, begun and from")

// parseLineage reads the claim from JSON that strictjson.Object accepts.
func parseLineage(raw []byte) (*Lineage, error) {
	if !strictjson.IsObject(raw) {
		return nil, errLineage
	}
	l := &Lineage{}
	for name, value := range strictjson.Members(raw) {
		var err error
		switch name {
		case "scope":
			l.Scope, err = parseScopeClaim(value)
		case "ends":
			l.Ends, err = parseDate(value, down)
		case "tenant":
			l.Tenant, err = parseString(value)
		case "lent":
			if l.Lent = string(value) == "true"; !l.Lent {
				err = errLineage
			}
		case "begun":
			l.Begun, err = parseDate(value, down)
		case "from":
			if l.From, err = parseStrings(value); len(l.From) > maxOrigins {
				err = errLineage
			}
		default:
			err = errLineage
		}
		if err != nil {
			return nil, err
		}
	}
	return l, nil
}
