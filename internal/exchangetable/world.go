package exchangetable

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/actors"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

// world is what every server under test has in common. No user has the id of a client, so that a host need not know the
// kind of a token's subject.
type world struct {
	Clients []Client          `json:"clients"`
	Users   []user            `json:"users"`
	ActsFor [][2]string       `json:"acts_for"` // actor, and subject or subject@tenant
	Policy  json.RawMessage   `json:"policy"`
	Tokens  map[string]Minted `json:"tokens"`
}

type user struct {
	ID      string              `json:"id"`
	State   state               `json:"state"`
	Scope   tokenexchange.Scope `json:"scope,omitempty"`   // Subject.Scope
	Tenant  string              `json:"tenant,omitempty"`  // home organisation
	Tenants []string            `json:"tenants,omitempty"` // Subject.Tenants
}

// state is what the directory says of a user.
type state string

const (
	active        state = "active"
	locked        state = "locked"
	administrator state = "administrator" // active, and may act for users who are none
	unknown       state = "unknown"       // a token may speak of them, the directory does not
)

// Clients are those that the server under test must know.
func Clients() []Client { return usual().World.Clients }

// Exchanger returns an Exchanger of the world that lacks Verify and Tokens, which are the server's own, and the Recorder
// that is its AuditSink. issuer is the server's.
func Exchanger(issuer string) (*tokenexchange.Exchanger, *tokenexchangetest.Recorder) {
	w := usual().World
	policy, err := tokenexchange.ParsePolicy(w.Policy)
	if err != nil {
		panic(err)
	}
	audit := &tokenexchangetest.Recorder{}
	return &tokenexchange.Exchanger{
		Issuer: issuer, Subjects: w.directory(issuer), Decide: policy.Decide, Audit: audit,
		Actors: actors.Any(actors.Relationship(w.mayActFor), actors.Roles{string(administrator): {}}),
	}, audit
}

// Client is what an Exchanger is told about the client once it has been authenticated.
func (c Client) Client() tokenexchange.Client {
	return tokenexchange.Client{ID: c.ID, Audiences: c.Audiences, Public: c.Secret == "", Scope: c.Scope}
}

// lockedUsers are those that a step has locked, by id. All servers share it, since Exchanger is all
// that they know of the world; cases do not run side by side.
var lockedUsers sync.Map

// directory is the SubjectResolver of the world.
type directory struct{ *tokenexchangetest.Directory }

func (d directory) ResolveSubject(ctx context.Context, t tokenexchange.Token) (
	tokenexchange.Subject, error) {
	if _, locked := lockedUsers.Load(t.Subject); locked {
		err := fmt.Errorf("%w: %s is locked", tokenexchange.InvalidRequest, t.Subject)
		return tokenexchange.Subject{}, err
	}
	return d.Directory.ResolveSubject(ctx, t)
}

func (w world) directory(issuer string) directory {
	d := tokenexchangetest.NewDirectory()
	for _, c := range w.Clients {
		d.Add(tokenexchange.Subject{Identity: tokenexchange.Identity{Issuer: issuer, Kind: tokenexchange.KindClient, ID: c.ID}})
	}
	for _, u := range w.Users {
		s := tokenexchange.Subject{Scope: u.Scope, Tenants: u.Tenants, Privileges: []string{}}
		s.Identity = tokenexchange.Identity{
			Issuer: issuer, Kind: tokenexchange.KindUser, Tenant: u.Tenant, ID: u.ID}
		switch u.State {
		case unknown:
			continue
		case administrator:
			s.Privileges = []string{string(administrator)}
		}
		d.Add(s)
		if u.State == locked {
			d.Disable(s.Identity)
		}
	}
	return directory{d}
}

func (w world) mayActFor(_ context.Context, actor, subject tokenexchange.Identity) error {
	of := subject.ID
	if subject.Tenant != "" {
		of += "@" + subject.Tenant
	}
	if slices.Contains(w.ActsFor, [2]string{actor.ID, of}) {
		return nil
	}
	return fmt.Errorf("%w: nobody has allowed it", tokenexchange.InvalidRequest)
}
