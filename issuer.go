package tokenexchange

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"slices"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange/internal/jose"
	"github.com/go-tokenexchange/tokenexchange/internal/redact"
	"github.com/go-tokenexchange/tokenexchange/internal/reserved"
	"github.com/go-tokenexchange/tokenexchange/internal/strictjson"
)

// TokenIssuer makes the tokens that a decision asks for: of no other type, and with no later
// expiry. It refuses the zero Decision. It is called after the exchange has been decided and
// authorized, by several goroutines at a time. The tokens are sent only after the event has been
// recorded. An error with a Code refuses, any other error is a failure.
type TokenIssuer interface {
	IssueToken(ctx context.Context, d Decision) (IssuedToken, error)
}

// IssuedToken holds the tokens that a TokenIssuer made. It never prints or marshals its tokens.
type IssuedToken struct {
	Value        string    `json:"-"` // the token, of the decided type
	ID           string    // jti or record id: for the audit trail and revocation
	Expires      time.Time // at most Decision.Expires, and at least a second after Decision.Issued
	RefreshToken string    `json:"-"` // set if and only if Decision.RefreshToken is
	IDToken      string    `json:"-"` // set if and only if Decision.IDToken is

	RefreshExpires time.Time // expiry of RefreshToken, at most Decision.RefreshExpires

	// Discard undoes what IssueToken recorded, a spent ticket included. It is called if the token
	// must not be sent (I06), with a context that ends after Exchanger.RecordTimeout and not with
	// the request. Nil: there is no record.
	Discard func(context.Context) error `json:"-"`
}

// Format prints the ID only, whatever the verb.
func (t IssuedToken) Format(w fmt.State, _ rune) { fmt.Fprintf(w, "{%s}", t.ID) }

// check refuses a token that is not as decided. It protects against a mistake in a TokenIssuer of
// the host, as far as the values show it; it does not read the token.
func (t *IssuedToken) check(d *Decision) *Error {
	// The ID goes to the audit trail, where a token or a part of it could be read and used (I08).
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
		detail = "a refresh token that was not decided, or left out the decided token (D23)"
	case d.RefreshToken && (t.RefreshExpires.IsZero() || t.RefreshExpires.After(d.RefreshExpires)):
		detail = "a refresh token that does not expire as decided (I04)"
	case (t.IDToken != "") != d.IDToken:
		detail = "an ID token that was not decided, or left out the decided token (D23)"
	default:
		return nil
	}
	return refuse(ServerError, "issued_other", "TokenIssuer made %s", detail)
}

// JWTIssuer signs JWTs: RFC 9068 access tokens (for TypeAccessToken and TypeJWT), ID tokens, and
// tokens of the types in Types (token_type N_A), which also have nbf and azp. It keeps no records
// and makes no refresh tokens: a decision that asks for a refresh token is an error. NewJWTIssuer
// makes a JWTIssuer; the zero JWTIssuer has no key and issues nothing. A copy has the same key.
type JWTIssuer struct {
	// Types has the header typ of each further token type. Issuing a type that has no typ is an
	// error, and so is a typ that belongs to access or ID tokens: at+jwt or JWT.
	Types map[TokenType]string

	// Claims may add claims to the map before the token is signed. Numbers in the map are
	// json.Number. If an ID token is issued beside an access token, Claims is called for each, and
	// d.Type says for which. Claims cannot change the claims that this package writes, the claims
	// of a login (auth_time, acr, amr, nonce) and the hashes of OpenID Connect (D18, D27). It
	// cannot change a may_act that the token carries (Decision.MayAct) either, unless
	// d.ReplaceMayAct is set, and cannot remove it even then. If it returns an error, nothing is
	// issued. Nil adds no claims.
	Claims func(ctx context.Context, d Decision, claims map[string]any) error

	// ActAs makes tokens in which sub is the actor and act_as the subject, instead of act (D18). A
	// Verifier reads both.
	ActAs bool

	signer *jose.Signer // nil: not from NewJWTIssuer
}

// NewJWTIssuer returns an issuer that signs with key: a private key, or a handle to a private key
// in a KMS or HSM. Public must return an *ecdsa.PublicKey on P-256, P-384 or P-521, an
// ed25519.PublicKey, or an *rsa.PublicKey of 2048 to 8192 bits. keyID becomes the kid; empty: none
// is written. An empty algorithm is the first of ES256, ES384, ES512, EdDSA and PS256 that fits the
// key.
func NewJWTIssuer(key crypto.Signer, keyID, algorithm string) (*JWTIssuer, error) {
	signer, err := jose.NewSigner(key, keyID, algorithm)
	if err != nil {
		return nil, fmt.Errorf("tokenexchange: %w", err)
	}
	return &JWTIssuer{signer: signer}, nil
}

