package tokenexchange

import (
	"cmp"

	"github.com/go-tokenexchange/tokenexchange/internal/mayact"
	"github.com/go-tokenexchange/tokenexchange/internal/strictjson"
)

// checkMayAct decides what a may_act allows where there is no actor token (D09). With an actor token
// may_act was compared before any rule.
func (r *rule) checkMayAct(f *Facts, _ *Actor) *Error {
	m := f.Subject.Token.MayAct
	switch {
	case m == nil || f.Actor != nil || r.mode == Narrow:
		return nil
	case m.ClientID != f.Client.ID:
		return refuse(InvalidRequest, "may_act_other_client",
			"may_act names client %q, not %q, and there is no actor token (D09)",
			m.ClientID, f.Client.ID)
	case m.Issuer != "" && m.Subject == "":
		return refuse(InvalidRequest, "may_act_without_sub",
			"may_act has iss without sub and matches no actor (D08)")
	case !r.mayActClient:
		return refuse(InvalidRequest, "may_act_client_not_allowed",
			"may_act names client %q, but the rule does not have may_act_client (D09)", m.ClientID)
	case r.mode == ClientActs && !f.isRefresh() && !mayActFitsClient(f):
		return refuse(InvalidRequest, "may_act_other_actor",
			"may_act is %s; only its client_id matches client %q (D08)",
			m.text(), f.Client.ID)
	}
	return nil
}

// mayActNamesActor reports whether the may_act of the subject token names this client and this
// actor. Every member of it must match (D08).
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

// mayActFitsClient reports whether a may_act that names this client by client_id has no other member
// that does not match the client.
func mayActFitsClient(f *Facts) bool {
	m := f.Subject.Token.MayAct
	issuer := cmp.Or(m.Issuer, f.Subject.Token.Issuer)
	switch {
	case m.Subject == "" && m.Issuer != "":
		return false
	case m.Subject != "" && (m.Subject != f.Client.ID || issuer != f.Issuer):
		return false
	}
	return furtherMembersFit(m, nil)
}

// furtherMembersFit compares the members of m that are no fields of Actor with the claims of the
// same name, as JSON. A claim that is absent does not match.
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
