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

// Token holds the claims of a token, after its verification. It is built from that token alone. It
// does not contain the token as presented, so it can be recorded.
type Token struct {
	// Type is the type that verification has found: the declared type, or a narrower type if
	// TypeJWT was declared (R07).
	Type TokenType `json:"type,omitempty"`

	// Kind is the kind of party that the token is about. A host that keeps records sets it. It is
	// empty if the token does not say; a JWT never does. It is a hint for the SubjectResolver.
	Kind Kind `json:"kind,omitempty"`

	// Name says that the token is a bare name, such as a user id, which no issuer made. The
	// verifier that accepts names sets it. A name needs an actor token (D04).
	Name bool `json:"name,omitempty"`

	// ByClient says that the client named in Issuer signed the token with its own key (see
	// Trust.Client).
	ByClient bool `json:"by_client,omitempty"`

	// ID names the token in the audit trail and for revocation: its jti or the id of its record.
	// For a JWT without jti it is a hash. It is recorded, so it must not contain the token (I08).
	ID string `json:"jti,omitempty"`

	Issuer   string   `json:"iss,omitempty"`
	Subject  string   `json:"sub,omitempty"`       // in either claim shape, act or act_as (D18)
	ClientID string   `json:"client_id,omitempty"` // client_id, else azp; empty for another issuer
	Audience []string `json:"aud,omitempty"`
	Scope    Scope    `json:"scope"`             // nil: the token states none
	Actor    *Actor   `json:"act,omitempty"`     // the current actor, prior actors nested
	MayAct   *Actor   `json:"may_act,omitempty"` // a malformed may_act is the zero Actor

	Issued       time.Time    `json:"iat,omitzero"` // zero: the token does not say
	Expires      time.Time    `json:"exp,omitzero"` // zero: the token has expired
	Confirmation Confirmation `json:"cnf,omitzero"` // the keys to which the token is bound

	AuthTime time.Time `json:"auth_time,omitzero"` // when the subject logged in; zero: not known
	ACR      string    `json:"acr,omitempty"`      // authentication context class of that login
	AMR      []string  `json:"amr,omitempty"`      // authentication methods of that login

	// Lineage has the limits of the tokens from which this token was made. It is nil for the token
	// of a login, and for most tokens of another issuer.
	Lineage *Lineage `json:"lineage,omitempty"`

	Claims json.RawMessage `json:"claims,omitempty"` // the whole payload, for resolvers and hooks
}

// Confirmation names keys (RFC 7800): the keys to which a token is bound, or the keys that a client
// proved in this request. The zero Confirmation names none. A token whose cnf has any other member
// is refused, since this package cannot check the member.
type Confirmation struct {
	JKT string `json:"jkt,omitempty"`      // DPoP, RFC 9449
	X5T string `json:"x5t#S256,omitempty"` // mutual TLS, RFC 8705
}

// ParseToken reads the claims of a verified JWT, of an introspection response or of a host's own
// record. It verifies neither signature, dates nor issuer. Type and Kind stay empty, and a field is
// zero if its claim is absent. A malformed may_act becomes the zero Actor, which matches no party.
// Any other malformed claim is an error, which does not quote the value.
//
// Both claim shapes of delegation are read into Subject and Actor (D18). These claims give the same
// Subject, alice, and the same Actor, bob:
//
//	{"iss": "https://as.example", "sub": "alice",
//	 "act": {"iss": "https://as.example", "sub": "bob"}}
//	{"iss": "https://as.example", "sub": "bob", "act_as": {"sub": "alice"}}
func ParseToken(claims []byte) (Token, error) {
	payload, err := checkClaims(claims)
	if err != nil {
		return Token{}, err
	}
	c, err := readClaims(payload, true)
	return c.Token, err
}