// Format prints the kid and the algorithm only, whatever the verb, and never the key.
func (j JWTIssuer) Format(w fmt.State, _ rune) {
	if j.signer == nil {
		fmt.Fprint(w, "{no key}")
		return
	}
	fmt.Fprintf(w, "{%q %s}", j.signer.KeyID(), j.signer.Algorithm())
}

var errNoKey = errors.New("a JWTIssuer without a key; make it with NewJWTIssuer")

// IssueToken signs a token, and the ID token if the decision asks for one. The zero Decision is an
// error.
func (j *JWTIssuer) IssueToken(ctx context.Context, d Decision) (IssuedToken, error) {
	return j.issue(ctx, d, rand.Text(), d.LineageWithOrigins())
}

// IssueTokenWithID is IssueToken for a host that has recorded the token already, under the jti id.
// The record must link the token to the tokens from which it was made, since the token does not
// list them in Lineage.From. An empty id is an error. An ID token beside the token has a jti chosen
// here and lists its origins.
func (j *JWTIssuer) IssueTokenWithID(ctx context.Context, d Decision, id string) (
	IssuedToken, error) {
	return j.issue(ctx, d, id, d.Lineage())
}

// issue signs a token with the jti id, and the ID token beside it. lineage is that of the token: it
// lists the origins unless a record of the host does.
func (j *JWTIssuer) issue(ctx context.Context, d Decision, id string, lineage *Lineage) (
	IssuedToken, error) {
	if err := d.check(); err != nil {
		return IssuedToken{}, err
	}
	switch {
	case id == "":
		return IssuedToken{}, errors.New("the id of the token is empty")
	case d.RefreshToken:
		return IssuedToken{}, errors.New("a JWTIssuer makes no refresh tokens")
	case j.signer == nil:
		return IssuedToken{}, errNoKey
	}
	t := IssuedToken{ID: id, Expires: d.Expires}
	var err error
	if t.Value, err = j.sign(ctx, &d, id, "", lineage); err != nil {
		return IssuedToken{}, err
	}
	if d.IDToken {
		if t.IDToken, err = j.IssueIDToken(ctx, d, t.Value); err != nil {
			return IssuedToken{}, err
		}
	}
	return t, nil
}

// IssueIDToken signs the ID token that is issued beside an access token (Decision.IDToken). It is
// for a host that makes the access token by other means, for example an opaque token; at_hash is
// the hash of accessToken. A decision that asks for no ID token is an error.
func (j *JWTIssuer) IssueIDToken(ctx context.Context, d Decision, accessToken string) (
	string, error) {
	return j.issueIDToken(ctx, d, accessToken, rand.Text(), Decision.LineageWithOrigins)
}

// IssueIDTokenWithID is IssueIDToken for a host that has recorded the ID token already, under the
// jti id. The record must link the ID token to the tokens from which it was made, as with
// IssueTokenWithID. An empty id is an error.
func (j *JWTIssuer) IssueIDTokenWithID(ctx context.Context, d Decision, accessToken, id string) (
	string, error) {
	return j.issueIDToken(ctx, d, accessToken, id, Decision.Lineage)
}

// issueIDToken signs the ID token beside accessToken. lineage is called with the decision for the
// ID token, since the limits that must be written depend on the type.
func (j *JWTIssuer) issueIDToken(ctx context.Context, d Decision, accessToken, id string,
	lineage func(Decision) *Lineage) (string, error) {
	if err := d.check(); err != nil {
		return "", err
	}
	switch {
	case id == "":
		return "", errors.New("the id of the ID token is empty")
	case !d.IDToken:
		return "", errors.New("the decision asks for no ID token")
	case j.signer == nil:
		return "", errNoKey
	}
	// d is a copy. The hook sees the ID token as the decision for it.
	d.Type, d.Audience = TypeIDToken, []string{d.Client}
	return j.sign(ctx, &d, id, j.signer.HalfHash(accessToken), lineage(d))
}

// JWKS returns the set of public keys to publish at the jwks_uri of the server (RFC 7517).
func (j *JWTIssuer) JWKS() ([]byte, error) {
	if j.signer == nil {
		return nil, errNoKey
	}
	return j.signer.JWKS()
}

// sign makes one token. atHash is empty for every token but an ID token beside an access token.
func (j *JWTIssuer) sign(ctx context.Context, d *Decision, id, atHash string, lineage *Lineage) (
	string, error) {
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
	return j.signer.Sign(typ, payload)
}

