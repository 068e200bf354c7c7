package server

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/authorizer"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

// refuse is a no with its reason, which goes to the audit log and not to the client. An error without a code would be a
// failure of this server.
func refuse(reason string) error { return fmt.Errorf("%w: %s", tokenexchange.InvalidRequest, reason) }

// ResolveSubject says who a verified token is about, as the directory knows them now. A token that we issued has a record
// that says whether it is about a user or a client; an actor in a chain has none, and is found by a name that is never
// given twice.
func (s *Server) ResolveSubject(_ context.Context, tok tokenexchange.Token) (tokenexchange.Subject, error) {
	id, kind := tok.Subject, tok.Kind
	_, isClient := s.Directory.Client(tok.Subject)
	switch {
	case tok.Issuer == s.Issuer && tok.Type == "" && isClient:
		kind = tokenexchange.KindClient
	case tok.Issuer == s.Issuer && tok.Type == "":
		kind = tokenexchange.KindUser
	case tok.Issuer != s.Issuer && !tok.ByClient:
		id, kind = s.links[account{tok.Issuer, tok.Subject}], tokenexchange.KindUser
	}
	switch kind {
	case tokenexchange.KindUser:
		return s.resolveUser(id, tok)
	case tokenexchange.KindClient:
		return s.resolveClient(id)
	}
	return tokenexchange.Subject{}, refuse("a token that does not say whether it is about a user or a client")
}

func (s *Server) resolveUser(id string, tok tokenexchange.Token) (tokenexchange.Subject, error) {
	u, known := s.Directory.User(id)
	if !known || !u.Status.Enabled() {
		return tokenexchange.Subject{}, refuse("an unknown user, or one who is locked or disabled")
	}
	subject := tokenexchange.Subject{
		Identity:   tokenexchange.Identity{Issuer: s.Issuer, Kind: tokenexchange.KindUser, Tenant: u.Organization, ID: u.ID},
		Privileges: s.privileges(u),
		Scope:      u.Scope,
		Tenants:    append([]string{u.Organization}, u.Organizations...),
	}
	if tok.Issuer == s.Issuer && !tok.AuthTime.IsZero() {
		subject.Until = tok.AuthTime.Add(s.session)
	}
	return subject, nil
}

// privileges are those of a user's roles that mean something for acting for others. Known to be none is not nil.
func (s *Server) privileges(u world.User) []string {
	list := []string{}
	for _, name := range u.Roles {
		if r := s.roles[name]; r.Administrator || r.Impersonates != nil {
			list = append(list, name)
		}
	}
	return list
}

func (s *Server) resolveClient(id string) (tokenexchange.Subject, error) {
	c, known := s.Directory.Client(id)
	if !known || !c.Status.Enabled() {
		return tokenexchange.Subject{}, refuse("an unknown client, or a disabled one")
	}
	return tokenexchange.Subject{
		Identity: tokenexchange.Identity{Issuer: s.Issuer, Kind: tokenexchange.KindClient, ID: c.ID},
		Scope:    c.Registered().Scope,
	}, nil
}

// authorizer says who may act for whom, in addition to the policy. One yes is enough, and none of the five can be had by
// asking for it: the subject's own token names the actor, the actor's role reaches the subject, the subject is an account of
// the actor, the subject's token was sent to the service that wants to act, or nobody acts who did not act already, or who is not registered for this user.
// Some clients must also say why.
func (s *Server) authorizer(w *world.World) tokenexchange.ActorAuthorizer {
	roles := authorizer.Roles{}
	for name, r := range w.Roles {
		if r.Impersonates != nil {
			roles[name] = authorizer.Reach{Administrators: r.Impersonates.Administrators, AnyTenant: r.Impersonates.AnyOrganization}
		}
	}
	usual := authorizer.Any(authorizer.MayAct(), roles, authorizer.Func(s.related), authorizer.InAudience(), authorizer.Func(s.noNewPower))
	return authorizer.All(authorizer.Func(s.reasonStated), authorizer.Func(func(ctx context.Context, f tokenexchange.Facts) error {
		if f.Subject.Token.Type == world.TypeTicket {
			return roles.AuthorizeActor(ctx, f) // its may_act says whose ticket it is; a role can be lost meanwhile
		}
		return usual.AuthorizeActor(ctx, f)
	}))
}

// noNewPower says yes where the world has registered the client for the user, and where nobodyNew does.
func (s *Server) noNewPower(ctx context.Context, f tokenexchange.Facts) error {
	if s.speaksFor(f) {
		return nil
	}
	return nobodyNew(ctx, f)
}

// nobodyNew says yes where an exchange adds no power over anybody: a login or a client's own token, a token of the client
// itself, the token of a linked account, a service that goes on acting. A person who goes on acting is asked for by role.
func nobodyNew(_ context.Context, f tokenexchange.Facts) error {
	tok := f.Subject.Token
	switch {
	case isOwnDoor(tok):
		return nil
	case f.Actor == nil && tok.Issuer == f.Issuer && tok.ClientID == f.Client.ID:
		return nil
	case f.Actor == nil && tok.Issuer != f.Issuer && !tok.ByClient && f.Subject.Issuer == f.Issuer:
		return nil // the user has linked the account, and a rule names client and issuer
	case f.Actor != nil && f.Actor.Token.Type == "" && f.Actor.Kind == tokenexchange.KindClient:
		return nil // no actor token: the current actor of a chain that the policy lets be carried on
	}
	return refuse("somebody new would act")
}

// addClaims is the hook of the JWTIssuer: who somebody is, in ID tokens and as far as the scope goes, and their
// organisation, which an exchange may have changed.
func (s *Server) addClaims(_ context.Context, d tokenexchange.Decision, claims map[string]any) error {
	if d.Subject.Tenant != "" && d.Type != world.TypeTicket {
		claims["tenant"] = d.Subject.Tenant
	}
	u, known := s.Directory.User(d.Subject.ID)
	if d.Type != tokenexchange.TypeIDToken || d.Subject.Kind != tokenexchange.KindUser || !known {
		return nil
	}
	if slices.Contains(d.Scope, "profile") {
		claims["name"], claims["preferred_username"] = u.Name, u.ID
	}
	if slices.Contains(d.Scope, "email") && u.Email != "" {
		claims["email"] = u.Email
	}
	return nil
}

// sayMayAct says who may act with a token that is about to be issued: what the world says for the client at a login, and
// for the rule after an exchange. A may_act of the subject token stays with the new token until
// an actor acts; sayMayAct is asked where none stays, or where the rule has replace_may_act.
func (s *Server) sayMayAct(_ context.Context, d tokenexchange.Decision) (*tokenexchange.Actor, error) {
	named, there := s.mayAct[d.Rule]
	if isOwnDoor(d.Facts.Subject.Token) {
		c, known := s.Directory.Client(d.Client)
		if there = known && c.MayAct != nil; there {
			named = *c.MayAct
		}
	}
	if !there {
		return nil, nil
	}
	return &tokenexchange.Actor{Issuer: named.Issuer, Subject: named.Subject, ClientID: named.ClientID}, nil
}

// clock is the time of this server.
func (s *Server) clock() time.Time {
	if s.now == nil {
		return time.Now()
	}
	return s.now()
}
