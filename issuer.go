package tokenexchange

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-tokenexchange/tokenexchange/internal/jose"
	"github.com/go-tokenexchange/tokenexchange/internal/redact"
	"github.com/go-tokenexchange/tokenexchange/internal/strictjson"
)

// TokenIssuer makes the tokens a decision asks for, and nothing else: no other type, no later expiry. It refuses the zero
// Decision. It is called once the exchange has been decided and authorized; what it makes leaves only after the event has
// been recorded.
type TokenIssuer interface {
	IssueToken(ctx context.Context, d Decision) (IssuedToken, error)
}

// IssuedToken is what a TokenIssuer made. It never prints or marshals its tokens.
type IssuedToken struct {
	Value        string `json:"-"`
	ID           string // the handle for audit and revocation: jti or record id, never the token
	Expires      time.Time
	RefreshToken string `json:"-"` // if and only if Decision.RefreshToken
	IDToken      string `json:"-"` // if and only if Decision.IDToken

	RefreshExpires time.Time // of RefreshToken, Decision.RefreshExpires at the latest

	// Discard undoes what IssueToken recorded, a spent ticket included; called where the token must
	// not leave (I06), under a context that ends after Exchanger.RecordTimeout and not with the
	// request. Nil: there is no record.
	Discard func(context.Context) error `json:"-"`
}

// Format prints the id only, whatever the verb.
func (t IssuedToken) Format(w fmt.State, _ rune) { fmt.Fprintf(w, "{%s}", t.ID) }

// check refuses a token that is not what was decided.
func (t *IssuedToken) check(d *Decision) *Error {
	inID := func(token string) bool {
		return token != "" && (strings.Contains(t.ID, token) || redact.Text(t.ID, token) != t.ID)
	}
	detail := ""
	switch {
	case t.Value == "" || t.ID == "":
		detail = "no token, or a token without an ID for the audit trail (R11)"
	case inID(t.Value), inID(t.RefreshToken), inID(t.IDToken):
		detail = "an ID for the audit trail that contains a token (I08)"
	case t.Expires.After(d.Expires):
		detail = "a token that expires later than decided (I04)"
	case t.Expires.Sub(d.Issued) < time.Second:
		detail = "a token that has expired (R11)"
	case (t.RefreshToken != "") != d.RefreshToken:
		detail = "a refresh token that was not decided, or none that was (D23)"
	case d.RefreshToken && (t.RefreshExpires.IsZero() || t.RefreshExpires.After(d.RefreshExpires)):
		detail = "a refresh token that does not expire as decided (I04)"
	case (t.IDToken != "") != d.IDToken:
		detail = "an ID token that was not decided, or none that was (D23)"
	default:
		return nil
	}
	return deny(ServerError, "issued_other", "TokenIssuer made %s", detail)
}

// JWTIssuer signs JWTs: RFC 9068 access tokens (for TypeAccessToken and TypeJWT), ID tokens, and plain ones of the types
// in Types (N_A), which say nbf and azp too. It keeps no record and makes no refresh tokens: a decision that asks for one is an error.
type JWTIssuer struct {
	Key       crypto.Signer // a private key, or a handle to one in a KMS or HSM; nil is an error
	KeyID     string        // kid; empty: none is written
	Algorithm string        // empty: the first of ES256, ES384, ES512, EdDSA, PS256 that fits

	// Types has the header typ of token types that RFC 9068 and OpenID Connect do not name. To
	// issue a type without one is an error, and so is the typ of an access or ID token: at+jwt or
	// JWT.
	Types map[TokenType]string

	// Claims may add claims to the map before it is signed; numbers in it are json.Number. Where an
	// ID token goes out beside an access token it is called for each, d.Type saying for which.
	// Claims that this package writes, those that belong to a login (auth_time, acr, amr, nonce)
	// and the hashes of OpenID Connect stay as they are whatever it does (D18, D27). So does a
	// may_act that the token carries (Decision.MayAct), unless d.ReplaceMayAct is set: it can then
	// be replaced, but not removed. An error means that nothing is issued. Nil changes nothing.
	Claims func(ctx context.Context, d Decision, claims map[string]any) error

	ActAs bool // write sub = actor and act_as = subject instead of act (D18); Verifier reads both shapes
}

