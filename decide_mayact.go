package tokenexchange

import (
	"github.com/go-tokenexchange/tokenexchange/internal/mayact"
	"github.com/go-tokenexchange/tokenexchange/internal/strictjson"
)

// mayActNamesActor reports whether every member of the subject token's may_act fits the client and
// the actor (D08).
func (q *question) mayActNamesActor() bool {
	m := q.Subject.Token.MayAct
	claim := mayact.Claim{Issuer: m.Issuer, Subject: m.Subject, ClientID: m.ClientID,
		TokenIssuer: q.Subject.Token.Issuer}
	actor := mayact.Actor{
		Resolved:    mayact.Name{Issuer: q.Actor.Issuer, Subject: q.Actor.ID},
		Token:       mayact.Name{Issuer: q.actor.Issuer, Subject: q.actor.Subject},
		IsClient:    q.Actor.Kind == KindClient,
		IsRequester: q.isClient(q.Actor.Identity),
	}
	return claim.Names(actor, q.Client.ID) && furtherMembersFit(m, q.actor.Claims)
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
