package tokenexchange

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
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
// A Token without a Lineage comes from a login or from another issuer; that of another issuer has
// at most Begun. A JWT carries the Lineage in the claim "lineage", which a claims hook cannot set; a
// record carries it as a field.
type Lineage struct {
	// Scope is the upper bound for a token that has no scope of its own, an ID token. Nil means
	// that the lineage sets no bound; empty means that no scope may be granted.
	Scope Scope

	// Ends is the latest expiry of anything made from a token whose own expiry does not limit
	// that, such as a ticket. Zero means no limit.
	Ends time.Time

	// Tenant is the organisation that an earlier exchange selected. Empty means the one that the
	// SubjectResolver names.
	Tenant string

	// Lent reports that the token was made from a token of another client. It is then not
	// accepted as an actor token, unless the rule has OtherActors.
	Lent bool

	// Begun is when the lineage began, for tokens without auth_time: the iat of its first token.
	// Zero means that no login is known, as for a user id.
	Begun time.Time

	// From lists the origins of this token (see Token.Origin), at most 32, for issuers that keep no
	// record. Empty where the record links the token to them.
	From []string
}

// maxOrigins is how many origins one token may list.
const maxOrigins = 32

// Origin names the token in Lineage.From of every token made from it. A host that keeps a list of
// revoked JWTs instead of records stores this name, and its Trust.Live refuses a token if the name
// or one of Lineage.From is on the list. Origin is empty for a token without Issuer or ID.
func (t Token) Origin() string {
	if t.Issuer == "" || t.ID == "" {
		return ""
	}
	name := binary.BigEndian.AppendUint64(nil, uint64(len(t.Issuer)))
	name = append(append(name, t.Issuer...), t.ID...)
	hash := sha256.Sum256(name)
	return base64.RawURLEncoding.EncodeToString(hash[:16])
}

// Begun returns the time of the login that the lineage of the token began with: auth_time if the
// token states it, else the iat of the first token. It is zero if there was no login: for a user
// id, a ticket, the assertion of another issuer, and a token that a client signed itself.
func (t Token) Begun() time.Time {
	switch {
	case t.Name || t.ByClient:
		return time.Time{}
	case !t.AuthTime.IsZero():
		return t.AuthTime
	case t.Lineage != nil:
		return t.Lineage.Begun
	case t.Type.isEvidence() && t.MayAct != nil:
		return time.Time{}
	}
	return t.Issued
}

// ceiling returns the scope that the token and its lineage allow. Nil means that neither states a
// bound. An access token without scope allows none (D22).
func (t *Token) ceiling() Scope {
	var own Scope
	switch {
	case t.Scope != nil && t.Type != TypeIDToken:
		own = t.Scope
	case t.Type.isAccess():
		own = Scope{}
	}
	switch {
	case t.Lineage == nil || t.Lineage.Scope == nil:
		return own
	case own == nil:
		return t.Lineage.Scope
	}
	return own.Within(t.Lineage.Scope)
}

// tenant returns the organisation that the presented token is for.
func (s *Subject) tenant() string {
	if l := s.Token.Lineage; l != nil && l.Tenant != "" {
		return l.Tenant
	}
	return s.Tenant
}

// leftTenant reports whether the subject no longer belongs to the organisation that its token is
// for.
func (s *Subject) leftTenant() bool {
	tenant := s.tenant()
	return tenant != s.Tenant && !slices.Contains(s.Tenants, tenant)
}

// isLentTo reports whether the client received the token, or what it was made from, from another
// client: a token about somebody else that was not issued to the client. Tokens of other issuers
// are the matter of Rule.Issuers.
func (s *Subject) isLentTo(client, issuer string) bool {
	t := &s.Token
	switch {
	case t.ByClient || t.Lineage != nil && t.Lineage.Lent:
		return true
	case t.Issuer != issuer || t.ClientID == client || t.Type.isEvidence() && t.ClientID == "":
		return false
	case s.Identity == Identity{Issuer: issuer, Kind: KindClient, Tenant: s.Tenant, ID: client}:
		return false
	case t.Type == TypeIDToken && slices.Contains(t.Audience, client):
		return false
	}
	return true
}

