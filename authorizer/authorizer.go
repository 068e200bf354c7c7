// Package authorizer has authorizers for an exchange (tokenexchange.ActorAuthorizer). Two tokens
// that are each valid need not belong together: an authorizer decides whether this party may act
// for that one.
//
// MayAct and InAudience decide by the subject token, Roles by the privileges of both parties,
// Relationship and Func by a function of the host. All and Any combine authorizers. The acting
// party is Facts.Actor, or the client where Facts.Actor is nil. A zero value refuses. Every
// authorizer refuses facts that do not name both parties.
//
// A refusal is a *tokenexchange.Error with the code InvalidRequest, and with a Reason and a Detail
// for the audit trail. A function of the host refuses with
// fmt.Errorf("%w: why", tokenexchange.InvalidRequest). Any other error is a failure, which is
// neither a yes nor a no.
package authorizer

import (
	"context"
	"errors"
	"slices"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/mayact"
	"github.com/go-tokenexchange/tokenexchange/internal/refusal"
)

// parties returns the acting party and the subject, or a refusal if the facts do not name both.
func parties(f tokenexchange.Facts) (actor, subject tokenexchange.Identity, err error) {
	actor, subject = f.ActingParty(), f.Subject.Identity
	for _, id := range []tokenexchange.Identity{actor, subject} {
		if id.Issuer == "" || id.Kind == "" || id.ID == "" {
			return actor, subject, refusal.New(tokenexchange.InvalidRequest, "party_missing",
				"the facts name the acting party as %s and the subject as %s (D11)",
				refusal.Party(actor), refusal.Party(subject))
		}
	}
	return actor, subject, nil
}

// errNoAuthorizer is the refusal of a nil authorizer and of an empty list.
var errNoAuthorizer = refusal.New(tokenexchange.InvalidRequest, "authorizer_missing",
	"there is no authorizer (D11)")

// Func is an authorizer that is one function. A nil Func refuses. The function is not called with
// facts that do not name both parties.
type Func func(context.Context, tokenexchange.Facts) error

// AuthorizeActor calls the function.
func (ask Func) AuthorizeActor(ctx context.Context, f tokenexchange.Facts) error {
	if ask == nil {
		return errNoAuthorizer
	}
	if _, _, err := parties(f); err != nil {
		return err
	}
	return ask(ctx, f)
}

// Relationship allows an actor if the host knows of a relationship between actor and subject: a
// person who owns an account, a company with a sub-account. The actor is the client where there is
// no actor token; the client may be public if a rule names it. Actor and subject may be the same. A
// nil Relationship refuses.
type Relationship func(ctx context.Context, actor, subject tokenexchange.Identity) error

// AuthorizeActor calls the function with the two identities.
func (ask Relationship) AuthorizeActor(ctx context.Context, f tokenexchange.Facts) error {
	if ask == nil {
		return errNoAuthorizer
	}
	actor, subject, err := parties(f)
	if err != nil {
		return err
	}
	return ask(ctx, actor, subject)
}

// All allows an actor if every authorizer of the list does. They are asked in order, and the first
// refusal or failure is returned. An empty list refuses, and so does a nil authorizer.
func All(list ...tokenexchange.ActorAuthorizer) tokenexchange.ActorAuthorizer {
	return all(slices.Clone(list))
}

type all []tokenexchange.ActorAuthorizer

func (list all) AuthorizeActor(ctx context.Context, f tokenexchange.Facts) error {
	if len(list) == 0 {
		return errNoAuthorizer
	}
	for _, a := range list {
		if err := authorize(ctx, a, f); err != nil {
			return err
		}
	}
	return nil
}

// Any allows an actor if one authorizer of the list does. They are asked in order until one allows
// the actor or fails. A failure is returned even where a later authorizer would allow the actor,
// since a directory that is down must not look like a refusal. If all of them refuse, the Err of
// the refusal has their reasons. An empty list refuses; a nil authorizer counts as a refusal.
func Any(list ...tokenexchange.ActorAuthorizer) tokenexchange.ActorAuthorizer {
	return anyOf(slices.Clone(list))
}

