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

// Credential is one token as presented, with everything that its verification may depend on. It
// never prints or marshals the token. Nothing in Token and Type has been verified.
type Credential struct {
	Token  string    `json:"-"`
	Type   TokenType // the declared type
	Actor  bool      // the token is the actor_token; false: the subject_token
	Issuer string    // the name of this server: Exchanger.Issuer
	Client Client    // the client that presents it
	Now    time.Time // the time of the exchange
}

// Format prints the declared type only, whatever the verb.
func (c Credential) Format(w fmt.State, _ rune) { fmt.Fprintf(w, "{%s}", c.Type) }

// Verifiers has a function for each declared token type, which verifies a token of that type. A
// type without a function is invalid_request. The function must return a Token of the declared
// type, or of any type where the declared type is TypeJWT. An error that carries a Code refuses the
// token; any other error is a failure. The functions are called concurrently.
//
// A host that keeps tokens in a store, or that accepts user ids, adds its own functions. A function
// that accepts user ids must refuse an unknown id: the Token that it returns is recorded, and a
// mistyped password in place of the id would be recorded with it.
type Verifiers map[TokenType]func(context.Context, Credential) (Token, error)

// verify turns a presented token into a Token. It is the only place where Exchange believes a
// token. A verifier must not return another type than the declared type, since the policy may treat
// the other type with more trust (R07).
func (v Verifiers) verify(ctx context.Context, c Credential) (Token, error) {
	t, err := v[c.Type](ctx, c)
	if err != nil {
		return Token{}, err
	}
	if t.Type == "" || t.Type != c.Type && c.Type != TypeJWT {
		return Token{}, refuse(InvalidRequest, "token_type_mismatch",
			"the verifier of %q returned a token of type %q (R08)", c.Type, t.Type)
	}
	return t, nil
}

// Trust says what is believed of one issuer, this server included. NewVerifier refuses a Trust that
// is incomplete or contradicts itself.
type Trust struct {
	Issuer string // its iss, compared byte for byte

	// Exactly one of JWKS and JWKSURL must be set.
	JWKS    []byte // pinned public keys (RFC 7517)
	JWKSURL string // the address of the keys; https, or http on loopback

	// Algorithms are the accepted values of the header alg (RFC 8725 §3.1). Nil means ES256,
	// EdDSA, PS256 and RS256. Symmetric algorithms and "none" are an error.
	Algorithms []string

	// Types are the token types that the issuer may issue, each with the header typ that proves it.
	// typ is compared without regard to case and to a leading "application/". "JWT" also stands for
	// no typ at all (RFC 7519 §5.1). "" is the usual typ: at+jwt for access tokens
	// (TypeAccessToken of this server, TypeJWT of another issuer), JWT for ID tokens. A token that
	// is declared as TypeJWT may be of any of these types: Token.Type is then the type that typ
	// proves.
	Types map[TokenType]string

	// Live returns an error for a token of this server that has been revoked or whose session has
	// ended: with a Code to refuse the token, without a Code for a failure. It is required unless
	// Foreign is set.
	Live func(context.Context, Token) error

	// Foreign marks another issuer, of which we cannot tell whether it has revoked a token.
	Foreign bool

	// Audience lists the names of this server at a foreign issuer. One of them must be in aud.
	// Audience is required if Foreign is set, and an error otherwise: the policy decides which of
	// our own tokens a client may present (D04).
	Audience []string

	// ActClaims says that act, act_as and may_act of this issuer are believed. Without it, a token
	// that has one of these claims is refused (D06).
	ActClaims bool

	// Scopes says what a scope of a foreign issuer means here. A scope without an entry grants
	// nothing (D06, D22). Example: {"mail.read": {"mail:read", "mail:list"}}.
	Scopes map[string]Scope

	// Client says that the issuer is a client of this server, under its client id, with the keys
	// registered for it. Token.ByClient is then set, and the policy accepts the token from that
	// client only (D04). The token names its subject and nothing else: scope, auth_time, acr and
	// amr in it are dropped. Client needs Foreign, and excludes ActClaims, Scopes, AuthTime, ACR
	// and AMR.
	Client bool

	// What a foreign issuer says about the login of the subject. Zero means that the claim is
	// ignored. Example for ACR: {"gold": "urn:example:mfa"}.
	AuthTime bool              // auth_time is believed
	ACR      map[string]string // acr here, by the issuer's acr; a value without an entry is dropped
	AMR      map[string]string // amr here, by the issuer's amr; values without an entry are dropped
}

