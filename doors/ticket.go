package doors

import (
	"context"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// Tickets mints subject tokens for impersonators: short-lived JWTs about a user whose may_act names the impersonator and
// the client (RFC 8693 §4.4). At the exchange such a ticket is good once, for that client, beside a token of that
// impersonator (D08, D09). What the impersonator may do is decided here, before there is a ticket, and once more there.
//
// The type must be in JWTIssuer.Types of the Tokens, and under the same typ in Trust.Types of the verifier that reads
// tickets at the exchange; tokenstore spends a ticket in the write that records what it was exchanged for. The zero
// Tickets refuses.
type Tickets struct {
	Tokens *tokenstore.Tokens      // signs and records; MayAct of these is not asked
	Type   tokenexchange.TokenType // of a ticket: what is issued here, and presented at the exchange

	// Named is the type of the user's name in the decision about a ticket. Nobody presents one. A rule that mints tickets
	// has mode delegate, Named in SubjectTypes, OtherTokens, Type in Types, the id of the client in Targets, and how long
	// a ticket lives as Lifetime.
	Named tokenexchange.TokenType
}

// Mint decides and records, as an exchange of x does, whether the impersonator may act for the user, and then makes the
// ticket: Response.AccessToken. The client is whom it is for. The impersonator is the token of somebody whom the host has
// authenticated, their session for one; the ticket is made from it, and ends with it. One that carries act is refused: a
// ticket has no place for those who acted before (D14).
//
// Scope is what the token of the exchange can have at most: cut by nothing, refused if the user, the client or the rule
// does not have it, whatever the impersonator has. It must not be empty. Scopes that make further tokens, openid and
// offline_access, are refused. The error is an *Error as from Exchange; every outcome is audited.
func (k *Tickets) Mint(ctx context.Context, x *tokenexchange.Exchanger, client tokenexchange.Client,
	impersonator tokenexchange.Token, user string, scope tokenexchange.Scope) (tokenexchange.Response, error) {
	with := *x
	with.Decide, with.Tokens = until(impersonator.Expires, x.Decide, nil), ticketIssuer{k}
	return with.Run(ctx, GrantTicket, client, func(_ context.Context, now time.Time) (
		tokenexchange.Request, tokenexchange.Token, *tokenexchange.Token, error) {
		req := tokenexchange.Request{RequestedTokenType: k.Type, Audience: []string{client.ID}, Scope: scope}
		named := tokenexchange.Token{Type: k.Named, Kind: tokenexchange.KindUser, Name: true,
			Issuer: x.Issuer, Subject: user, Expires: now.Add(time.Minute)}
		return req, named, &impersonator, k.check(impersonator, user, scope)
	})
}

func (k *Tickets) check(impersonator tokenexchange.Token, user string, scope tokenexchange.Scope) error {
	switch {
	case k.Tokens == nil || !isOfItsOwn(k.Type) || !isOfItsOwn(k.Named) || k.Type == k.Named:
		return refuse(tokenexchange.ServerError, "I01: Tickets without Tokens, or without types of their own")
	case user == "":
		return refuse(tokenexchange.InvalidRequest, "R03: a ticket for nobody")
	case len(scope) == 0:
		return refuse(tokenexchange.InvalidScope, "R06: a ticket without scope")
	case impersonator.Actor != nil:
		return refuse(tokenexchange.InvalidRequest, "D14: the impersonator's token carries act")
	}
	return nil
}

// ticketIssuer stands before the Tokens: who would act becomes who may.
type ticketIssuer struct{ *Tickets }

// IssueToken makes a ticket of a decision that would have put the impersonator into act.
func (i ticketIssuer) IssueToken(ctx context.Context, d tokenexchange.Decision) (tokenexchange.IssuedToken, error) {
	switch {
	case d.Mode != tokenexchange.Delegate || d.Actor == nil || d.Facts.Actor == nil || d.Actor.Prior != nil || d.Type != i.Type:
		return tokenexchange.IssuedToken{}, refuse(tokenexchange.ServerError, "D09: what was decided is no ticket")
	case len(d.Audience) != 1 || d.Audience[0] != d.Client:
		return tokenexchange.IssuedToken{}, refuse(tokenexchange.ServerError, "D24: a ticket for others than the client")
	case d.IDToken || d.RefreshToken:
		return tokenexchange.IssuedToken{}, refuse(tokenexchange.InvalidScope, "D23: a further token with a ticket")
	}
	tokens := *i.Tokens
	tokens.MayAct = impersonatorOf
	d.Mode, d.Actor, d.ReplaceMayAct = tokenexchange.Impersonate, nil, true
	return tokens.IssueToken(ctx, d)
}

// impersonatorOf is the may_act of a ticket (D08): the actor as the resolver knows them, at the client.
func impersonatorOf(_ context.Context, d tokenexchange.Decision) (*tokenexchange.Actor, error) {
	actor := d.Facts.Actor
	return &tokenexchange.Actor{Issuer: actor.Issuer, Subject: actor.ID, ClientID: d.Client}, nil
}