type anyOf []tokenexchange.ActorAuthorizer

func (list anyOf) AuthorizeActor(ctx context.Context, f tokenexchange.Facts) error {
	var reasons []error
	for _, a := range list {
		err := authorize(ctx, a, f)
		if err == nil {
			return nil
		}
		if tokenexchange.AsError(err).Code.Status() >= 500 {
			return err
		}
		reasons = append(reasons, err)
	}
	return refusal.WithCause(errors.Join(reasons...), tokenexchange.InvalidRequest,
		"no_authorizer_allows", "none of %d authorizers allows %s to act (D11)",
		len(list), refusal.Party(f.ActingParty()))
}

func authorize(ctx context.Context, a tokenexchange.ActorAuthorizer, f tokenexchange.Facts) error {
	if a == nil {
		return errNoAuthorizer
	}
	return a.AuthorizeActor(ctx, f)
}

// MayAct allows the acting party that the may_act of the subject token names (RFC 8693 §4.4). It
// refuses a subject token without may_act. A client_id in may_act must be that of the client. sub
// and iss name an actor; client_id alone names an actor that is the client itself. Without an actor
// token, client_id must name the client. Where a chain is carried on, may_act must name its current
// actor.
//
// MayAct compares iss, sub and client_id. Policy also compares further members with the claims of
// the actor token, and refuses a may_act that does not fit whatever the authorizer returns (D08,
// D09).
func MayAct() tokenexchange.ActorAuthorizer {
	return Func(func(_ context.Context, f tokenexchange.Facts) error {
		switch m := f.Subject.Token.MayAct; {
		case m == nil:
			return refusal.New(tokenexchange.InvalidRequest, "may_act_missing",
				"the subject token has no may_act (D11)")
		case !names(m, f):
			return refusal.New(tokenexchange.InvalidRequest, "may_act_other_actor",
				"may_act of the subject token is %s; it does not name %s and client %q (D11)",
				refusal.Actor(m), refusal.Party(f.ActingParty()), f.Client.ID)
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

// isClient reports whether the acting party is the client that sends the request.
func isClient(f tokenexchange.Facts) bool {
	return f.Actor == nil || f.Actor.Kind == tokenexchange.KindClient &&
		f.Actor.Issuer == f.Issuer && f.Actor.ID == f.Client.ID
}

// InAudience allows a client to act with a token that was meant for it: one of the audiences of the
// subject token, which this server must have issued, is a name of the acting client, byte for byte.
// The names of the client that sends the request are its ID and its Audiences; any other client of
// this server has only its ID. Users, workloads and actors of another issuer are refused: they have
// no name in an audience. So is a public client, which has not proved that the name is its own.
func InAudience() tokenexchange.ActorAuthorizer {
	return Func(func(_ context.Context, f tokenexchange.Facts) error {
		actor, _, _ := parties(f)
		names := []string{actor.ID}
		if isClient(f) {
			names = append(names, f.Client.Audiences...)
		}
		isName := func(audience string) bool {
			return audience != "" && slices.Contains(names, audience)
		}
		switch {
		case f.Subject.Token.Issuer != f.Issuer:
			return refusal.New(tokenexchange.InvalidRequest, "subject_token_other_issuer",
				"the subject token is from issuer %q, not from %q (D11)",
				f.Subject.Token.Issuer, f.Issuer)
		case actor.Kind != tokenexchange.KindClient || actor.Issuer != f.Issuer:
			return refusal.New(tokenexchange.InvalidRequest, "actor_not_a_client",
				"%s acts; only a client of this server has a name in an audience (D11)",
				refusal.Party(actor))
		case isClient(f) && f.Client.Public:
			return refusal.New(tokenexchange.InvalidRequest, "actor_is_public_client",
				"client %q is public, so it has not proved its names (D11)", actor.ID)
		case !slices.ContainsFunc(f.Subject.Token.Audience, isName):
			return refusal.New(tokenexchange.InvalidRequest, "actor_not_in_audience",
				"the subject token is for %q; the names of the acting client are %q (D11)",
				f.Subject.Token.Audience, names)
		}
		return nil
	})
}