// readySigner is the signer of a JWTIssuer, and the fields that it was made from.
type readySigner struct {
	*jose.Signer
	key              crypto.Signer
	keyID, algorithm string
}

// readySigners are those that were made last, the youngest first; nil: none. They are kept for all issuers together, since
// a JWTIssuer may be copied and has nowhere to keep one. They keep as many keys from being collected.
var readySigners atomic.Pointer[[]readySigner]

const mostReadySigners = 16

// signer returns the signer for the fields as they are. That it need not be made anew spares a token the inspection of the
// key (1 µs of ES256, 8 allocations), and a lock that jwx has for the whole process.
func (j *JWTIssuer) signer() (*jose.Signer, error) {
	var ready []readySigner
	if list := readySigners.Load(); list != nil {
		ready = *list
	}
	for i := range ready {
		if r := &ready[i]; isSameKey(r.key, j.Key) && r.keyID == j.KeyID && r.algorithm == j.Algorithm {
			return r.Signer, nil
		}
	}
	signer, err := jose.NewSigner(j.Key, j.KeyID, j.Algorithm)
	if err != nil {
		return nil, err
	}
	if isSameKey(j.Key, j.Key) { // else it would never be found
		list := append([]readySigner{{signer, j.Key, j.KeyID, j.Algorithm}}, ready[:min(len(ready), mostReadySigners-1)]...)
		readySigners.Store(&list) // another that was made meanwhile may get lost, and is made once more
	}
	return signer, nil
}

// isSameKey reports whether a and b are one key in memory. Where that cannot be told, they are not.
func isSameKey(a, b crypto.Signer) bool {
	if a, ok := a.(ed25519.PrivateKey); ok {
		b, ok := b.(ed25519.PrivateKey)
		return ok && len(a) > 0 && len(a) == len(b) && &a[0] == &b[0]
	}
	return a != nil && b != nil && reflect.TypeOf(a).Kind() == reflect.Pointer && reflect.TypeOf(b).Kind() == reflect.Pointer && a == b
}

// Format prints the names of key and algorithm only, whatever the verb: some private keys are bytes that would print.
func (j JWTIssuer) Format(w fmt.State, _ rune) { fmt.Fprintf(w, "{%q %s}", j.KeyID, j.Algorithm) }

// IssueToken signs what d says. A zero decision is an error.
func (j *JWTIssuer) IssueToken(ctx context.Context, d Decision) (IssuedToken, error) {
	return j.issue(ctx, d, rand.Text(), d.LineageWithOrigins())
}

// IssueTokenWithID is IssueToken for a host that has a record of the token already, and so has
// chosen its jti. The record must link the token to the tokens it was made from, since the token
// itself does not list them (Lineage.From). An empty id is an error. An ID token beside it is one
// without a record: its jti is chosen here, and it lists its origins.
func (j *JWTIssuer) IssueTokenWithID(ctx context.Context, d Decision, id string) (IssuedToken, error) {
	return j.issue(ctx, d, id, d.Lineage())
}

func (j *JWTIssuer) issue(ctx context.Context, d Decision, id string, lineage *Lineage) (
	IssuedToken, error) {
	if err := d.check(); err != nil {
		return IssuedToken{}, err
	}
	switch {
	case id == "":
		return IssuedToken{}, errors.New("a token without jti")
	case d.RefreshToken:
		return IssuedToken{}, errors.New("a JWTIssuer makes no refresh tokens")
	}
	signer, err := j.signer()
	if err != nil {
		return IssuedToken{}, err
	}
	t := IssuedToken{ID: id, Expires: d.Expires}
	if t.Value, err = j.sign(ctx, signer, &d, id, "", lineage); err != nil {
		return IssuedToken{}, err
	}
	if d.IDToken {
		if t.IDToken, err = j.IssueIDToken(ctx, d, t.Value); err != nil {
			return IssuedToken{}, err
		}
	}
	return t, nil
}