// ClaimsSet is the inverse of ParseToken. It returns the fields under the names of their claims
// (RFC 7519 §4, RFC 8693 §4), as values that encode as JSON, for a host that writes claims or
// answers introspection by itself. A field that is zero is left out. An empty scope is left out
// where that means the same, in access tokens and ID tokens; in other tokens it is the empty
// string. The map has no member for Type, Kind, Name and ByClient, which are not claims, nor for a
// claim that is only in Claims. The caller may change the map.
func (t Token) ClaimsSet() map[string]any {
	set := map[string]any{}
	for name, value := range map[string]string{"iss": t.Issuer, "sub": t.Subject,
		"client_id": t.ClientID, "jti": t.ID, "acr": t.ACR} {
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
	for name, date := range map[string]time.Time{"iat": t.Issued, "exp": t.Expires,
		"auth_time": t.AuthTime} {
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

// CurrentActor returns the current actor of the chain as a SubjectResolver gets it: a token that
// has Issuer, Subject and ClientID only. An actor without an issuer has that of the token (D06). ok
// is false if the token has no actor.
func (t Token) CurrentActor() (actor Token, ok bool) {
	if t.Actor == nil {
		return Token{}, false
	}
	return Token{
		Issuer:  cmp.Or(t.Actor.Issuer, t.Issuer),
		Subject: t.Actor.Subject, ClientID: t.Actor.ClientID,
	}, true
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
	// The length keeps apart two tokens whose issuer and id are the same text put together.
	name := binary.BigEndian.AppendUint64(nil, uint64(len(t.Issuer)))
	name = append(append(name, t.Issuer...), t.ID...)
	hash := sha256.Sum256(name)
	return base64.RawURLEncoding.EncodeToString(hash[:16])
}

// Begun returns the time of the login that the lineage of the token began with: auth_time if the
// token states it, else the iat of the first token. It is zero if there was no login: for a user
// id, a ticket, the assertion of another issuer, and a token that a client signed itself. A
// delegation that a user has ended stays ended for every token that does not begin later (D11).
func (t Token) Begun() time.Time {
	switch {
	case t.Name || t.ByClient:
		return time.Time{}
	case !t.AuthTime.IsZero():
		return t.AuthTime
	case t.Lineage != nil: // iat is then the time of an exchange, not of a login
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

// checkClaims returns the payload if it is a JSON object that every reader understands alike. Of a
// repeated member, one reader takes the first value and another reader the last, so an attacker
// could show each reader another subject (RFC 8259 §4).
func checkClaims(claims []byte) ([]byte, error) {
	payload, err := strictjson.Object(claims)
	if err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	return payload, nil
}

// claims are a token, and further claims that only its verification needs.
type claims struct {
	Token
	sub       string    // the claim sub as written: the actor where there is an act_as
	notBefore time.Time // nbf; zero: absent
	isEvent   bool      // it is a security event (RFC 8417) and not a token
	hasScope  bool      // it has scope or scp, even if malformed
	hasAZP    bool      // it has azp
	kind      kindMarks // claims that show which kind of token it is
}

// kindMarks are claims that tell ID tokens from other tokens where the header typ does not: claims
// that only an ID token has, and claims in which some servers name the kind.
type kindMarks struct {
	idOnly bool   // nonce, at_hash, c_hash or s_hash (OpenID Connect Core §2, §3.3.2.11, FAPI)
	named  string // typ (Keycloak) or token_use (Cognito) in the payload; empty: absent
}

// isID reports whether the marks show an ID token: a claim that only an ID token has, unless the
// token names another kind.
func (k kindMarks) isID() bool { return (k.idOnly && k.named == "") || k.namesID() }

// isOther reports whether the token names a kind, and not that of ID tokens.
func (k kindMarks) isOther() bool { return k.named != "" && !k.namesID() }

// namesID reports whether the token names the kind of ID tokens, as Keycloak or Cognito does.
func (k kindMarks) namesID() bool { return k.named == "ID" || k.named == "id" }

// readClaims reads a payload that checkClaims has returned. In a token of another issuer client_id,
// azp and lineage mean nothing, and a malformed scope is empty (D06): another issuer may use these
// names for something else, and its client ids are not ours.
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

// claimsReader collects the claims of one payload.
type claimsReader struct {
	own           bool   // the token is of this server
	c             claims // the result so far
	azp           string // empty: absent, or of another issuer
	hasScopeClaim bool   // the token has scope, even if malformed
	scp           Scope  // nil: absent or malformed
	clientID      string // empty: absent, or of another issuer
	actAs         *actAs // nil: absent
}

var (
	errNotString  = errors.New("not a string, or an empty one")
	errNotStrings = errors.New("not an array of strings, or one of them is empty")
	errNotDate    = errors.New("not a date between 1970 and 9999")
	errNotParty   = errors.New("not an object with a sub")
	errNotKey     = errors.New("not an object with jkt or x5t#S256 and no other member")
)

// read reads one member of the payload. It ignores a name that it does not know, as RFC 7519 §4
// demands. So an error names a known claim only, and nothing from the token.
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
		r.c.hasScope, r.hasScopeClaim = true, true
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
		namesKind := named != "" && !strings.EqualFold(named, "JWT")
		if namesKind && (r.c.kind.named == "" || r.c.kind.namesID()) {
			r.c.kind.named = named // of two names, a kind other than ID token counts
		}
	}
	return err
}

// finish combines claims that depend on each other. The order of the members in the payload does
// not matter.
func (r *claimsReader) finish() (claims, error) {
	t := &r.c.Token
	if t.ClientID = r.clientID; t.ClientID == "" {
		t.ClientID = r.azp
	} else if r.azp != "" && r.azp != r.clientID {
		// It would depend on the reader to which client the token was issued.
		return claims{}, errors.New("claims: client_id and azp are different (D04)")
	}
	r.c.sub = t.Subject
	if !r.own && !r.hasScopeClaim {
		t.Scope = r.scp
	}
	if t.Scope == nil && r.c.hasScope {
		t.Scope = Scope{} // a malformed scope grants nothing
	}
	if r.actAs == nil {
		return r.c, nil
	}
	if t.Actor != nil {
		// The two claims could name two actors, and each reader would choose one of them.
		return claims{}, errors.New("claims: both act and act_as are present (D18)")
	}
	if err := r.actAs.apply(t); err != nil {
		return claims{}, fmt.Errorf("claim act_as: %w", err)
	}
	return r.c, nil
}

// parseString reads a string that is not empty. An empty claim says nothing that an absent claim
// does not, and would match other empty values.
func parseString(raw []byte) (string, error) {
	if s, ok := strictjson.String(raw); ok && s != "" {
		return s, nil
	}
	return "", errNotString
}

// parseStrings reads an array of strings, none of them empty. The array may be empty.
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

// parseAudience reads aud: a string, or an array of strings (RFC 7519 §4.1.3).
func parseAudience(raw []byte) ([]string, error) {
	if s, err := parseString(raw); err == nil {
		return []string{s}, nil
	}
	return parseStrings(raw)
}

// parseSCP reads scp, which some servers write instead of scope: as one string, or as an array.
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

// parseScopeClaim reads a scope in the form of RFC 6749 §3.3, which RFC 8693 §4.2 takes over.
func parseScopeClaim(raw []byte) (Scope, error) {
	s, ok := strictjson.String(raw)
	if !ok {
		return nil, errors.New("not a string")
	}
	return ParseScope(s)
}

// latestDate is the last second of the year 9999, the latest time that time.Time marshals.
const latestDate = 253402300799

// dateDigits is the number of digits of latestDate.
const dateDigits = 12

// rounding says in which direction a fraction of a second is rounded.
type rounding bool

const (
	down rounding = false
	up   rounding = true
)

// parseDate reads a NumericDate (RFC 7519 §2), which may have a fraction and an exponent. It does
// not convert the number to a float64, which would round a time just before a second to that
// second.
func parseDate(raw []byte, round rounding) (time.Time, error) {
	if len(raw) == 0 || raw[0] < '0' || raw[0] > '9' {
		return time.Time{}, errNotDate
	}
	// Most dates are whole numbers.
	seconds, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		seconds, err = roundDate(string(raw), round)
	}
	if err != nil || seconds < 1 || seconds > latestDate {
		return time.Time{}, errNotDate
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// roundDate rounds a JSON number that is not negative and has a fraction or an exponent. It moves
// the decimal point in the text: 1.5e3 has the digits "15" and four digits before the point. A huge
// exponent is refused before any zeros are written.
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
	point := int64(len(digits)-len(fraction)) + exponent // the number of digits before the point
	if digits == "" || point > dateDigits {
		return 0, errNotDate
	}
	size := int(max(point, 0)) // the number of digits of the whole part
	n := min(size, len(digits))
	zeros := strings.Repeat("0", size-n)
	seconds, err := strconv.ParseInt("0"+digits[:n]+zeros, 10, 64)
	if round == up && strings.Trim(digits[n:], "0") != "" {
		seconds++
	}
	return seconds, err
}

// parseConfirmation reads cnf (RFC 7800 §3.1). A member that this package cannot check is an
// error: to ignore it would unbind the token.
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
