package tokenexchange

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange/internal/jose"
	"github.com/go-tokenexchange/tokenexchange/internal/strictjson"
)

// Credential is one token as presented, and what its verification may depend on. It never prints or marshals the token.
type Credential struct {
	Token  string `json:"-"`
	Type   TokenType
	Actor  bool      // presented as actor_token
	Issuer string    // who we are: Exchanger.Issuer
	Client Client    // who presents it
	Now    time.Time // the time of the exchange
}

// Format prints the declared type only, whatever the verb.
func (c Credential) Format(w fmt.State, _ rune) { fmt.Fprintf(w, "{%s}", c.Type) }

// Verifiers says for each declared token type what verifies it. A type without an entry is invalid_request. What a
// verifier returns must be of the declared type, or of any type where that was TypeJWT. A host that keeps tokens in a
// store, or that accepts user ids, adds a function of its own; an error that carries a Code is a no, any other is a
// failure. One that takes what was presented for a name must know the name: what it returns goes on record.
type Verifiers map[TokenType]func(context.Context, Credential) (Token, error)

// verify is the only way from a presented token to a Token.
func (v Verifiers) verify(ctx context.Context, c Credential) (Token, error) {
	t, err := v[c.Type](ctx, c)
	if err != nil {
		return Token{}, err
	}
	if t.Type == "" || t.Type != c.Type && c.Type != TypeJWT {
		return Token{}, refuse(InvalidRequest, "R08: the token was not found to be of the declared type")
	}
	return t, nil
}

// Trust says what is believed of one issuer, this server included.
type Trust struct {
	Issuer     string   // its iss, byte for byte
	JWKS       []byte   // pinned public keys (RFC 7517), or
	JWKSURL    string   // where they are; https or loopback only. Exactly one of the two
	Algorithms []string // nil: ES256, EdDSA, PS256, RS256. Symmetric ones and none are an error

	// Types are the token types that it may issue, each with the header typ that proves it,
	// compared without regard to case and to a leading "application/". "JWT" also stands for no typ
	// at all (RFC 7519 §5.1). "" is the usual typ: at+jwt for access tokens (TypeAccessToken of this
	// server, TypeJWT of another issuer), JWT for ID tokens. A token that is declared as TypeJWT may
	// be of any of these types: Token.Type is what typ says.
	Types map[TokenType]string

	// Live returns an error for a token of this server that has been revoked or whose session has
	// ended. It is required unless Foreign is set. Audience is then unused: the policy decides which
	// of our own tokens a client may present (D04).
	Live func(context.Context, Token) error

	Foreign   bool     // another issuer: we cannot tell whether its tokens have been revoked
	Audience  []string // one of these must be in aud; required if Foreign
	ActClaims bool     // act, act_as and may_act of this issuer are believed; otherwise they refuse the token

	// Scopes says what a scope of a foreign issuer means here. One without an entry grants nothing
	// (D06, D22).
	Scopes map[string]Scope

	// Client says that the issuer is a client of this server, under its client id, with the keys
	// registered for it. Token.ByClient is then set, and the policy accepts the token from that
	// client only (D04). The token names its subject and nothing else: scope, auth_time, acr and amr
	// in it are dropped. Client needs Foreign, and excludes ActClaims, Scopes, AuthTime, ACR and AMR.
	Client bool

	// What a foreign issuer says about the login of the subject. Zero: the claim means nothing here.
	AuthTime bool              // auth_time is believed
	ACR      map[string]string // acr here, by the issuer's acr; a value without an entry is dropped
	AMR      map[string]string // amr here, by the issuer's amr; values without an entry are dropped
}

// Verifier verifies JWTs (RFC 7519, RFC 9068, OpenID Connect ID tokens). The zero Verifier, and nil, refuse all. It keeps
// no clock and no state but the keys it has fetched.
type Verifier struct {
	issuers map[string]*trusted
	only    *trusted // nil: there are several
}

// trusted is a Trust that has been checked, made ready for use.
type trusted struct {
	Trust
	keys  jose.Source
	types map[string]TokenType // by typ in lower case, without "application/"; "" is none
}

