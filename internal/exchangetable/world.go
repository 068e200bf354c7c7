package exchangetable

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/actors"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

// world is what every server under test has in common. No user has the id of a client, so that a host need not know the
// kind of a token's subject.
type world struct {
	Clients []Client          `json:"clients"`
	Users   []user            `json:"users"`
	ActsFor [][2]string       `json:"acts_for"` // actor, subject; relationships that somebody has allowed
	Policy  json.RawMessage   `json:"policy"`
	Tokens  map[string]Minted `json:"tokens"`
}

type user struct {
	ID    string              `json:"id"`
	State state               `json:"state"`
	Scope tokenexchange.Scope `json:"scope,omitempty"` // Subject.Scope
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

func (w world) directory(issuer string) *tokenexchangetest.Directory {
	d := tokenexchangetest.NewDirectory()
	for _, c := range w.Clients {
		d.Add(tokenexchange.Subject{Identity: tokenexchange.Identity{Issuer: issuer, Kind: tokenexchange.KindClient, ID: c.ID}})
	}
	for _, u := range w.Users {
		s := tokenexchange.Subject{Identity: tokenexchange.Identity{Issuer: issuer, Kind: tokenexchange.KindUser, ID: u.ID},
			Scope: u.Scope, Privileges: []string{}}
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
	return d
}

func (w world) mayActFor(_ context.Context, actor, subject tokenexchange.Identity) error {
	if slices.Contains(w.ActsFor, [2]string{actor.ID, subject.ID}) {
		return nil
	}
	return fmt.Errorf("%w: nobody has allowed it", tokenexchange.InvalidRequest)
}
