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
		Issuer: issuer, Resolver: w.directory(issuer), Decide: policy.Decide, Audit: audit,
		Authorizer: authorizer.Any(authorizer.Relationship(w.mayActFor), authorizer.Roles{string(administrator): {}}),
	}, audit
}

// Client is what an Exchanger is told about the client once it has been authenticated.
func (c Client) Client() tokenexchange.Client {
	return tokenexchange.Client{ID: c.ID, Audiences: c.Audiences, Public: c.Secret == "", Scope: c.Scope}
}

// directories are those of all servers that Exchanger has made, by issuer.
var directories = struct {
	sync.Mutex
	of map[string][]*tokenexchangetest.Directory
}{of: map[string][]*tokenexchangetest.Directory{}}

func (w world) directory(issuer string) *tokenexchangetest.Directory {
	d := tokenexchangetest.NewDirectory()
	for _, c := range w.Clients {
		d.Add(tokenexchange.Subject{Identity: tokenexchange.Identity{Issuer: issuer, Kind: tokenexchange.KindClient, ID: c.ID}})
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
	directories.of[issuer] = append(directories.of[issuer], d)
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

// lock locks a user on every server of the issuer until the test ends. Cases run one by one.
func (w world) lock(t *testing.T, issuer, id string) {
	for _, u := range w.Users {
		if u.ID != id {
			continue
		}
		directories.Lock()
		defer directories.Unlock()
		for _, d := range directories.of[issuer] {
			d.Disable(u.subject(issuer).Identity)
			t.Cleanup(func() { d.Add(u.subject(issuer)) })
		}
	}
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