// The usual typ headers, in the form that typKey gives them.
const (
	typAccessToken = "at+jwt"
	typJWT         = "jwt" // also of ID tokens
)

// maxSkew is how far the clock of an issuer may run ahead of ours (D26). There is none for exp.
const maxSkew = time.Minute

// NewVerifier fails on a Trust that could be looser than it looks: without issuer, keys or types, an own one without
// liveness, a foreign one without audience, two types with the same typ.
func NewVerifier(trust ...Trust) (*Verifier, error) {
	v := &Verifier{issuers: make(map[string]*trusted, len(trust))}
	for _, t := range trust {
		if t.Issuer == "" {
			return nil, errors.New("tokenexchange: a Trust without Issuer")
		}
		if v.issuers[t.Issuer] != nil {
			return nil, fmt.Errorf("tokenexchange: issuer %q is configured twice", t.Issuer)
		}
		checked, err := newTrusted(t)
		if err != nil {
			return nil, fmt.Errorf("tokenexchange: issuer %q: %w", t.Issuer, err)
		}
		v.issuers[t.Issuer] = checked
		v.only = checked
	}
	if len(v.issuers) > 1 {
		v.only = nil
	}
	return v, nil
}

func newTrusted(t Trust) (*trusted, error) {
	mapsLogin := t.AuthTime || t.ACR != nil || t.AMR != nil
	switch {
	case t.Foreign && (len(t.Audience) == 0 || slices.Contains(t.Audience, "")):
		return nil, errors.New("a foreign issuer needs an expected Audience")
	case t.Foreign && t.Live != nil:
		return nil, errors.New("nobody can say whether a foreign token is Live")
	case !t.Foreign && t.Live == nil:
		return nil, errors.New("our own tokens need a Live answer")
	case !t.Foreign && (t.Audience != nil || t.Scopes != nil || t.Client || mapsLogin):
		return nil, errors.New("only a foreign issuer has Audience, Scopes, Client, AuthTime, ACR and AMR")
	case t.Client && (t.ActClaims || t.Scopes != nil || mapsLogin):
		return nil, errors.New("Client excludes ActClaims, Scopes, AuthTime, ACR and AMR")
	case len(t.JWKS) > 0 == (t.JWKSURL != ""):
		return nil, errors.New("one of JWKS and JWKSURL is needed")
	}
	types, err := typTable(t)
	if err != nil {
		return nil, err
	}
	if t.Algorithms == nil {
		t.Algorithms = []string{"ES256", "EdDSA", "PS256", "RS256"}
	}
	keys, err := keySource(t)
	if err != nil {
		return nil, err
	}
	return &trusted{Trust: t, keys: keys, types: types}, nil
}

func keySource(t Trust) (jose.Source, error) {
	if t.JWKSURL != "" {
		return jose.NewRemote(t.JWKSURL, t.Algorithms)
	}
	keys, err := jose.ParseKeys(t.JWKS, t.Algorithms)
	if err != nil {
		return nil, err
	}
	return jose.Pinned(keys), nil
}

// typTable turns Types round. One typ proves one type, or it proves nothing.
func typTable(t Trust) (map[string]TokenType, error) {
	table := map[string]TokenType{}
	for kind, typ := range t.Types {
		var typs []string
		switch {
		case kind == "":
			return nil, errors.New("an empty token type")
		case t.Foreign && (kind == TypeAccessToken || kind == TypeRefreshToken):
			return nil, errors.New("an access or refresh token is our own; of a foreign issuer it is TypeJWT")
		case !t.Foreign && kind == TypeJWT:
			return nil, errors.New("our own access tokens are TypeAccessToken, however they are declared")
		case typKey(typ) == typJWT:
			typs = []string{typJWT, ""}
		case typ != "":
			typs = []string{typKey(typ)}
		case kind == TypeAccessToken, kind == TypeJWT:
			typs = []string{typAccessToken}
		case kind == TypeIDToken:
			typs = []string{typJWT, ""}
		default:
			return nil, fmt.Errorf("type %q has no usual typ", kind)
		}
		if !kind.isAccess() && typs[0] == typAccessToken {
			return nil, fmt.Errorf(
				"typ at+jwt is that of access tokens; for type %q it proves nothing", kind)
		}
		if !t.Foreign && kind.isAccess() && (typs[0] == typJWT || typs[0] == "") {
			return nil, errors.New("a typ that says no more than JWT proves no access token")
		}
		for _, typ := range typs {
			if _, taken := table[typ]; taken {
				return nil, fmt.Errorf("typ %q is to prove two types", typ)
			}
			table[typ] = kind
		}
	}
	if len(table) == 0 {
		return nil, errors.New("no Types that it may issue")
	}
	return table, nil
}

