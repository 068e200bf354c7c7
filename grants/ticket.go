package grants

import (
	"context"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/refusal"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// Tickets mints subject tokens for impersonators: short-lived JWTs about a user whose may_act names
// the impersonator and the client (RFC 8693 §4.4). A ticket can be exchanged once, by that client,
// with a token of that impersonator as the actor token (D08, D09). The policy decides twice what
// the impersonator may do: before a ticket is minted, and when it is exchanged.
//
// Type must be in JWTIssuer.Types of the Tokens, and under the same typ in Trust.Types of the
// verifier that verifies tickets at the exchange. Package tokenstore marks a ticket as used in the
// write that records the token it was exchanged for. The zero Tickets refuses.
type Tickets struct {
	Tokens *tokenstore.Tokens      // signs and records tickets; its MayAct is not called
	Type   tokenexchange.TokenType // of a ticket, when it is minted and when it is exchanged

	// Named is the type of the user's name in the decision about a ticket. Clients cannot present a
	// token of this type. A rule that mints tickets has mode delegate, Named in SubjectTypes,
	// OtherTokens, Type in Types, the id of the client in Targets, and the lifetime of a ticket.
	Named tokenexchange.TokenType
}

// Mint runs an exchange of x that decides whether the impersonator may act for the user, and
// returns the ticket in Response.AccessToken. Only the client can exchange the ticket. The
// impersonator is a verified token of a person whom the host has authenticated, such as their
// session. The ticket is made from that token and expires with it. A token that carries act is
// refused, since a ticket cannot state prior actors (D14).
//
// scope is the most that the exchange can grant. It is not narrowed: Mint refuses a scope that the
// user, the client or the rule does not have. The scope of the impersonator does not matter. An
// empty scope is refused, and so are openid and offline_access, which request further tokens. The
// error is an *Error as from Exchange; every outcome is audited.
func (k *Tickets) Mint(ctx context.Context, x *tokenexchange.Exchanger,
	client tokenexchange.Client, impersonator tokenexchange.Token, user string,
	scope tokenexchange.Scope) (tokenexchange.Response, error) {
	minting := *x
	minting.Decide = limitExpiry(impersonator.Expires, x.Decide, nil)
	minting.TokenIssuer = ticketIssuer{k}
	return minting.Run(ctx, GrantTicket, client, func(_ context.Context, now time.Time) (
		tokenexchange.Request, tokenexchange.Token, *tokenexchange.Token, error) {
		req := tokenexchange.Request{
			RequestedTokenType: k.Type, Audience: []string{client.ID}, Scope: scope,
		}
		named := tokenexchange.Token{
			Type: k.Named, Kind: tokenexchange.KindUser, Name: true,
			Issuer: x.Issuer, Subject: user, Expires: now.Add(time.Minute),
		}
		return req, named, &impersonator, k.check(impersonator, user, scope)
	})
}

func (k *Tickets) check(impersonator tokenexchange.Token, user string,
	scope tokenexchange.Scope) error {
	switch {
	case k.Tokens == nil || !isOwnType(k.Type) || !isOwnType(k.Named) || k.Type == k.Named:
		return refusal.New(tokenexchange.ServerError, "tickets_incomplete",
			"Tickets needs Tokens, and two token types of its own; they are %q and %q (I01)",
			k.Type, k.Named)
	case user == "":
		return refusal.New(tokenexchange.InvalidRequest, "ticket_without_user",
			"the ticket would name no user (R03)")
	case len(scope) == 0:
		return refusal.New(tokenexchange.InvalidScope, "ticket_without_scope",
			"the ticket for user %q would have no scope (R06)", user)
	case impersonator.Actor != nil:
		return refusal.New(tokenexchange.InvalidRequest, "impersonator_has_act",
			"the token of the impersonator has act %s (D14)", refusal.Actor(impersonator.Actor))
	}
	return nil
}

// ticketIssuer turns a decision that the impersonator acts into a ticket that the impersonator may
// act.
type ticketIssuer struct{ *Tickets }

// IssueToken implements tokenexchange.TokenIssuer.
func (i ticketIssuer) IssueToken(ctx context.Context, d tokenexchange.Decision) (
	tokenexchange.IssuedToken, error) {
	switch {
	case d.Mode != tokenexchange.Delegate || d.Type != i.Type || d.Facts.Actor == nil ||
		d.Actor == nil || d.Actor.Prior != nil:
		return tokenexchange.IssuedToken{}, refusal.New(tokenexchange.ServerError,
			"ticket_other_decision", "the decision is for mode %q and type %q with act %s, "+
				"not for a ticket of type %q with one actor (D09)",
			d.Mode, d.Type, refusal.Actor(d.Actor), i.Type)
	case len(d.Audience) != 1 || d.Audience[0] != d.Client:
		return tokenexchange.IssuedToken{}, refusal.New(tokenexchange.ServerError,
			"ticket_other_audience", "the ticket would be for %q, not for client %q alone (D24)",
			d.Audience, d.Client)
	case d.IDToken || d.RefreshToken:
		return tokenexchange.IssuedToken{}, refusal.New(tokenexchange.InvalidScope,
			"ticket_further_tokens",
			"the scope %q asks for an ID token or a refresh token beside the ticket (D23)", d.Scope)
	}
	tokens := *i.Tokens
	tokens.MayAct = mayActImpersonator
	d.Mode, d.Actor, d.ReplaceMayAct = tokenexchange.Impersonate, nil, true
	return tokens.IssueToken(ctx, d)
}

// mayActImpersonator returns the may_act of a ticket: the actor as the SubjectResolver identified
// them, at the client (D08).
func mayActImpersonator(_ context.Context, d tokenexchange.Decision) (*tokenexchange.Actor, error) {
	actor := d.Facts.Actor
	return &tokenexchange.Actor{
		Issuer: actor.Issuer, Subject: actor.ID, ClientID: d.Client,
	}, nil
}
