package tokenexchange

import "github.com/go-tokenexchange/tokenexchange/internal/strictjson"

// checkMayAct decides what a may_act allows where there is no actor token (D09). With an actor token
// may_act was compared before any rule.
func (r *rule) checkMayAct(f *Facts, _ *Actor) *Error {
	m := f.Subject.Token.MayAct
	switch {
	case m == nil || f.Actor != nil || r.mode == Narrow:
		return nil
	case m.ClientID != f.Client.ID:
		return deny(InvalidRequest, "may_act_other_client",
			"may_act names client %q, not %q, and there is no actor token (D09)",
			m.ClientID, f.Client.ID)
	case m.Issuer != "" && m.Subject == "":
		return deny(InvalidRequest, "may_act_without_sub",
			"may_act has iss without sub and matches no actor (D08)")
	case !r.mayActClient:
		return deny(InvalidRequest, "may_act_client_not_allowed",
			"may_act names client %q, but the rule does not have may_act_client (D09)", m.ClientID)
	case r.mode == ClientActs && !f.isRefresh() && !mayActFitsClient(f):
		return deny(InvalidRequest, "may_act_other_actor",
			"may_act is %s; only its client_id matches client %q (D08)",
			m.text(), f.Client.ID)
	}
	return nil
}

// mayActNamesActor reports whether the may_act of the subject token names this client and this
// actor. Every member of it must match (D08).
func mayActNamesActor(f *Facts) bool {
	m := f.Subject.Token.MayAct
	switch {
	case m.ClientID != "" && m.ClientID != f.Client.ID:
		return false
	case m.Subject == "" && (m.Issuer != "" || m.ClientID == ""):
		return false // iss without sub matches no actor, and neither does an empty may_act
	case m.Subject == "" && !f.isClient(f.Actor.Identity):
		return false // client_id alone names that client
	case m.Subject != "" && !mayActFitsIdentity(f):
		return false
	case m.Subject != "" && f.Actor.Kind == KindClient && m.ClientID != m.Subject:
		return false // sub alone names a user or a workload, never a client
	}
	return furtherMembersFit(m, f.Actor.Token.Claims)
}

// mayActFitsIdentity compares sub and iss with the actor as the resolver knows the actor, or as the
// actor token names it.
func mayActFitsIdentity(f *Facts) bool {
	m, issuer := f.Subject.Token.MayAct, mayActIssuer(f)
	return f.Actor.isNamed(issuer, m.Subject)
}

// mayActIssuer returns the issuer of the party that may_act names: the iss of may_act, else the
// issuer of the token that carries it.
func mayActIssuer(f *Facts) string {
	if iss := f.Subject.Token.MayAct.Issuer; iss != "" {
		return iss
	}
	return f.Subject.Token.Issuer
}

// mayActFitsClient reports whether a may_act that names this client by client_id has no other member
// that does not match the client.
func mayActFitsClient(f *Facts) bool {
	m := f.Subject.Token.MayAct
	switch {
	case m.Subject == "" && m.Issuer != "":
		return false
	case m.Subject != "" && (m.Subject != f.Client.ID || mayActIssuer(f) != f.Issuer):
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
