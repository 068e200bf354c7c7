package exchangetable

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/authorizer"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

// world is the set of parties, tokens and rules that all servers under test share. No user has the
// id of a client, so a host need not know the kind of a subject.
type world struct {
	Clients []Client          `json:"clients"`
	Users   []user            `json:"users"`
	ActsFor [][2]string       `json:"acts_for"` // pairs of actor and subject, or subject@tenant
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

// state is the state of a user in the directory.
type state string

const (
	active        state = "active"
	locked        state = "locked"
	administrator state = "administrator" // active, and may act for all users but administrators
	unknown       state = "unknown"       // named by a token, but not in the directory
)

// Clients returns the clients that the server under test must register.
func Clients() []Client { return builtIn().World.Clients }

// Exchanger returns an Exchanger for the server with this issuer, and the Recorder that is its
// AuditSink. The caller sets Verify and Tokens.
func Exchanger(issuer string) (*tokenexchange.Exchanger, *tokenexchangetest.Recorder) {
	w := builtIn().World
	policy, err := tokenexchange.ParsePolicy(w.Policy)
	if err != nil {
		panic(err)
	}
	audit := &tokenexchangetest.Recorder{}
	return &tokenexchange.Exchanger{
		Issuer: issuer, Resolver: w.directory(issuer), Decide: policy.Decide, Audit: audit,
		Authorizer: authorizer.Any(
			authorizer.Relationship(w.authorize), authorizer.Roles{string(administrator): {}}),
	}, audit
}

// Client returns the authenticated client for an Exchanger.
func (c Client) Client() tokenexchange.Client {
	return tokenexchange.Client{
		ID: c.ID, Audiences: c.Audiences, Public: c.Secret == "", Scope: c.Scope,
	}
}

// directories are the directories of all servers, so that a case can lock a user.
var directories = struct {
	sync.Mutex
	byIssuer map[string][]*tokenexchangetest.Directory
}{byIssuer: map[string][]*tokenexchangetest.Directory{}}

func (w world) directory(issuer string) *tokenexchangetest.Directory {
	d := tokenexchangetest.NewDirectory()
	for _, c := range w.Clients {
		d.Add(tokenexchange.Subject{Identity: tokenexchange.Identity{
			Issuer: issuer, Kind: tokenexchange.KindClient, ID: c.ID,
		}})
	}
	for _, u := range w.Users {
		if u.State == unknown {
			continue
		}
		s := u.subject(issuer)
		d.Add(s)
		if u.State == locked {
			d.Disable(s.Identity)
		}
	}
	directories.Lock()
	defer directories.Unlock()
	directories.byIssuer[issuer] = append(directories.byIssuer[issuer], d)
	return d
}

func (u user) subject(issuer string) tokenexchange.Subject {
	s := tokenexchange.Subject{Scope: u.Scope, Tenants: u.Tenants, Privileges: []string{}}
	s.Identity = tokenexchange.Identity{
		Issuer: issuer, Kind: tokenexchange.KindUser, Tenant: u.Tenant, ID: u.ID}
	if u.State == administrator {
		s.Privileges = []string{string(administrator)}
	}
	return s
}

// lock locks a user on every server of the issuer until the test ends. Cases do not run in
// parallel.
func (w world) lock(t *testing.T, issuer, id string) {
	for _, u := range w.Users {
		if u.ID != id {
			continue
		}
		directories.Lock()
		defer directories.Unlock()
		for _, d := range directories.byIssuer[issuer] {
			d.Disable(u.subject(issuer).Identity)
			t.Cleanup(func() { d.Add(u.subject(issuer)) })
		}
	}
}

// authorize allows the pairs of ActsFor.
func (w world) authorize(_ context.Context, actor, subject tokenexchange.Identity) error {
	name := subject.ID
	if subject.Tenant != "" {
		name += "@" + subject.Tenant
	}
	if slices.Contains(w.ActsFor, [2]string{actor.ID, name}) {
		return nil
	}
	return fmt.Errorf("%w: acts_for does not have %q for %q", tokenexchange.InvalidRequest,
		actor.ID, name)
}