// typKey is how typ values are compared (RFC 7515 §4.1.9).
func typKey(typ string) string {
	return strings.TrimPrefix(strings.ToLower(typ), "application/")
}

// Verify fits in Verifiers. A token that is not good is an *Error with invalid_request; keys that cannot be had and a
// Live that fails are errors without a code, so that nobody takes them for a bad token.
func (v *Verifier) Verify(ctx context.Context, c Credential) (Token, error) {
	m, err := jose.Parse(c.Token)
	if err != nil {
		return Token{}, refuseFor(InvalidRequest, "R08: not a JWT", err)
	}
	issuer, payload, err := v.issuer(m)
	if err != nil {
		return Token{}, err
	}
	if err := issuer.keys.Verify(ctx, m); err != nil {
		if jose.IsUnavailable(err) {
			return Token{}, because("the keys of the issuer cannot be had", err)
		}
		return Token{}, refuseFor(InvalidRequest, "R08: signature", err)
	}
	if payload == nil {
		if payload, err = checkClaims(m.Payload); err != nil {
			return Token{}, refuseFor(InvalidRequest, "R08: claims", err)
		}
	}
	t, err := issuer.read(m, payload, c)
	if err != nil {
		return Token{}, err
	}
	if !issuer.Foreign {
		if err := issuer.Live(ctx, t); err != nil {
			return Token{}, because("D07: the token is not live", err)
		}
	}
	return t, nil
}

// issuer picks whose keys to try. The iss claim is all that is ever looked at before the signature has been checked; where
// there is only one issuer, nothing is, and payload is zero: who forges 64 KiB of claims does not get them read.
func (v *Verifier) issuer(m *jose.Message) (s *trusted, payload []byte, err error) {
	switch {
	case v == nil:
		return nil, payload, refuse(InvalidRequest, "R08: no trusted issuer")
	case v.only != nil:
		return v.only, payload, nil
	}
	if payload, err = checkClaims(m.Payload); err != nil {
		return nil, payload, refuseFor(InvalidRequest, "R08: claims", err)
	}
	for name, value := range strictjson.Members(payload) {
		if name == "iss" {
			iss, _ := strictjson.String(value)
			s = v.issuers[iss]
		}
	}
	if s == nil {
		return nil, payload, refuse(InvalidRequest, "R08: no trusted issuer")
	}
	return s, payload, nil
}

// read believes what the issuer is believed for. The signature has been checked.
func (s *trusted) read(m *jose.Message, payload []byte, c Credential) (Token, error) {
	found, known := s.types[typKey(m.Type)]
	if !known || found != c.Type && c.Type != TypeJWT {
		return Token{}, refuse(InvalidRequest, "R07: the header typ does not prove the declared type")
	}
	p, err := readClaims(payload, !s.Foreign)
	if err != nil {
		return Token{}, refuseFor(InvalidRequest, "R08: claims", err)
	}
	p.Type = found
	if reason := s.check(m, &p, c); reason != "" {
		return Token{}, refuse(InvalidRequest, reason)
	}
	if s.Foreign {
		s.translate(&p)
	}
	if p.ID == "" {
		p.ID = "sha256:" + m.Digest() // a name for its family all the same
	}
	return p.Token, nil
}

