// Package mayact compares a may_act claim (RFC 8693 §4.4) with an actor. The policy and the
// authorizer authorizer.MayAct share it.
package mayact

import "cmp"

// Claim is a may_act. A member that it does not have is empty.
type Claim struct {
	Issuer, Subject, ClientID string // iss, sub and client_id
	TokenIssuer               string // issuer of the token with the claim: what an absent iss means
}

// Name is how an issuer calls a party.
type Name struct{ Issuer, Subject string }

// Actor is the party that is to act.
type Actor struct {
	Resolved    Name // as the SubjectResolver knows it
	Token       Name // as its own token says
	IsClient    bool // it is a client
	IsRequester bool // it is the client that sends the request
}

// Names reports whether the claim lets the client with this id present the actor: whether iss, sub
// and client_id fit, as far as the claim has them (D08).
func (c Claim) Names(a Actor, client string) bool {
	switch {
	case c.ClientID != "" && c.ClientID != client:
		return false
	case c.Subject == "":
		// client_id alone names that client; iss alone names no party.
		return c.ClientID != "" && c.Issuer == "" && a.IsRequester
	case a.IsClient && c.ClientID != c.Subject:
		return false // sub alone is a user or workload, never a client
	}
	name := Name{cmp.Or(c.Issuer, c.TokenIssuer), c.Subject}
	return name.Issuer != "" && (name == a.Resolved || name == a.Token)
}
