package tokenexchange

import (
	"errors"
	"slices"
	"time"
)

// Mode states which party acts.
type Mode string

// The modes. A rule must name the mode that it allows (D01). The zero Mode is refused.
const (
	Narrow      Mode = "narrow"          // the client's own access token made smaller; no new actor
	Delegate    Mode = "delegate"        // the subject of the actor token acts
	ClientActs  Mode = "client-as-actor" // no actor token: the client becomes the actor
	Impersonate Mode = "impersonate"     // no actor token, and no new actor in the token
)

// Decision states the content of the issued token. Its times are whole seconds, and it shares no
// slice with the policy. Every issuer refuses the zero Decision.
type Decision struct {
	Rule           string       // name of the rule, for the audit trail
	Mode           Mode         // the mode of the rule
	Issuer         string       // iss
	Client         string       // client_id: the client that asked
	Subject        Identity     // Subject.ID is sub
	Actor          *Actor       // the whole chain, to be written as act; nil: none
	Audience       []string     // never empty
	Scope          Scope        // empty: no scope
	Expanded       Scope        // the part of Scope that the subject did not have
	Type           TokenType    // of the issued token
	Issued         time.Time    // iat: the time of the exchange
	Expires        time.Time    // latest expiry of the token
	Confirmation   Confirmation // the key to bind the token to; zero: none
	IDToken        bool         // add an ID token
	RefreshToken   bool         // add a refresh token
	RefreshExpires time.Time    // latest expiry of the refresh token; zero without RefreshToken
	Ends           time.Time    // latest end of anything made from the presented tokens; zero: none
	ReplaceMayAct  bool         // an issuer's hook may replace the result of MayAct

	// Facts are the facts that the decision was made from: the parent tokens, the login of the
	// subject, and everything a refresh needs. An Exchanger sets it.
	Facts Facts
}

// Token returns the claims of a token that is made from the decision, for issuers that keep a
// record. The id is the handle of the token, never the token. An own access token is
// TypeAccessToken, even if it was requested as TypeJWT (R07); an ID token states no scope; in any
// other type the decided scope is known, even if it is empty.
func (d Decision) Token(id string) Token {
	t := Token{
		Type: d.Type, Kind: d.Subject.Kind, ID: id,
		Issuer: d.Issuer, Subject: d.Subject.ID, ClientID: d.Client,
		Audience: d.Audience, Scope: d.Scope, Actor: d.Actor, MayAct: d.MayAct(),
		Issued: d.Issued, Expires: d.Expires, Confirmation: d.Confirmation,
		Lineage: d.Lineage(),
	}
	t.AuthTime, t.ACR, t.AMR = d.login()
	switch {
	case d.Type == TypeIDToken:
		t.Scope = nil
	case t.Scope == nil:
		t.Scope = Scope{}
	}
	if d.Type == TypeJWT {
		t.Type = TypeAccessToken
	}
	return t
}

// Check returns an error for a decision that cannot be issued, because a part is missing. Every
// TokenIssuer calls Check first, since it must refuse the zero Decision.
func (d Decision) Check() error { return d.check() }

func (d *Decision) check() error {
	switch {
	case d.Mode != Narrow && d.Mode != Delegate && d.Mode != ClientActs && d.Mode != Impersonate:
		return errors.New("a decision without mode")
	case d.Issuer == "" || d.Client == "":
		return errors.New("a decision without issuer or client")
	case !d.Subject.isComplete() || d.Subject.Issuer != d.Issuer:
		return errors.New("a decision without a subject of this issuer")
	case (d.Mode == Delegate || d.Mode == ClientActs) && d.Actor == nil || !d.Actor.isChain():
		return errors.New("a decision without its actor")
	case d.Type == "" || len(d.Audience) == 0:
		return errors.New("a decision without type or audience")
	case d.Issued.IsZero() || d.Expires.Sub(d.Issued) < time.Second:
		return errors.New("a decision without lifetime")
	case d.RefreshToken && d.RefreshExpires.Sub(d.Issued) < time.Second:
		return errors.New("a decision for a refresh token without lifetime")
	}
	return nil
}

// MayAct returns the may_act of the subject token if the result must carry it: if the chain gets no
// new outermost actor. A missing issuer is written, since the result would otherwise mean this
// server (D06). Nil means that no may_act is carried. Only then may an issuer's hook set may_act,
// unless ReplaceMayAct is set.
func (d Decision) MayAct() *Actor {
	in := &d.Facts.Subject.Token
	if in.MayAct == nil || d.Actor.depth() > in.Actor.depth() {
		return nil
	}
	if in.MayAct.Subject == "" {
		return in.MayAct // iss without sub would match no actor at all (D08)
	}
	return in.MayAct.withIssuer(in.Issuer)
}

// Lineage returns the limits that a token made from the decision must carry, for the type in
// d.Type. Nil means that the token carries none.
func (d Decision) Lineage() *Lineage {
	in := &d.Facts.Subject.Token
	if in.Issuer == "" {
		return nil // the decision has no facts
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
	l.From = d.Facts.origins()
	if l.isEmpty() && !(login.IsZero() && l.Begun.IsZero()) {
		return nil
	}
	return &l // an empty lineage states that there was no login
}

// LineageWithOrigins is Lineage for an issuer whose records do not link a token to the tokens it
// was made from. It lists the presented tokens in From too, so that a server that knows of a
// revoked token can refuse the tokens made from it.
func (d Decision) LineageWithOrigins() *Lineage {
	l := d.Lineage()
	origins := d.Facts.origins()
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

// login returns how the subject logged in, for the claims auth_time, acr and amr. In a token that a
// client signed these claims mean nothing.
func (d *Decision) login() (at time.Time, acr string, amr []string) {
	t := &d.Facts.Subject.Token
	if t.ByClient {
		return time.Time{}, "", nil
	}
	return t.AuthTime, t.ACR, t.AMR
}