// IssueIDToken signs the ID token that goes out beside an access token (Decision.IDToken). IssueToken does so by itself;
// an issuer of other access tokens, opaque ones, calls it with the value that at_hash is to be about. A decision that does
// not ask for an ID token is an error.
func (j *JWTIssuer) IssueIDToken(ctx context.Context, d Decision, accessToken string) (string, error) {
	return j.issueIDToken(ctx, d, accessToken, rand.Text(), Decision.LineageWithOrigins)
}

// IssueIDTokenWithID is IssueIDToken for a host that keeps a record of the ID token, and so has
// chosen its jti. The record must link the ID token to the tokens it was made from, as with
// IssueTokenWithID. An empty id is an error.
func (j *JWTIssuer) IssueIDTokenWithID(ctx context.Context, d Decision, accessToken, id string) (
	string, error) {
	return j.issueIDToken(ctx, d, accessToken, id, Decision.Lineage)
}

func (j *JWTIssuer) issueIDToken(ctx context.Context, d Decision, accessToken, id string,
	lineage func(Decision) *Lineage) (string, error) {
	if err := d.check(); err != nil {
		return "", err
	}
	switch {
	case id == "":
		return "", errors.New("an ID token without jti")
	case !d.IDToken:
		return "", errors.New("no ID token was decided")
	}
	signer, err := j.signer()
	if err != nil {
		return "", err
	}
	d.Type, d.Audience = TypeIDToken, []string{d.Client}
	return j.sign(ctx, signer, &d, id, signer.HalfHash(accessToken), lineage(d))
}

// JWKS is the public key set to publish (RFC 7517), at a jwks_uri that resource servers and clients fetch.
func (j *JWTIssuer) JWKS() ([]byte, error) {
	signer, err := j.signer()
	if err != nil {
		return nil, err
	}
	return signer.JWKS()
}

func (j *JWTIssuer) sign(ctx context.Context, signer *jose.Signer, d *Decision, id, atHash string,
	lineage *Lineage) (string, error) {
	typ, err := j.typ(d.Type)
	if err != nil {
		return "", err
	}
	payload, err := j.payload(d, id, atHash, lineage)
	if err != nil {
		return "", err
	}
	if payload, err = j.addClaims(ctx, d, payload); err != nil {
		return "", err
	}
	return signer.Sign(typ, payload)
}

func (j *JWTIssuer) typ(t TokenType) (string, error) {
	switch t {
	case TypeAccessToken, TypeJWT:
		return "at+jwt", nil
	case TypeIDToken:
		return "JWT", nil
	}
	typ := j.Types[t]
	if typ == "" {
		return "", fmt.Errorf("no typ for tokens of type %q", t)
	}
	// Readers compare it as a media type (RFC 7515 §4.1.9).
	full := typ
	if !strings.Contains(typ, "/") {
		full = "application/" + typ
	}
	switch media, _, err := mime.ParseMediaType(full); {
	case err != nil:
		return "", fmt.Errorf("typ %q for tokens of type %q is no media type: %w", typ, t, err)
	case media == "application/at+jwt", media == "application/jwt":
		return "", fmt.Errorf("typ %q for tokens of type %q is that of access or ID tokens", typ, t)
	}
	return typ, nil
}