// check returns why a token is not good, or nothing.
func (s *trusted) check(m *jose.Message, p *claims, c Credential) (reason string) {
	t := &p.Token
	ticket := !s.Foreign && t.Type.isEvidence() && !c.Actor
	switch {
	case t.Issuer != s.Issuer:
		return "R08: the issuer is not the one whose key signed"
	case !s.Foreign && s.Issuer != c.Issuer:
		return "R08: a token of ours under another issuer name"
	case t.Subject == "":
		return "R08: no sub"
	case len(t.Audience) == 0:
		return "R08: no aud"
	case p.isEvent:
		return "R08: a security event or logout token"
	case t.Type == TypeIDToken && (p.hasScope || p.kind.isOther()):
		return "R07: an ID token with scope or scp, or whose typ or token_use names another kind"
	case t.Type == TypeIDToken && isGeneric(m.Type) && !p.kind.isID() && (s.Foreign || !p.hasAZP):
		return "R07: no nonce, at_hash, c_hash or s_hash, one of which an ID token needs"
	case t.Type != TypeIDToken && isGeneric(m.Type) && p.kind.isID():
		return "R07: an ID token that is declared as a token of another type"
	case !s.Foreign && t.Type == TypeIDToken && t.ClientID != "" && !slices.Contains(t.Audience, t.ClientID):
		return "R07: an ID token that is not for its client is a token of another kind"
	case t.Issuer == p.named && t.Issuer == c.Client.ID:
		return "R07: a client assertion"
	case t.Expires.IsZero():
		return "R08: no exp"
	case !c.Now.Before(t.Expires):
		return "D26: expired"
	case p.notBefore.After(c.Now.Add(maxSkew)):
		return "D26: not yet valid"
	case t.Issued.After(c.Now.Add(maxSkew)):
		return "D26: issued in the future"
	case t.Issued.IsZero() && !t.Type.isEvidence():
		return "R08: no iat"
	case !s.Foreign && t.Type.isAccess() && t.ID == "":
		return "D29: an own access token without jti"
	case !s.ActClaims && (t.Actor != nil || t.MayAct != nil):
		return "D06: act, act_as or may_act of an issuer that is not believed for it"
	case ticket && (t.MayAct == nil || t.MayAct.Subject == ""):
		return "D09: a ticket without may_act.sub"
	case s.Foreign && !slices.ContainsFunc(t.Audience, func(a string) bool { return slices.Contains(s.Audience, a) }):
		return "D06: not for the expected audience"
	case s.Foreign && t.Type.isEvidence() && len(t.Audience) != 1:
		return "D06: an assertion for others too"
	}
	return ""
}

// isGeneric reports whether a header typ does not tell which kind of token it is: many issuers
// write "JWT" into every token.
func isGeneric(typ string) bool { return typ == "" || typKey(typ) == typJWT }

// translate replaces scope and login claims of a foreign token by their meaning here. A scope that
// cannot be read grants nothing, nor does one without a mapping. Scope and login claims in a token
// that a client signed are dropped.
func (s *trusted) translate(p *claims) {
	t := &p.Token
	said := *t
	t.Scope, t.AuthTime, t.ACR, t.AMR = nil, time.Time{}, "", nil
	if t.ByClient = s.Client; t.ByClient {
		return
	}
	t.Scope = s.mapScope(said.Scope)
	if s.AuthTime {
		t.AuthTime = said.AuthTime
	}
	t.ACR = s.ACR[said.ACR]
	for _, method := range said.AMR {
		if mapped := s.AMR[method]; mapped != "" {
			t.AMR = append(t.AMR, mapped)
		}
	}
	switch {
	case !t.AuthTime.IsZero():
	case t.Type.isEvidence(): // an assertion is no login
		t.Lineage = &Lineage{}
	case !said.AuthTime.IsZero() && said.AuthTime.Before(t.Issued):
		// An auth_time that is not believed still tells a renewed token from a login.
		t.Lineage = &Lineage{Begun: said.AuthTime}
	}
}

// mapScope says what a foreign scope means here: nil stays nil, unknown counts for nothing (D22).
func (s *trusted) mapScope(foreign Scope) Scope {
	if foreign == nil {
		return nil
	}
	mapped := []string{}
	for _, token := range foreign {
		mapped = append(mapped, s.Scopes[token]...)
	}
	return distinct(mapped)
}