// typ returns the header typ of a token type. A host type must not look like an access or ID token,
// or APIs and clients would accept it as such (RFC 8725 §3.11).
func (j *JWTIssuer) typ(t TokenType) (string, error) {
	switch t {
	case TypeAccessToken, TypeJWT:
		return "at+jwt", nil
	case TypeIDToken:
		return "JWT", nil
	}
	typ := j.Types[t]
	if typ == "" {
		return "", fmt.Errorf("JWTIssuer.Types has no typ for type %q", t)
	}
	// Verifiers compare typ as a media type (RFC 7515 §4.1.9).
	full := typ
	if !strings.Contains(typ, "/") {
		full = "application/" + typ
	}
	switch media, _, err := mime.ParseMediaType(full); {
	case err != nil:
		return "", fmt.Errorf("typ %q of type %q is not a media type: %w", typ, t, err)
	case media == "application/at+jwt", media == "application/jwt":
		return "", fmt.Errorf("typ %q of type %q belongs to access or ID tokens", typ, t)
	}
	return typ, nil
}

// issuedClaims are the claims of an issued token but for act and act_as: the chain in them is
// copied byte for byte (D12).
type issuedClaims struct {
	Issuer          string       `json:"iss"`
	Subject         string       `json:"sub"`
	Audience        any          `json:"aud"` // a string, or a list where there are several
	Expires         int64        `json:"exp"`
	Issued          int64        `json:"iat"`
	NotBefore       int64        `json:"nbf,omitempty"`
	ID              string       `json:"jti"`
	Client          string       `json:"client_id"`
	AuthorizedParty string       `json:"azp,omitempty"`
	AtHash          string       `json:"at_hash,omitempty"`
	Scope           *string      `json:"scope,omitempty"`
	AuthTime        int64        `json:"auth_time,omitempty"`
	ACR             string       `json:"acr,omitempty"`
	AMR             []string     `json:"amr,omitempty"`
	Lineage         *Lineage     `json:"lineage,omitempty"`
	Confirmation    Confirmation `json:"cnf,omitzero"`
}

// payload returns the claims of one token as JSON, before the hook has added any.
func (j *JWTIssuer) payload(d *Decision, id, atHash string, lineage *Lineage) ([]byte, error) {
	if err := lineage.Check(); err != nil {
		return nil, err
	}
	c := newIssuedClaims(d, id, atHash, lineage)
	if d.Actor != nil && j.ActAs {
		c.Subject = d.Actor.Subject
	}
	payload, err := json.Marshal(c)
	if err != nil || d.Actor == nil {
		return payload, err
	}
	if !j.ActAs {
		return strictjson.Append(payload, "act", d.Actor.json()), nil
	}
	actAs, err := writeActAs(d.Actor, d.Issuer, d.Subject.ID, d.Client)
	if err != nil {
		return nil, err
	}
	return strictjson.Append(payload, "act_as", actAs), nil
}

// newIssuedClaims returns the claims for the type d.Type (RFC 9068 §2.2, OpenID Connect Core §2).
func newIssuedClaims(d *Decision, id, atHash string, lineage *Lineage) issuedClaims {
	c := issuedClaims{
		Issuer: d.Issuer, Subject: d.Subject.ID, Audience: d.Audience, ID: id, Client: d.Client,
		Expires: d.Expires.Unix(), Issued: d.Issued.Unix(),
		Lineage: lineage, Confirmation: d.Confirmation,
	}
	if len(d.Audience) == 1 {
		c.Audience = d.Audience[0]
	}
	scope := d.Scope.String()
	switch d.Type {
	case TypeIDToken:
		c.AuthorizedParty, c.AtHash = d.Client, atHash
	case TypeAccessToken, TypeJWT:
		if scope != "" {
			c.Scope = &scope
		}
	default:
		// An empty scope is written too: without it, Subject.Scope would be the limit.
		c.NotBefore, c.AuthorizedParty, c.Scope = c.Issued, d.Client, &scope
	}
	// The login claims are the subject's, never the actor's, and never renewed (D27, RFC 9068
	// §2.2.1).
	var loggedIn time.Time
	if loggedIn, c.ACR, c.AMR = d.login(); !loggedIn.IsZero() {
		c.AuthTime = loggedIn.Unix()
	}
	return c
}

// addClaims calls the hook with all claims. It returns the payload with the claims that the hook
// added and with the may_act that the token carries. The hook gets a copy of the claims, so it
// cannot change a claim of the payload; a reserved name that it sets is ignored (D18).
func (j *JWTIssuer) addClaims(ctx context.Context, d *Decision, payload []byte) ([]byte, error) {
	carried := d.MayAct()
	if j.Claims == nil && carried == nil {
		return payload, nil
	}
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
	// A hook that removes the carried may_act would let every party act with the token (D17).
	if carried != nil && (!d.ReplaceMayAct || claims["may_act"] == nil) {
		claims["may_act"] = carried
	}
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		if reserved.Claim(name) {
			continue
		}
		value, err := json.Marshal(claims[name])
		if err != nil {
			return nil, fmt.Errorf("claims hook: claim %q: %w", name, err)
		}
		payload = strictjson.Append(payload, name, value)
	}
	return payload, nil
}