// payload writes the claims of one token. It is written by hand so that a chain is passed on byte for byte (D12).
func (j *JWTIssuer) payload(d *Decision, id, atHash string, lineage *Lineage) ([]byte, error) {
	o := objectWriter{dst: make([]byte, 0, 512)}
	o.dst = append(o.dst, '{')
	o.string("iss", d.Issuer)
	if err := j.parties(&o, d); err != nil {
		return nil, err
	}
	o.name("aud")
	o.dst = appendAudience(o.dst, d.Audience)
	o.date("exp", d.Expires)
	o.date("iat", d.Issued)
	o.string("jti", id)
	o.string("client_id", d.Client)
	switch d.Type {
	case TypeIDToken:
		o.string("azp", d.Client)
		o.optionalString("at_hash", atHash)
	case TypeAccessToken, TypeJWT:
		o.optionalString("scope", d.Scope.String())
	default:
		o.date("nbf", d.Issued)
		o.string("azp", d.Client)
		// An empty scope is written too: without it, the ceiling would be Subject.Scope.
		o.string("scope", d.Scope.String())
	}
	o.login(d)
	if lineage != nil {
		if err := lineage.Check(); err != nil {
			return nil, err
		}
		text, err := lineage.MarshalJSON()
		if err != nil {
			return nil, err
		}
		o.name("lineage")
		o.dst = append(o.dst, text...)
	}
	if key := d.Confirmation; key != (Confirmation{}) {
		o.name("cnf")
		o.dst = append(o.dst, '{')
		inner := objectWriter{dst: o.dst}
		inner.optionalString("jkt", key.JKT)
		inner.optionalString("x5t#S256", key.X5T)
		o.dst = append(inner.dst, '}')
	}
	return append(o.dst, '}'), nil
}

// parties writes sub and the chain, in the shape that the issuer is set to.
func (j *JWTIssuer) parties(o *objectWriter, d *Decision) (err error) {
	switch {
	case d.Actor == nil:
		o.string("sub", d.Subject.ID)
	case j.ActAs:
		o.string("sub", d.Actor.Subject)
		o.name("act_as")
		o.dst, err = appendActAs(o.dst, d.Actor, d.Issuer, d.Subject.ID, d.Client)
	default:
		o.string("sub", d.Subject.ID)
		o.name("act")
		o.dst = d.Actor.appendJSON(o.dst)
	}
	return err
}

// login writes how the subject once logged in. It is never renewed, and never the actor's (D27, RFC 9068 §2.2.1).
func (o *objectWriter) login(d *Decision) {
	at, acr, amr := d.login()
	if !at.IsZero() {
		o.date("auth_time", at)
	}
	o.optionalString("acr", acr)
	if len(amr) > 0 {
		o.name("amr")
		o.dst = appendStrings(o.dst, amr)
	}
}

func (o *objectWriter) date(name string, t time.Time) {
	o.name(name)
	o.dst = strconv.AppendInt(o.dst, t.Unix(), 10)
}

func appendAudience(dst []byte, audience []string) []byte {
	if len(audience) == 1 {
		return strictjson.AppendQuote(dst, audience[0])
	}
	return appendStrings(dst, audience)
}

func appendStrings(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strictjson.AppendQuote(dst, s)
	}
	return append(dst, ']')
}

// reserved are the claims that a hook cannot set: what a decision says, what only a login can say, and what belongs to
// another token.
var reserved = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope", "client_id", "act", "act_as", "cnf", "azp",
	"auth_time", "acr", "amr", "nonce", "at_hash", "c_hash", "s_hash", "lineage",
}

// addClaims calls the hook with all claims, and returns the payload with those that the hook added
// and with the may_act that is carried.
func (j *JWTIssuer) addClaims(ctx context.Context, d *Decision, payload []byte) ([]byte, error) {
	carried := d.MayAct()
	if j.Claims == nil && carried == nil {
		return payload, nil
	}
	o := objectWriter{dst: payload[:len(payload)-1], begun: true}
	claims := map[string]any{}
	if j.Claims != nil {
		decoder := json.NewDecoder(bytes.NewReader(payload))
		decoder.UseNumber() // an act may hold numbers that no float64 can
		if err := decoder.Decode(&claims); err != nil {
			return nil, err
		}
		if carried != nil {
			claims["may_act"] = carried
		}
		if err := j.Claims(ctx, *d, claims); err != nil {
			return nil, fmt.Errorf("claims hook: %w", err)
		}
	}
	if carried != nil && (!d.ReplaceMayAct || claims["may_act"] == nil) {
		claims["may_act"] = carried
	}
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		if slices.Contains(reserved, name) {
			continue
		}
		value, err := json.Marshal(claims[name])
		if err != nil {
			return nil, fmt.Errorf("claims hook: claim %q: %w", name, err)
		}
		o.name(name)
		o.dst = append(o.dst, value...)
	}
	return append(o.dst, '}'), nil
}