// Verifier verifies JWTs (RFC 7519, RFC 9068, OpenID Connect ID tokens). It has no clock, and no
// state but the keys that it has fetched. It may be used by several goroutines. The zero Verifier
// and a nil Verifier refuse every token.
type Verifier struct {
	issuers map[string]*trusted // by iss
	only    *trusted            // the only issuer; nil if there are several
}

// trusted is a Trust that newTrusted has checked.
type trusted struct {
	Trust
	keys  jose.Source          // the keys of JWKS or JWKSURL
	types map[string]TokenType // by typKey of the header typ; "" stands for no typ
}

// The usual header typ of access tokens and ID tokens, as typKey returns it.
const (
	typAccessToken = "at+jwt"
	typJWT         = "jwt"
)

// maxSkew is how far the clock of an issuer may run ahead of ours. It applies to nbf and iat, and
// not to exp (D26).
const maxSkew = time.Minute

// NewVerifier returns a Verifier for these issuers. It fails for a Trust that would accept more
// than its author may expect: without Issuer, keys or Types; of this server and without Live;
// foreign and without Audience; or with the same typ for two types. It makes no network call: the
// keys at a JWKSURL are fetched when the first token needs them.
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

// newTrusted checks a Trust. A setting that would have no effect is an error, since its author
// expects one.
func newTrusted(t Trust) (*trusted, error) {
	mapsLogin := t.AuthTime || t.ACR != nil || t.AMR != nil
	switch {
	case t.Foreign && (len(t.Audience) == 0 || slices.Contains(t.Audience, "")):
		return nil, errors.New("a foreign issuer needs an expected Audience")
	case t.Foreign && t.Live != nil:
		return nil, errors.New("a foreign issuer cannot have Live")
	case !t.Foreign && t.Live == nil:
		return nil, errors.New("an issuer that is not Foreign needs Live")
	case !t.Foreign && (t.Audience != nil || t.Scopes != nil || t.Client || mapsLogin):
		return nil, errors.New(
			"only a foreign issuer has Audience, Scopes, Client, AuthTime, ACR and AMR")
	case t.Client && (t.ActClaims || t.Scopes != nil || mapsLogin):
		return nil, errors.New("Client excludes ActClaims, Scopes, AuthTime, ACR and AMR")
	case len(t.JWKS) > 0 == (t.JWKSURL != ""):
		return nil, errors.New("exactly one of JWKS and JWKSURL is needed")
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

// keySource returns the keys of the issuer: pinned, or fetched when a token needs them.
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

// typTable returns the token type that each typ proves. It fails if a typ would prove two types: an
// ID token, which a browser may show to many parties, must never pass as an access token (RFC 8725
// §3.11).
func typTable(t Trust) (map[string]TokenType, error) {
	table := map[string]TokenType{}
	for kind, typ := range t.Types {
		var typs []string
		switch {
		case kind == "":
			return nil, errors.New("a token type in Types is empty")
		case t.Foreign && (kind == TypeAccessToken || kind == TypeRefreshToken):
			return nil, errors.New("an access token of a foreign issuer is TypeJWT; " +
				"its refresh tokens are not accepted")
		case !t.Foreign && kind == TypeJWT:
			return nil, errors.New("an access token of this server is TypeAccessToken, not TypeJWT")
		case typKey(typ) == typJWT:
			typs = []string{typJWT, ""}
		case typ != "":
			typs = []string{typKey(typ)}
		case kind == TypeAccessToken, kind == TypeJWT:
			typs = []string{typAccessToken}
		case kind == TypeIDToken:
			typs = []string{typJWT, ""}
		default:
			return nil, fmt.Errorf("type %q has no usual typ, so Types must name one", kind)
		}
		if !kind.isAccess() && typs[0] == typAccessToken {
			return nil, fmt.Errorf(
				"typ at+jwt belongs to access tokens, so it cannot prove type %q", kind)
		}
		if !t.Foreign && kind.isAccess() && (typs[0] == typJWT || typs[0] == "") {
			return nil, errors.New("typ JWT cannot prove an access token")
		}
		for _, typ := range typs {
			if _, taken := table[typ]; taken {
				return nil, fmt.Errorf("typ %q would prove two types", typ)
			}
			table[typ] = kind
		}
	}
	if len(table) == 0 {
		return nil, errors.New("the field Types is empty")
	}
	return table, nil
}

// typKey returns the form in which typ values are compared (RFC 7515 §4.1.9).
func typKey(typ string) string {
	return strings.TrimPrefix(strings.ToLower(typ), "application/")
}

// Verify fits in Verifiers. It returns an *Error with invalid_request for a token that is not
// valid. If the keys are unavailable, or Live fails without a Code, the error is a failure of the
// server and does not look like an invalid token.
//
// Nothing in the token is believed before its signature has been verified (R08). Live comes last,
// so that a forged token cannot ask the host about the tokens in its records.
func (v *Verifier) Verify(ctx context.Context, c Credential) (Token, error) {
	m, err := jose.Parse(c.Token)
	if err != nil {
		return Token{}, refuseFor(InvalidRequest, "not_a_jwt", "the token is not a JWT (R08)", err)
	}
	issuer, payload, err := v.issuer(m)
	if err != nil {
		return Token{}, err
	}
	if err := issuer.keys.Verify(ctx, m); err != nil {
		if jose.IsUnavailable(err) {
			return Token{}, wrapStep("keys_unavailable",
				"the keys of the issuer are unavailable (R08)", err)
		}
		return Token{}, refuseFor(InvalidRequest, "signature_not_valid",
			"no trusted key verifies the signature (R08)", err)
	}
	if payload == nil {
		if payload, err = checkClaims(m.Payload); err != nil {
			return Token{}, refuseFor(InvalidRequest, "claims_malformed",
				"the claims cannot be read (R08)", err)
		}
	}
	t, err := issuer.read(m, payload, c)
	if err != nil {
		return Token{}, err
	}
	if !issuer.Foreign {
		if err := issuer.Live(ctx, t); err != nil {
			return Token{}, wrapStep("token_not_live",
				"Trust.Live did not accept the token (D07)", err)
		}
	}
	return t, nil
}

// issuer returns the issuer whose keys must verify the message. Of the claims it reads iss alone,
// since the signature has not been checked. With only one issuer it reads no claims and returns a
// nil payload, so that a forged token costs less.
func (v *Verifier) issuer(m *jose.Message) (s *trusted, payload []byte, err error) {
	switch {
	case v == nil || len(v.issuers) == 0:
		return nil, nil, refuse(InvalidRequest, "issuer_not_trusted",
			"the Verifier trusts no issuer (R08)")
	case v.only != nil:
		return v.only, nil, nil
	}
	if payload, err = checkClaims(m.Payload); err != nil {
		return nil, nil, refuseFor(InvalidRequest, "claims_malformed",
			"the claims cannot be read (R08)", err)
	}
	iss := ""
	for name, value := range strictjson.Members(payload) {
		if name == "iss" {
			iss, _ = strictjson.String(value)
		}
	}
	if s = v.issuers[iss]; s == nil {
		return nil, nil, refuse(InvalidRequest, "issuer_not_trusted",
			"the issuer %q is not trusted (R08)", iss)
	}
	return s, payload, nil
}

// read returns the Token of a message after its signature has been verified. Claims for which the
// issuer is not believed are refused or dropped, as D06 says.
func (s *trusted) read(m *jose.Message, payload []byte, c Credential) (Token, error) {
	found, known := s.types[typKey(m.Type)]
	// typ is compared before the claims: a token of another kind may use the same claim names for
	// something else (RFC 8725 §3.11).
	if !known || found != c.Type && c.Type != TypeJWT {
		return Token{}, refuse(InvalidRequest, "typ_not_accepted",
			"the header typ %q does not prove the type %q (R07)", m.Type, c.Type)
	}
	p, err := readClaims(payload, !s.Foreign)
	if err != nil {
		return Token{}, refuseFor(InvalidRequest, "claims_malformed",
			"the claims cannot be read (R08)", err)
	}
	p.Type = found
	if refused := s.check(m, &p, c); refused != nil {
		return Token{}, refused
	}
	if s.Foreign {
		s.translate(&p)
	}
	if p.ID == "" {
		p.ID = "sha256:" + m.Digest() // so that its descendants can be named
	}
	return p.Token, nil
}

// check refuses claims that do not make a valid token of the found type. The first check that fails
// gives the reason.
func (s *trusted) check(m *jose.Message, p *claims, c Credential) *Error {
	for _, check := range []func(*jose.Message, *claims, Credential) *Error{
		s.checkParties, s.checkKind, s.checkDates, s.checkTrust,
	} {
		if refused := check(m, p, c); refused != nil {
			return refused
		}
	}
	return nil
}

// checkParties checks iss, sub and aud (R08).
func (s *trusted) checkParties(_ *jose.Message, p *claims, c Credential) *Error {
	switch {
	// With only one issuer, the key was chosen without a look at iss.
	case p.Issuer != s.Issuer:
		return refuse(InvalidRequest, "issuer_mismatch",
			"iss is %q, but the key belongs to issuer %q (R08)", p.Issuer, s.Issuer)
	// A server with an issuer for each tenant must not take the token of one tenant as its own
	// at another.
	case !s.Foreign && s.Issuer != c.Issuer:
		return refuse(InvalidRequest, "issuer_mismatch",
			"iss is %q, but this server is %q (R08)", p.Issuer, c.Issuer)
	case p.Subject == "":
		return refuse(InvalidRequest, "sub_missing", "the token has no sub (R08)")
	// Without aud, nothing says for which APIs the token was made.
	case len(p.Audience) == 0:
		return refuse(InvalidRequest, "aud_missing", "the token has no aud (R08)")
	}
	return nil
}

// checkKind refuses a token whose claims show another kind than its typ does (R07). Many issuers
// write JWT as the typ of every token, so typ alone does not keep ID tokens, access tokens and
// logout tokens apart.
func (s *trusted) checkKind(m *jose.Message, p *claims, c Credential) *Error {
	isID := p.Type == TypeIDToken
	switch {
	// A logout token is signed with the keys of ID tokens, and has iss, sub and aud as well.
	case p.isEvent:
		return refuse(InvalidRequest, "security_event",
			"the token is a security event or a logout token (R08)")
	// An access token is known to every API that receives it. As an ID token it would count as
	// a login at the client.
	case isID && (p.hasScope || p.kind.isOther()):
		return refuse(InvalidRequest, "not_an_id_token",
			"the token has scope or scp, or its claim typ or token_use is %q (R07)", p.kind.named)
	// A generic typ does not show that this is an ID token. In our own tokens azp shows it.
	case isID && isGeneric(m.Type) && !p.kind.isID() && (s.Foreign || !p.hasAZP):
		return refuse(InvalidRequest, "not_an_id_token",
			"the token has none of nonce, at_hash, c_hash and s_hash (R07)")
	// An ID token is meant for the client, and says nothing about access to an API.
	case !isID && isGeneric(m.Type) && p.kind.isID():
		return refuse(InvalidRequest, "id_token_as_other_type",
			"an ID token is declared as %q (R07)", c.Type)
	case !s.Foreign && isID && p.ClientID != "" && !slices.Contains(p.Audience, p.ClientID):
		return refuse(InvalidRequest, "not_an_id_token",
			"the client %q of the ID token is not in its aud, %s (R07)",
			p.ClientID, listed(p.Audience))
	// sub as written is compared: in a token with act_as, Subject is act_as.sub.
	case p.Issuer == p.sub && p.Issuer == c.Client.ID:
		return refuse(InvalidRequest, "client_assertion",
			"the token is a client assertion of %q (R07)", p.Issuer)
	// Without a jti the token could not be revoked.
	case !s.Foreign && p.Type.isAccess() && p.ID == "":
		return refuse(InvalidRequest, "jti_missing",
			"an access token of this server has no jti (D29)")
	}
	return nil
}

// checkDates checks exp, nbf and iat (D26). A token without exp would be valid for ever.
func (s *trusted) checkDates(_ *jose.Message, p *claims, c Credential) *Error {
	switch {
	case p.Expires.IsZero():
		return refuse(InvalidRequest, "exp_missing", "the token has no exp (R08)")
	case !c.Now.Before(p.Expires):
		return refuse(InvalidRequest, "token_expired",
			"the token expired at %s (D26)", timestamp(p.Expires))
	case p.notBefore.After(c.Now.Add(maxSkew)):
		return refuse(InvalidRequest, "token_not_yet_valid",
			"the token is not valid before %s (D26)", timestamp(p.notBefore))
	case p.Issued.After(c.Now.Add(maxSkew)):
		return refuse(InvalidRequest, "token_issued_in_future",
			"the token was issued at %s, which is in the future (D26)", timestamp(p.Issued))
	// iat stands for the time of the login where there is no auth_time; see Token.Begun.
	case p.Issued.IsZero() && !p.Type.isEvidence():
		return refuse(InvalidRequest, "iat_missing", "the token has no iat (R08)")
	}
	return nil
}

// checkTrust refuses claims for which the issuer is not believed, and tokens that are meant for
// other servers (D06, D09). A claim is never stripped: without its may_act, a token would allow
// more than its issuer meant.
func (s *trusted) checkTrust(_ *jose.Message, p *claims, c Credential) *Error {
	isTicket := !s.Foreign && p.Type.isEvidence() && !c.Actor
	isExpected := func(audience string) bool { return slices.Contains(s.Audience, audience) }
	switch {
	case !s.ActClaims && (p.Actor != nil || p.MayAct != nil):
		return refuse(InvalidRequest, "act_not_believed",
			"the token has act, act_as or may_act, and the Trust of %q lacks ActClaims (D06)",
			s.Issuer)
	// A ticket that names no actor would be good for every actor.
	case isTicket && (p.MayAct == nil || p.MayAct.Subject == ""):
		return refuse(InvalidRequest, "ticket_without_may_act",
			"the ticket has no may_act with sub (D09)")
	// A foreign token for another server may have been stolen from that server.
	case s.Foreign && !slices.ContainsFunc(p.Audience, isExpected):
		return refuse(InvalidRequest, "audience_not_expected",
			"aud is %s; the Trust of %q expects %s (D06)",
			listed(p.Audience), s.Issuer, listed(s.Audience))
	// Each further audience could present the assertion here in the name of its subject.
	case s.Foreign && p.Type.isEvidence() && len(p.Audience) != 1:
		return refuse(InvalidRequest, "assertion_for_others",
			"aud is %s; an assertion is for one audience (D06)", listed(p.Audience))
	}
	return nil
}

// isGeneric reports whether a header typ leaves the kind of token open. Many issuers write "JWT"
// into every token.
func isGeneric(typ string) bool { return typ == "" || typKey(typ) == typJWT }

// translate replaces the scope and the login claims of a foreign token by their meaning here. A
// scope that cannot be read, or that has no mapping, grants nothing: the same word may mean more
// here than at its issuer. A token that a client signed loses its scope and login claims, since a
// client could write any into it.
func (s *trusted) translate(p *claims) {
	t := &p.Token
	foreign := *t
	t.Scope, t.AuthTime, t.ACR, t.AMR = nil, time.Time{}, "", nil
	if t.ByClient = s.Client; t.ByClient {
		return
	}
	t.Scope = s.mapScope(foreign.Scope)
	if s.AuthTime {
		t.AuthTime = foreign.AuthTime
	}
	t.ACR = s.ACR[foreign.ACR]
	for _, method := range foreign.AMR {
		if mapped := s.AMR[method]; mapped != "" {
			t.AMR = append(t.AMR, mapped)
		}
	}
	switch {
	case !t.AuthTime.IsZero():
	case t.Type.isEvidence(): // an assertion is not a login
		t.Lineage = &Lineage{}
	case !foreign.AuthTime.IsZero() && foreign.AuthTime.Before(t.Issued):
		// An auth_time that is not believed still shows that the login was before iat. iat alone
		// would make the login look newer than it is.
		t.Lineage = &Lineage{Begun: foreign.AuthTime}
	}
}

// mapScope returns the scope here for a foreign scope. Nil stays nil; a value without a mapping
// grants nothing (D22).
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
