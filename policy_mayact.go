package tokenexchange

import (
	"cmp"

	"github.com/go-tokenexchange/tokenexchange/internal/mayact"
	"github.com/go-tokenexchange/tokenexchange/internal/strictjson"
)

// checkMayAct decides whether a may_act permits an exchange without an actor token (D09). With an
// actor token, checkBesideActor has compared the may_act before any rule.
//
// Example: the may_act {"sub": "bob"} permits no exchange here, since bob has presented no token.
// {"client_id": "helpdesk"} permits one by the client helpdesk, if the rule has may_act_client.
func (r *rule) checkMayAct(f *Facts, _ *Actor) *Error {
	m := f.Subject.Token.MayAct
	switch {
	// A narrow exchange adds no actor, and gives the client nothing that it did not have.
	case m == nil || f.Actor != nil || r.mode == Narrow:
		return nil
	case m.ClientID != f.Client.ID:
		return refuse(InvalidRequest, "may_act_other_client",
			"may_act names client %q, not %q, and there is no actor token (D09)",
			m.ClientID, f.Client.ID)
	// An issuer alone names no party, so the may_act is as good as malformed.
	case m.Issuer != "" && m.Subject == "":
		return refuse(InvalidRequest, "may_act_without_sub",
			"may_act has iss without sub and matches no actor (D08)")
	case !r.mayActClient:
		return refuse(InvalidRequest, "may_act_client_not_allowed",
			"may_act names client %q, but the rule does not have may_act_client (D09)", m.ClientID)
	// The client is the new actor, so the other members must describe the client as well.
	case r.mode == ClientActs && !f.isRefresh() && !mayActFitsClient(f):
		return refuse(InvalidRequest, "may_act_other_actor",
			"may_act is %s; only its client_id matches client %q (D08)",
			m.text(), f.Client.ID)
	}
	return nil
}

// mayActNamesActor reports whether the may_act of the subject token names this client and this
// actor. Every member of it must match (D08): a member that this package does not know could be
// the limit that its issuer relies on.
func mayActNamesActor(f *Facts) bool {
	m, actor := f.Subject.Token.MayAct, f.Actor
	claim := mayact.Claim{
		Issuer: m.Issuer, Subject: m.Subject, ClientID: m.ClientID,
		TokenIssuer: f.Subject.Token.Issuer,
	}
	party := mayact.Actor{
		Resolved:    mayact.Name{Issuer: actor.Issuer, Subject: actor.ID},
		Token:       mayact.Name{Issuer: actor.Token.Issuer, Subject: actor.Token.Subject},
		IsClient:    actor.Kind == KindClient,
		IsRequester: f.isClient(actor.Identity),
	}
	return claim.Names(party, f.Client.ID) && furtherMembersFit(m, actor.Token.Claims)
}

// mayActFitsClient reports whether every member of a may_act that names this client by client_id
// matches the client. A missing iss is that of the subject token. The client has no token that
// could match a further member. A may_act with iss and without sub was refused before.
func mayActFitsClient(f *Facts) bool {
	m := f.Subject.Token.MayAct
	issuer := cmp.Or(m.Issuer, f.Subject.Token.Issuer)
	if m.Subject != "" && (m.Subject != f.Client.ID || issuer != f.Issuer) {
		return false
	}
	return furtherMembersFit(m, nil)
}

// furtherMembersFit compares the members of m that are no fields of Actor with the claims of the
// same name, as JSON. A claim that is absent does not match. Raw is nil if m has no such member.
func furtherMembersFit(m *Actor, claims []byte) bool {
	for name, want := range strictjson.Members(m.Raw) {
		switch name {
		case "iss", "sub", "client_id":
			continue
		}
		fits := false
		for claim, value := range strictjson.Members(claims) {
			fits = fits || claim == name && strictjson.Equal(value, want)
		}
		if !fits {
			return false
		}
	}
	return true
}
