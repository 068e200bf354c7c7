package tokenexchange

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange/internal/strictjson"
)

// Token is what one token says, built from that token alone, once something has verified it.
type Token struct {
	Type         TokenType       `json:"type,omitempty"`      // what it was found to be; at least as narrow as what it was declared as
	Kind         Kind            `json:"kind,omitempty"`      // what kind of party it is about, where a host's own record knows; empty: it does not say
	Name         bool            `json:"name,omitempty"`      // a bare name, such as a user id, that no issuer made; set by the verifier that accepts names
	ByClient     bool            `json:"by_client,omitempty"` // signed by the client named in Issuer with its own key (see Trust.Client)
	ID           string          `json:"jti,omitempty"`       // the handle by which it is revoked, the parent of a family; of a JWT without jti a hash
	Issuer       string          `json:"iss,omitempty"`       // whose token it is
	Subject      string          `json:"sub,omitempty"`       // whom it is about, in either claim shape (D18)
	ClientID     string          `json:"client_id,omitempty"` // client_id, else azp; empty for a token of another issuer
	Audience     []string        `json:"aud,omitempty"`       // whom it is for
	Scope        Scope           `json:"scope"`               // nil: it does not say
	Actor        *Actor          `json:"act,omitempty"`       // current actor, prior ones nested
	MayAct       *Actor          `json:"may_act,omitempty"`   // the zero Actor names nobody: malformed ones become it
	Issued       time.Time       `json:"iat,omitzero"`        // zero: it does not say
	Expires      time.Time       `json:"exp,omitzero"`        // zero is expired
	Confirmation Confirmation    `json:"cnf,omitzero"`        // the keys it is bound to; zero: none
	AuthTime     time.Time       `json:"auth_time,omitzero"`  // when its subject logged in; zero: it does not say
	ACR          string          `json:"acr,omitempty"`       // how, as an authentication context class
	AMR          []string        `json:"amr,omitempty"`       // how, by which methods
	Lineage      *Lineage        `json:"lineage,omitempty"`   // limits of the tokens it was made from; nil: a login's, or another issuer's
	Claims       json.RawMessage `json:"claims,omitempty"`    // the whole payload, for resolvers and hooks
}

// Confirmation names keys (RFC 7800): those a token is bound to, or those a client proved in this request. The zero
// Confirmation names none. A token whose cnf has any other member is refused, since nobody here could check it.
type Confirmation struct {
	JKT string `json:"jkt,omitempty"`      // DPoP, RFC 9449
	X5T string `json:"x5t#S256,omitempty"` // mutual TLS, RFC 8705
}

// names reports whether it names a key.
func (c *Confirmation) names() bool { return c.JKT != "" || c.X5T != "" }

// ParseToken reads the claims of a verified JWT, an introspection response or a host's own record, strictly. It verifies
// nothing: not the signature, not the dates, not the issuer. Type and Kind are left empty; what the claims do not say is
// zero. Both claim shapes of delegation, act and act_as, are read into the same Subject and Actor. A malformed may_act
// becomes the zero Actor, which names nobody; everything else that is malformed is an error, which quotes no value.
func ParseToken(claims []byte) (Token, error) {
	payload, err := checkClaims(claims)
	if err != nil {
		return Token{}, err
	}
	c, err := readClaims(payload, true)
	return c.Token, err
}

// ClaimsSet is the inverse of ParseToken: what the token says, by the names of its claims (RFC 7519
// §4, RFC 8693 §4), as values that encode as JSON. It is for a host that writes claims or answers
// introspection by itself. What is zero is left out. An empty scope is left out where its absence
// means the same, in access tokens and ID tokens; elsewhere it is the empty string. Type, Kind,
// Name and ByClient are not claims, and what is only in Claims is not in it. The map is the
// caller's.
func (t Token) ClaimsSet() map[string]any {
	set := map[string]any{}
	for name, value := range map[string]string{"iss": t.Issuer, "sub": t.Subject, "client_id": t.ClientID, "jti": t.ID,
		"acr": t.ACR} {
		if value != "" {
			set[name] = value
		}
	}
	if len(t.Scope) > 0 || t.Scope != nil && t.Type.isEvidence() {
		set["scope"] = t.Scope.String()
	}
	if t.Lineage != nil {
		set["lineage"] = t.Lineage
	}
	for name, date := range map[string]time.Time{"iat": t.Issued, "exp": t.Expires, "auth_time": t.AuthTime} {
		if !date.IsZero() {
			set[name] = date.Unix()
		}
	}
	switch len(t.Audience) {
	case 0:
	case 1:
		set["aud"] = t.Audience[0]
	default:
		set["aud"] = t.Audience
	}
	if len(t.AMR) > 0 {
		set["amr"] = t.AMR
	}
	if t.Actor != nil {
		set["act"] = t.Actor
	}
	if t.MayAct != nil {
		set["may_act"] = t.MayAct
	}
	if t.Confirmation != (Confirmation{}) {
		set["cnf"] = t.Confirmation
	}
	return set
}

