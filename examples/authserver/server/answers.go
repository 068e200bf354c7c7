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

// refuse returns a refusal. Its reason goes to the audit log and not to the client. An error
// without a code would be a failure of this server.
func refuse(reason string) error {
	return fmt.Errorf("%w: %s", tokenexchange.InvalidRequest, reason)
}

// ResolveSubject returns the user or client that a verified token is about, as the directory has
// them now. The record of a token that we issued says whether it is about a user or a client. An
// actor in a chain has no record and is found by its name, since users and clients never share a
// name.
func (s *Server) ResolveSubject(_ context.Context, tok tokenexchange.Token) (
	tokenexchange.Subject, error) {
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
	return tokenexchange.Subject{},
		refuse("the token does not say whether it is about a user or a client")
}

func (s *Server) resolveUser(id string, tok tokenexchange.Token) (tokenexchange.Subject, error) {
	u, known := s.Directory.User(id)
	if !known || !u.Status.Enabled() {
		return tokenexchange.Subject{}, refuse("the user is unknown, locked or disabled")
	}
	subject := tokenexchange.Subject{
		Identity: tokenexchange.Identity{Issuer: s.Issuer, Kind: tokenexchange.KindUser,
			Tenant: u.Organization, ID: u.ID},
		Privileges: s.privileges(u),
		Scope:      u.Scope,
		Tenants:    append([]string{u.Organization}, u.Organizations...),
	}
	if tok.Issuer == s.Issuer && !tok.AuthTime.IsZero() {
		subject.Until = tok.AuthTime.Add(s.session)
	}
	return subject, nil
}

// privileges returns the roles of a user that mean something for acting for others. An empty list,
// unlike nil, means that there are none.
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
		return tokenexchange.Subject{}, refuse("the client is unknown or disabled")
	}
	return tokenexchange.Subject{
		Identity: tokenexchange.Identity{Issuer: s.Issuer, Kind: tokenexchange.KindClient,
			ID: c.ID},
		Scope: c.Registered().Scope,
	}, nil
}

// authorizer says which actor may act for a subject, in addition to the policy. One of five
// authorizers is enough: the subject's token names the actor in may_act, the actor's role reaches
// the subject, the subject is an account of the actor, the subject's token was sent to the service
// that wants to act, or the exchange adds no power over a user. None of them depends on what the
// request says. For some clients the request must also state a reason.
func (s *Server) authorizer(w *world.World) tokenexchange.ActorAuthorizer {
	roles := authorizer.Roles{}
	for name, r := range w.Roles {
		if r.Impersonates != nil {
			roles[name] = authorizer.Reach{Administrators: r.Impersonates.Administrators,
				AnyTenant: r.Impersonates.AnyOrganization}
		}
	}
	usual := authorizer.Any(authorizer.MayAct(), roles, authorizer.Func(s.ownsAccount),
		authorizer.InAudience(), authorizer.Func(s.addsNoPower))
	return authorizer.All(authorizer.Func(s.reasonStated),
		authorizer.Func(func(ctx context.Context, f tokenexchange.Facts) error {
			if f.Subject.Token.Type == world.TypeTicket {
				// its may_act names the actor; the role may be lost by now
				return roles.AuthorizeActor(ctx, f)
			}
			return usual.AuthorizeActor(ctx, f)
		}))
}

// addsNoPower allows a client that the world has registered for the user, and what addsNoActor
// allows.
func (s *Server) addsNoPower(ctx context.Context, f tokenexchange.Facts) error {
	if s.registeredFor(f) {
		return nil
	}
	return addsNoActor(ctx, f)
}

// addsNoActor allows an exchange that gives no party new power over a user: a login, a client's own
// token, a token that was issued to the client, the token of a linked account, and a service that
// continues to act. A person who continues to act needs the role again.
func addsNoActor(_ context.Context, f tokenexchange.Facts) error {
	tok := f.Subject.Token
	switch {
	case isOwn(tok):
		return nil
	case f.Actor == nil && tok.Issuer == f.Issuer && tok.ClientID == f.Client.ID:
		return nil
	case f.Actor == nil && tok.Issuer != f.Issuer && !tok.ByClient && f.Subject.Issuer == f.Issuer:
		return nil // the user has linked the account, and a rule names client and issuer
	case f.Actor != nil && f.Actor.Token.Type == "" && f.Actor.Kind == tokenexchange.KindClient:
		// no actor token: the current actor of a chain that the policy lets the client carry
		return nil
	}
	return refuse("the exchange would give a party new power over the subject")
}

// addClaims is the claims hook of the JWTIssuer. It adds the organization, which an exchange may
// have changed, and to ID tokens the profile of the user, as far as the scope goes.
func (s *Server) addClaims(_ context.Context, d tokenexchange.Decision,
	claims map[string]any) error {
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

// nextMayAct returns who may act with a token that is about to be issued: for a login the may_act
// of its client, and after an exchange the may_act of its rule. It is not called while the new
// token keeps the may_act of the subject token, unless the rule has replace_may_act.
func (s *Server) nextMayAct(_ context.Context, d tokenexchange.Decision) (
	*tokenexchange.Actor, error) {
	named, there := s.mayAct[d.Rule]
	if isOwn(d.Facts.Subject.Token) {
		c, known := s.Directory.Client(d.Client)
		if there = known && c.MayAct != nil; there {
			named = *c.MayAct
		}
	}
	if !there {
		return nil, nil
	}
	return &tokenexchange.Actor{Issuer: named.Issuer, Subject: named.Subject,
		ClientID: named.ClientID}, nil
}

// clock is the time of this server.
func (s *Server) clock() time.Time {
	if s.now == nil {
		return time.Now()
	}
	return s.now()
}