// Lineage returns the limits that a token made from the decision must carry, for the type in
// d.Type. Nil means that it carries none.
func (d Decision) Lineage() *Lineage {
	in := &d.Facts.Subject.Token
	if in.Issuer == "" {
		return nil // the decision does not say what it was made from
	}
	var l Lineage
	if d.Type == TypeIDToken {
		if l.Scope = in.ceiling(); d.Facts.Request.Scope != nil {
			l.Scope = append(Scope{}, d.Scope...)
		}
	}
	if d.Type.isEvidence() {
		l.Ends = d.Ends
	}
	if d.Subject.Tenant != d.Facts.Subject.Tenant {
		l.Tenant = d.Subject.Tenant
	}
	l.Lent = d.Facts.Subject.isLentTo(d.Client, d.Issuer)
	login, _, _ := d.login()
	if login.IsZero() {
		l.Begun = in.Begun()
	}
	l.From = d.Facts.inheritedOrigins()
	if l.isEmpty() && !(login.IsZero() && l.Begun.IsZero()) {
		return nil
	}
	return &l // empty, it says that the lineage did not begin with a login
}

// LineageWithOrigins is Lineage for an issuer whose records do not link a token to those it was
// made from. It lists the presented tokens in From too, so that a server that knows of a revoked
// token can refuse the tokens made from it.
func (d Decision) LineageWithOrigins() *Lineage {
	l := d.Lineage()
	origins := d.Facts.inheritedOrigins()
	add := func(t Token) {
		if name := t.Origin(); name != "" && !slices.Contains(origins, name) {
			origins = append(origins, name)
		}
	}
	add(d.Facts.Subject.Token)
	if d.Facts.Actor != nil {
		add(d.Facts.Actor.Token)
	}
	if len(origins) > 0 {
		if l == nil {
			l = &Lineage{}
		}
		l.From = origins
	}
	return l
}

// And returns a lineage with the limits of both, for a token that is described twice, as by a JWT
// and its record. Nil sets no limit. Two different organisations are an error, since a token is for
// one.
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

// Check returns an error for a lineage that no verifier accepts: one with more than 32 origins in
// From. An issuer that keeps LineageWithOrigins in its records calls it before it makes a token.
// Nil is accepted.
func (l *Lineage) Check() error {
	if l != nil && len(l.From) > maxOrigins {
		return refuse(InvalidRequest, fmt.Sprintf(
			"the token would be made from %d others; %d are allowed", len(l.From), maxOrigins))
	}
	return nil
}

// inheritedOrigins returns the origins that the presented tokens list, without repeats.
func (f *Facts) inheritedOrigins() []string {
	var origins []string
	if l := f.Subject.Token.Lineage; l != nil {
		origins = append(origins, l.From...)
	}
	if f.Actor != nil && f.Actor.Token.Lineage != nil {
		origins = append(origins, f.Actor.Token.Lineage.From...)
	}
	return distinct(origins)
}

// MayAct returns the may_act of the subject token where the result must carry it: wherever the
// chain gets no new outermost actor. The issuer that the token left unsaid is written, since the
// result would otherwise mean our own (D06). Nil means that nothing is carried, and only then may
// an issuer's hook name who may act, unless ReplaceMayAct is set.
func (d Decision) MayAct() *Actor {
	in := &d.Facts.Subject.Token
	if in.MayAct == nil || d.Actor.depth() > in.Actor.depth() {
		return nil
	}
	if in.MayAct.Subject == "" {
		return in.MayAct // iss without sub would name no actor at all (D08)
	}
	return in.MayAct.withIssuer(in.Issuer)
}

// login returns how the subject logged in, for the claims auth_time, acr and amr. In a token that a
// client signed they mean nothing.
func (d *Decision) login() (at time.Time, acr string, amr []string) {
	t := &d.Facts.Subject.Token
	if t.ByClient {
		return time.Time{}, "", nil
	}
	return t.AuthTime, t.ACR, t.AMR
}

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

type lineageClaim struct {
	Scope  *string  `json:"scope,omitempty"`
	Ends   int64    `json:"ends,omitempty"`
	Tenant string   `json:"tenant,omitempty"`
	Lent   bool     `json:"lent,omitempty"`
	Begun  int64    `json:"begun,omitempty"`
	From   []string `json:"from,omitempty"`
}

// UnmarshalJSON reads the claim strictly: a member that is unknown or malformed may state a limit,
// so it is an error.
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