// currentActor returns what the chain states about its current actor, as a token without type. It is
// nil if there is no chain.
func (t *Token) currentActor() *Token {
	if t.Actor == nil {
		return nil
	}
	return &Token{
		Issuer:  cmp.Or(t.Actor.Issuer, t.Issuer),
		Subject: t.Actor.Subject, ClientID: t.Actor.ClientID,
	}
}

// isComplete reports whether the token has a type and names a party.
func (t *Token) isComplete() bool { return t.Type != "" && t.Issuer != "" && t.Subject != "" }

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

// checkClaims returns the payload if it is a JSON object that every reader reads alike.
func checkClaims(claims []byte) ([]byte, error) {
	payload, err := strictjson.Object(claims)
	if err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	return payload, nil
}

// claims are a token and what only its verification needs.
type claims struct {
	Token
	named     string    // the sub claim as it stands, in whatever claim shape
	notBefore time.Time // zero: no nbf
	isEvent   bool      // it is a security event (RFC 8417), no token
	hasScope  bool      // it has scope, or scp as some servers call it, readable or not
	hasAZP    bool      // it has azp
	kind      kindMarks // claims that show which kind of token it is
}

// kindMarks are claims that tell ID tokens from other tokens where the header typ does not: those
// that only an ID token has, and the names that some servers give their kinds.
type kindMarks struct {
	idOnly bool   // nonce, at_hash, c_hash or s_hash (OpenID Connect Core §2, §3.3.2.11, FAPI)
	named  string // typ (Keycloak) or token_use (Cognito) in the payload; empty: absent
}

func (k kindMarks) isID() bool { return (k.idOnly && k.named == "") || k.namesID() }

// isOther reports whether the token calls itself something else than an ID token.
func (k kindMarks) isOther() bool { return k.named != "" && !k.namesID() }

func (k kindMarks) namesID() bool { return k.named == "ID" || k.named == "id" }

// readClaims reads a payload that checkClaims has returned. Of a token that is not own, client_id,
// azp and lineage mean nothing, and a scope that cannot be read is empty (D06).
func readClaims(payload []byte, own bool) (claims, error) {
	r := claimsReader{own: own}
	r.c.Claims = payload
	for name, value := range strictjson.Members(payload) {
		if err := r.read(name, value); err != nil {
			return claims{}, fmt.Errorf("claim %s: %w", name, err)
		}
	}
	return r.finish()
}

type claimsReader struct {
	own       bool
	c         claims
	azp       string
	saysScope bool
	scp       Scope // nil: absent, or not readable
	clientID  string
	actAs     *actAs
}

var (
	errNotString  = errors.New("not a string with something in it")
	errNotStrings = errors.New("not an array of strings with something in each")
	errNotDate    = errors.New("not a date between 1970 and 9999")
	errNotParty   = errors.New("not an object that names somebody by sub")
	errNotKey     = errors.New("not an object with jkt or x5t#S256 and nothing else")
)

// read takes one member of the payload. Names that it passes over are in Claims. Only names of this list are ever put
// into an error.
func (r *claimsReader) read(name string, value []byte) (err error) {
	t := &r.c.Token
	switch name {
	case "iss":
		t.Issuer, err = parseString(value)
	case "sub":
		t.Subject, err = parseString(value)
	case "jti":
		t.ID, err = parseString(value)
	case "aud":
		t.Audience, err = parseAudience(value)
	case "client_id":
		if r.own {
			r.clientID, err = parseString(value)
		}
	case "azp":
		r.c.hasAZP = true
		if r.own {
			r.azp, err = parseString(value)
		}
	case "scope":
		r.c.hasScope, r.saysScope = true, true
		if t.Scope, err = parseScopeClaim(value); !r.own {
			err = nil
		}
	case "act":
		t.Actor, err = parseChain(value)
	case "act_as":
		r.actAs, err = parseActAs(value)
	case "may_act":
		t.MayAct = parseMayAct(value)
	case "cnf":
		t.Confirmation, err = parseConfirmation(value)
	case "exp":
		t.Expires, err = parseDate(value, down)
	case "iat":
		t.Issued, err = parseDate(value, down)
	case "nbf":
		r.c.notBefore, err = parseDate(value, up)
	case "auth_time":
		t.AuthTime, err = parseDate(value, down)
	case "acr":
		t.ACR, err = parseString(value)
	case "amr":
		t.AMR, err = parseStrings(value)
	case "lineage":
		if r.own {
			t.Lineage, err = parseLineage(value)
		}
	case "events":
		r.c.isEvent = true
	case "scp":
		r.c.hasScope = true
		r.scp, _ = parseSCP(value)
	case "nonce", "at_hash", "c_hash", "s_hash":
		r.c.kind.idOnly = true
	case "typ", "token_use":
		named, _ := strictjson.String(value)
		isSaid := named != "" && !strings.EqualFold(named, "JWT")
		if isSaid && (r.c.kind.named == "" || r.c.kind.namesID()) {
			r.c.kind.named = named // of two, the one that is not an ID token's counts
		}
	}
	return err
}

