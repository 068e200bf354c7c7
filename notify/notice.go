package notify

import (
	"cmp"
	"slices"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

// Notice is what a user may be told about one exchange. It has no token and nothing that is only for operators.
type Notice struct {
	Time     time.Time
	User     tokenexchange.Identity // who is told: whom the token is about
	Actor    tokenexchange.Actor    // who acts now; in an impersonation that names nobody, the client
	Client   string                 // through which
	Audience []string               // where
	Scope    tokenexchange.Scope    // to do what
	Until    time.Time              // and until when, at the latest: a refresh token's expiry, where there is one
	TokenID  string                 // for questions: the audit trail has it too
}

// NoticeOf is the notice of an event that was granted.
func NoticeOf(ev tokenexchange.Event) Notice {
	d := ev.Decision
	actor := tokenexchange.Actor{Issuer: d.Issuer, Subject: d.Client, ClientID: d.Client}
	if a := d.Actor; a != nil {
		actor = tokenexchange.Actor{Issuer: cmp.Or(a.Issuer, d.Issuer), Subject: a.Subject, ClientID: a.ClientID}
	}
	until := d.Expires
	if d.RefreshExpires.After(until) {
		until = d.RefreshExpires
	}
	return Notice{Time: ev.Time, User: ev.Facts.Subject.Identity, Actor: actor, Client: d.Client, Audience: slices.Clone(d.Audience),
		Scope: slices.Clone(d.Scope), Until: until, TokenID: ev.TokenID}
}

// SomebodyNew reports whether an exchange lets somebody act for a user who could not before: an actor or a client who is
// not the user, in any mode. It is what a Sink goes by where it has no Filter. It does not count
//
//   - what was refused, and what is about a client or a workload;
//   - the user's own: a narrowing, and any exchange without an actor by the client that the subject token was issued to;
//   - a chain that is carried on, by a gateway or into another organisation: those who act have been told of;
//   - a refresh, which goes on with what the user has been told of;
//   - a token that is neither an access token, a JWT nor an ID token, such as a ticket: it is told of when it is used.
//
// A gateway that impersonates without a trace in the token counts at every exchange; a host that does not want that has a
// Filter that asks for Decision.Rule first.
func SomebodyNew(ev tokenexchange.Event) bool {
	d, f, subject := ev.Decision, ev.Facts, ev.Facts.Subject
	switch {
	case ev.Err != nil || subject.Kind != tokenexchange.KindUser || f.Grant == grantRefresh:
		return false
	case !slices.Contains(usable, d.Type):
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

// usable are the types that somebody can do something with, as far as this package knows.
var usable = []tokenexchange.TokenType{tokenexchange.TypeAccessToken, tokenexchange.TypeJWT, tokenexchange.TypeIDToken}
