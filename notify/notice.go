package notify

import (
	"cmp"
	"slices"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

// Notice is what a user may learn about one exchange. It contains no token and nothing that is for
// operators only.
type Notice struct {
	Time time.Time

	// User is the user to notify: the subject of the token.
	User tokenexchange.Identity

	// Actor is the party that acts now. In an impersonation without an actor it is the client.
	Actor tokenexchange.Actor

	Client   string              // the client that asked for the token
	Audience []string            // where the token is valid
	Scope    tokenexchange.Scope // what the token allows; empty: the token states no scope

	// Until is the latest time at which the actor can act: the expiry of the refresh token if there
	// is one, else that of the token.
	Until time.Time

	TokenID string // the same as in the audit event, so that an operator can find the event
}

// NoticeOf returns the notice for an event that was granted.
func NoticeOf(ev tokenexchange.Event) Notice {
	d := ev.Decision
	actor := tokenexchange.Actor{Issuer: d.Issuer, Subject: d.Client, ClientID: d.Client}
	if a := d.Actor; a != nil {
		actor = tokenexchange.Actor{
			Issuer:   cmp.Or(a.Issuer, d.Issuer),
			Subject:  a.Subject,
			ClientID: a.ClientID,
		}
	}
	until := d.Expires
	if d.RefreshExpires.After(until) {
		until = d.RefreshExpires
	}
	return Notice{
		Time: ev.Time, User: ev.Facts.Subject.Identity, Actor: actor, Client: d.Client,
		Audience: slices.Clone(d.Audience), Scope: slices.Clone(d.Scope),
		Until: until, TokenID: ev.TokenID,
	}
}

// SomebodyNew reports whether an exchange lets a party act for a user who could not act for that
// user before: an actor or a client that is not the user, in any mode. It is the default of
// Sink.Filter. It returns false for
//
//   - a refusal, and a token about a client or a workload;
//   - the user's own use: a narrowing, and any exchange without an actor by the client that the
//     subject token was issued to;
//   - a chain of actors that is only carried on, by a gateway or into another organisation: the
//     user was notified of these actors before;
//   - a refresh, which continues what the user was notified of;
//   - a token that is not an access token, a JWT or an ID token, such as a ticket: the user is
//     notified when the ticket is used.
//
// A gateway that impersonates and is not named in the token counts at every exchange. A host that
// does not want these notices sets a Filter that checks Decision.Rule first.
func SomebodyNew(ev tokenexchange.Event) bool {
	d, f, subject := ev.Decision, ev.Facts, ev.Facts.Subject
	switch {
	case ev.Err != nil || subject.Kind != tokenexchange.KindUser || f.Grant == grantRefresh:
		return false
	case !slices.Contains(usableTypes, d.Type):
		return false
	}
	switch d.Mode {
	case tokenexchange.Delegate, tokenexchange.ClientActs:
		return f.ActingParty() != subject.Identity
	case tokenexchange.Impersonate:
		return subject.Token.Actor == nil && d.Client != subject.Token.ClientID
	}
	return false
}

const grantRefresh = "refresh_token"

// usableTypes are the token types that give access by themselves. Other types must be exchanged
// first.
var usableTypes = []tokenexchange.TokenType{
	tokenexchange.TypeAccessToken, tokenexchange.TypeJWT, tokenexchange.TypeIDToken,
}