// finish compares what one member alone could not decide.
func (r *claimsReader) finish() (claims, error) {
	t := &r.c.Token
	if t.ClientID = r.clientID; t.ClientID == "" {
		t.ClientID = r.azp
	} else if r.azp != "" && r.azp != r.clientID {
		return claims{}, errors.New("claims: client_id and azp are different (D04)")
	}
	r.c.named = t.Subject
	if !r.own && !r.saysScope {
		t.Scope = r.scp
	}
	if t.Scope == nil && r.c.hasScope {
		t.Scope = Scope{} // what cannot be read grants nothing
	}
	if r.actAs == nil {
		return r.c, nil
	}
	if t.Actor != nil {
		return claims{}, errors.New("claims: act and act_as side by side (D18)")
	}
	if err := r.actAs.apply(t); err != nil {
		return claims{}, fmt.Errorf("claim act_as: %w", err)
	}
	return r.c, nil
}

func parseString(raw []byte) (string, error) {
	if s, ok := strictjson.String(raw); ok && s != "" {
		return s, nil
	}
	return "", errNotString
}

func parseStrings(raw []byte) ([]string, error) {
	list, ok := strictjson.Strings(raw)
	for _, s := range list {
		ok = ok && s != ""
	}
	if !ok {
		return nil, errNotStrings
	}
	return list, nil
}

func parseAudience(raw []byte) ([]string, error) {
	if s, err := parseString(raw); err == nil {
		return []string{s}, nil
	}
	return parseStrings(raw)
}

// parseSCP reads scp, which some servers write in place of scope: as one string, or as an array.
func parseSCP(raw []byte) (Scope, error) {
	list, ok := strictjson.Strings(raw)
	if !ok {
		return parseScopeClaim(raw)
	}
	for _, token := range list {
		if !isScopeToken(token) {
			return nil, errScope
		}
	}
	return distinct(list), nil
}

func parseScopeClaim(raw []byte) (Scope, error) {
	s, ok := strictjson.String(raw)
	if !ok {
		return nil, errors.New("not a string")
	}
	return ParseScope(s)
}

// latestDate is the last second of the year 9999: beyond it a date is a mistake, and time.Time no longer marshals.
const latestDate = 253402300799

// dateDigits is how many digits latestDate has.
const dateDigits = 12

// rounding is the way that a fraction of a second goes.
type rounding bool

const (
	down rounding = false
	up   rounding = true
)

// parseDate reads a NumericDate (RFC 7519 §2), which may have a fraction and an exponent. It rounds
// the decimal text: the nearest float64 of a date just below a second is that second.
func parseDate(raw []byte, round rounding) (time.Time, error) {
	if len(raw) == 0 || raw[0] < '0' || raw[0] > '9' {
		return time.Time{}, errNotDate
	}
	seconds, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		seconds, err = roundDate(string(raw), round)
	}
	if err != nil || seconds < 1 || seconds > latestDate {
		return time.Time{}, errNotDate
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// roundDate rounds a JSON number with a fraction or an exponent, which is not below zero.
func roundDate(text string, round rounding) (int64, error) {
	number, scale, scaled := strings.Cut(strings.ToLower(text), "e")
	exponent := int64(0)
	if scaled {
		var err error
		if exponent, err = strconv.ParseInt(scale, 10, 32); err != nil {
			return 0, errNotDate
		}
	}
	whole, fraction, _ := strings.Cut(number, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	point := int64(len(digits)-len(fraction)) + exponent // how many digits are before it
	if digits == "" || point > dateDigits {
		return 0, errNotDate
	}
	size := int(max(point, 0)) // of the whole part
	n := min(size, len(digits))
	zeros := strings.Repeat("0", size-n)
	seconds, err := strconv.ParseInt("0"+digits[:n]+zeros, 10, 64)
	if round == up && strings.Trim(digits[n:], "0") != "" {
		seconds++
	}
	return seconds, err
}

func parseConfirmation(raw []byte) (Confirmation, error) {
	var c Confirmation
	if !strictjson.IsObject(raw) {
		return c, errNotKey
	}
	for name, text := range strictjson.Members(raw) {
		value, err := parseString(text)
		switch {
		case err != nil:
			return Confirmation{}, errNotKey
		case name == "jkt":
			c.JKT = value
		case name == "x5t#S256":
			c.X5T = value
		default:
			return Confirmation{}, errNotKey
		}
	}
	if c == (Confirmation{}) {
		return c, errNotKey
	}
	return c, nil
}
