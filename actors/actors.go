// Package actors has ready-made answers to the question that an exchange asks a tokenexchange.ActorAuthorizer: two tokens
// that are each valid need not belong together, so who says that this party may act for that one (D11)?
//
// MayAct and InAudience take the answer from the subject token, Roles from the privileges of both people, Relationship
// and Func from the host; All and Any combine them. The acting party is Facts.Actor, or, where that is nil, the client.
// A zero value refuses, and so does everything here where the facts do not say who would act for whom.
//
// A refusal is a *tokenexchange.Error with the code InvalidRequest and a Reason for the audit trail. A host's own function
// says no with fmt.Errorf("%w: why", tokenexchange.InvalidRequest); any other error is a failure, and no answer.
package actors

import (
	"context"
	"errors"
	"slices"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/mayact"
)

// refuse is a no. The reason is a constant of this package, never input.
func refuse(reason string) error {
	return &tokenexchange.Error{Code: tokenexchange.InvalidRequest, Reason: "D11: " + reason}
}

// parties says who would act for whom.
func parties(f tokenexchange.Facts) (actor, subject tokenexchange.Identity, err error) {
	actor, subject = f.ActingParty(), f.Subject.Identity
	for _, id := range []tokenexchange.Identity{actor, subject} {
		if id.Issuer == "" || id.Kind == "" || id.ID == "" {
			return actor, subject, refuse("the facts do not say who acts for whom")
		}
	}
	return actor, subject, nil
}

// Func is an authorizer that is one function. A nil Func refuses, and facts that do not say who would act for whom are
// refused without asking it.
type Func func(context.Context, tokenexchange.Facts) error

// AuthorizeActor calls the function.
func (ask Func) AuthorizeActor(ctx context.Context, f tokenexchange.Facts) error {
	if ask == nil {
		return refuse("nobody to ask")
	}
	if _, _, err := parties(f); err != nil {
		return err
	}
	return ask(ctx, f)
}

// Relationship says yes where the host knows of one between two people or programs: an account and its owner, a company
// and its sub-account. The first identity is the acting party, the second the subject; the first is the client where there
// is no actor token, and both may be the same. The client may be a public one, if a rule names it. A nil Relationship
// refuses.
type Relationship func(ctx context.Context, actor, subject tokenexchange.Identity) error

// AuthorizeActor calls the function with the two identities.
func (ask Relationship) AuthorizeActor(ctx context.Context, f tokenexchange.Facts) error {
	if ask == nil {
		return refuse("nobody to ask")
	}
	actor, subject, err := parties(f)
	if err != nil {
		return err
	}
	return ask(ctx, actor, subject)
}

// All says yes where every one of the list does. They are asked in order, and the first no or failure is the answer. An
// empty list refuses, and so does a nil in it.
func All(list ...tokenexchange.ActorAuthorizer) tokenexchange.ActorAuthorizer {
	return all(slices.Clone(list))
}

type all []tokenexchange.ActorAuthorizer

func (list all) AuthorizeActor(ctx context.Context, f tokenexchange.Facts) error {
	if len(list) == 0 {
		return refuse("nobody to ask")
	}
	for _, a := range list {
		if err := answer(ctx, a, f); err != nil {
			return err
		}
	}
	return nil
}

// Any says yes where one of the list does. They are asked in order until one says yes or fails: only a refusal is passed
// over. A failure is the answer, whoever might have said yes after it, since a directory that is down must not look like
// a no. Where all refuse, their reasons are in the Err of the refusal. An empty list refuses, and a nil in it is a refusal.
func Any(list ...tokenexchange.ActorAuthorizer) tokenexchange.ActorAuthorizer {
	return anyOf(slices.Clone(list))
}

type anyOf []tokenexchange.ActorAuthorizer

func (list anyOf) AuthorizeActor(ctx context.Context, f tokenexchange.Facts) error {
	var reasons []error
	for _, a := range list {
		err := answer(ctx, a, f)
		if err == nil {
			return nil
		}
		if tokenexchange.AsError(err).Code.Status() >= 500 {
			return err
		}
		reasons = append(reasons, err)
	}
	return &tokenexchange.Error{Code: tokenexchange.InvalidRequest, Reason: "D11: nobody says yes", Err: errors.Join(reasons...)}
}

func answer(ctx context.Context, a tokenexchange.ActorAuthorizer, f tokenexchange.Facts) error {
	if a == nil {
		return refuse("nobody to ask")
	}
	return a.AuthorizeActor(ctx, f)
}

// MayAct says yes where the subject token's may_act (RFC 8693 §4.4) names the acting party; without one it refuses. The
// client must be the one that may_act names, if it names one. An actor is named by sub and iss; one that is the client,
// also by client_id alone. Where there is no actor token, client_id must name the client. Where a chain is carried on, it is
// its current actor who must be named.
//
// It compares iss, sub and client_id. Policy compares further members with the actor token's claims, and refuses a may_act
// that does not fit whatever is said here (D08, D09).
func MayAct() tokenexchange.ActorAuthorizer {
	return Func(func(_ context.Context, f tokenexchange.Facts) error {
		switch m := f.Subject.Token.MayAct; {
		case m == nil:
			return refuse("the subject token has no may_act")
		case !names(m, f):
			return refuse("may_act does not name the acting party")
		}
		return nil
	})
}

func names(m *tokenexchange.Actor, f tokenexchange.Facts) bool {
	if f.Actor == nil {
		return m.ClientID != "" && m.ClientID == f.Client.ID
	}
	claim := mayact.Claim{Issuer: m.Issuer, Subject: m.Subject, ClientID: m.ClientID,
		TokenIssuer: f.Subject.Token.Issuer}
	return claim.Names(mayact.Actor{
		Resolved:    mayact.Name{Issuer: f.Actor.Issuer, Subject: f.Actor.ID},
		Token:       mayact.Name{Issuer: f.Actor.Token.Issuer, Subject: f.Actor.Token.Subject},
		IsClient:    f.Actor.Kind == tokenexchange.KindClient,
		IsRequester: isClient(f),
	}, f.Client.ID)
}

// isClient reports whether the acting party is the client of the request.
func isClient(f tokenexchange.Facts) bool {
	return f.Actor == nil || f.Actor.Kind == tokenexchange.KindClient && f.Actor.Issuer == f.Issuer && f.Actor.ID == f.Client.ID
}

// InAudience says yes where the subject token is this server's own and was meant for the acting party: one of its
// audiences is a name of that party, byte for byte. The names of the client of the request are its ID and its Audiences;
// of any other client of this server only its ID is known. Nobody else has a name in an audience: no user, no workload, no
// actor of another issuer, and the client to which an actor token was issued is not the actor. A public client as the
// acting party is refused, since it has not proved that the name is its own.
func InAudience() tokenexchange.ActorAuthorizer {
	return Func(func(_ context.Context, f tokenexchange.Facts) error {
		actor, _, _ := parties(f)
		known := []string{actor.ID}
		if isClient(f) {
			known = append(known, f.Client.Audiences...)
		}
		tok := f.Subject.Token
		switch {
		case tok.Issuer != f.Issuer:
			return refuse("the subject token is of another issuer")
		case actor.Kind != tokenexchange.KindClient || actor.Issuer != f.Issuer:
			return refuse("the acting party is no client of this server")
		case isClient(f) && f.Client.Public:
			return refuse("the acting party is a public client")
		case !slices.ContainsFunc(tok.Audience, func(a string) bool { return a != "" && slices.Contains(known, a) }):
			return refuse("the acting party is not in the subject token's audience")
		}
		return nil
	})
}
