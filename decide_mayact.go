package tokenexchange

import "github.com/go-tokenexchange/tokenexchange/internal/strictjson"

// mayActNamesActor reports whether the subject token's may_act names this client and this actor (D08): everything that
// it says must fit.
func (q *question) mayActNamesActor() bool {
	m := q.Subject.Token.MayAct
	aboutClient := q.isClient(q.Actor.Identity)
	switch {
	case m.ClientID != "" && m.ClientID != q.Client.ID:
		return false
	case m.Subject == "" && (m.Issuer != "" || m.ClientID == ""):
		return false // iss without sub, or nothing at all, names nobody
	case m.Subject == "" && !aboutClient:
		return false // client_id alone names that client
	case m.Subject != "" && !q.subjectFits(m):
		return false
	case m.Subject != "" && q.Actor.Kind == KindClient && m.ClientID != m.Subject:
		return false // sub alone is a user or workload, never a client
	}
	return furtherMembersFit(m, q.actor.Claims)
}

// subjectFits compares sub and iss with the actor: as the resolver knows them, or as their own token says.
func (q *question) subjectFits(m *Actor) bool {
	iss := m.Issuer
	if iss == "" {
		iss = q.Subject.Token.Issuer
	}
	return m.Subject == q.Actor.ID && iss == q.Actor.Issuer || m.Subject == q.actor.Subject && iss == q.actor.Issuer
}

// mayActNamesClient reports whether a may_act whose client_id is this client says nothing that does not fit a client.
func (q *question) mayActNamesClient() bool {
	m := q.Subject.Token.MayAct
	iss := m.Issuer
	if iss == "" {
		iss = q.Subject.Token.Issuer
	}
	switch {
	case m.Subject == "" && m.Issuer != "":
		return false
	case m.Subject != "" && (m.Subject != q.Client.ID || iss != q.Issuer):
		return false
	}
	return furtherMembersFit(m, nil)
}

// furtherMembersFit compares the members that the fields of m don't hold with the claims of the same name, as JSON. A
// claim that is absent does not fit.
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
