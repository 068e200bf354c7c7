package authorizer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/authorizer"
)

const (
	own     = "https://as.example"
	foreign = "https://other.example"
)

var errDown = errors.New("dial tcp: directory is down")

func yes(context.Context, tx.Facts) error  { return nil }
func no(context.Context, tx.Facts) error   { return fmt.Errorf("%w: not today", tx.InvalidRequest) }
func down(context.Context, tx.Facts) error { return errDown }

// facts are complete: client svc, with the actor token of the user ann, for the user bob.
func facts(change ...func(*tx.Facts)) tx.Facts {
	now := time.Unix(1_700_000_000, 0).UTC()
	f := tx.Facts{
		Grant:  tx.GrantType,
		Issuer: own,
		Client: tx.Client{ID: "svc", Audiences: []string{"https://svc.example"},
			Scope: tx.Scope{"read"}},
		Subject: tx.Subject{
			Identity:   tx.Identity{Issuer: own, Kind: tx.KindUser, Tenant: "acme", ID: "bob"},
			Privileges: []string{},
			Token: tx.Token{Type: tx.TypeAccessToken, Issuer: own, Subject: "bob", ClientID: "svc",
				Scope:    tx.Scope{"read"},
				Audience: []string{"https://api.example"}, Expires: now.Add(time.Hour)},
		},
		Actor: &tx.Subject{
			Identity:   tx.Identity{Issuer: own, Kind: tx.KindUser, Tenant: "acme", ID: "ann"},
			Privileges: []string{},
			Token: tx.Token{Type: tx.TypeAccessToken, Issuer: own, Subject: "ann", ClientID: "svc",
				Scope:    tx.Scope{"read"},
				Audience: []string{"https://api.example"}, Expires: now.Add(time.Hour)},
		},
		Now: now,
	}
	for _, c := range change {
		c(&f)
	}
	return f
}

func actor(kind tx.Kind, issuer, id string) func(*tx.Facts) {
	return func(f *tx.Facts) {
		f.Actor.Issuer, f.Actor.Kind, f.Actor.ID = issuer, kind, id
		f.Actor.Token.Issuer, f.Actor.Token.Subject = issuer, id
	}
}

func noActor(f *tx.Facts)       { f.Actor = nil }
func carried(f *tx.Facts)       { f.Actor.Token.Type = "" }
func publicClient(f *tx.Facts)  { f.Client.Public = true }
func emptyActor(f *tx.Facts)    { f.Actor = &tx.Subject{} }
func nobodyActor(f *tx.Facts)   { f.Actor.Identity = tx.Identity{} }
func nobodySubject(f *tx.Facts) { f.Subject.Identity = tx.Identity{} }

func mayAct(m tx.Actor) func(*tx.Facts) {
	return func(f *tx.Facts) { f.Subject.Token.MayAct = &m }
}

func audience(names ...string) func(*tx.Facts) {
	return func(f *tx.Facts) { f.Subject.Token.Audience = names }
}

// refuses asserts a refusal for the reason, which the audit trail will have.
func refuses(t *testing.T, err error, reason string) {
	t.Helper()
	require.Error(t, err)
	require.ErrorIs(t, err, tx.InvalidRequest)
	e := tx.AsError(err)
	assert.Equal(t, tx.InvalidRequest, e.Code)
	assert.Equal(t, reason, e.Reason)
	assert.Contains(t, e.Detail, "(D11)")
}

func TestI01_ZeroFactsAndZeroValuesAreRefused(t *testing.T) {
	shipped := map[string]tx.ActorAuthorizer{
		"Func": authorizer.Func(yes),
		"Relationship": authorizer.Relationship(
			func(context.Context, tx.Identity, tx.Identity) error { return nil }),
		"All":        authorizer.All(authorizer.Func(yes)),
		"Any":        authorizer.Any(authorizer.Func(yes)),
		"MayAct":     authorizer.MayAct(),
		"InAudience": authorizer.InAudience(),
		"Roles":      authorizer.Roles{"support": {AnyTenant: true}},
	}
	for name, a := range shipped {
		t.Run(name, func(t *testing.T) {
			for what, f := range map[string]tx.Facts{
				"zero":       {},
				"zero actor": {Actor: &tx.Subject{}},
				"may_act without issuer": {
					Subject: tx.Subject{
						Token: tx.Token{MayAct: &tx.Actor{}, Audience: []string{""}}},
					Actor: &tx.Subject{}},
				"no actor": facts(emptyActor, roles("support"), mayAct(tx.Actor{}),
					audience("")),
				"no actor, token": facts(nobodyActor, roles("support"),
					mayAct(tx.Actor{Issuer: own, Subject: "ann"}), audience("ann")),
				"no subject": facts(nobodySubject, roles("support"),
					actor(tx.KindClient, own, "svc"), mayAct(tx.Actor{ClientID: "svc"}),
					audience("svc")),
				"no client": facts(noActor, mayAct(tx.Actor{}), audience(""),
					func(f *tx.Facts) { f.Client = tx.Client{} }),
			} {
				err := a.AuthorizeActor(t.Context(), f)
				require.ErrorIs(t, err, tx.InvalidRequest, what)
				assert.Less(t, tx.AsError(err).Code.Status(), 500, what)
			}
		})
	}
	for what, id := range map[string]tx.Identity{
		"no issuer": {Kind: tx.KindUser, ID: "ann"}, "no kind": {Issuer: own, ID: "ann"},
		"no id": {Issuer: own, Kind: tx.KindUser},
	} {
		t.Run(what, func(t *testing.T) {
			for name, a := range shipped {
				for _, f := range []tx.Facts{
					facts(roles("support"), mayAct(tx.Actor{Issuer: own, Subject: "ann"}),
						func(f *tx.Facts) { f.Actor.Identity = id }),
					facts(roles("support"), mayAct(tx.Actor{Issuer: own, Subject: "ann"}),
						func(f *tx.Facts) { f.Subject.Identity = id }),
				} {
					assert.ErrorContains(t, a.AuthorizeActor(t.Context(), f), "party_missing", name)
				}
			}
		})
	}
	for name, a := range map[string]tx.ActorAuthorizer{
		"Func":         authorizer.Func(nil),
		"Relationship": authorizer.Relationship(nil),
		"All":          authorizer.All(),
		"All, nil":     authorizer.All(authorizer.Func(yes), nil),
		"All, Func":    authorizer.All(authorizer.Func(nil), authorizer.Func(yes)),
	} {
		t.Run("empty identities in "+name, func(t *testing.T) {
			refuses(t, a.AuthorizeActor(t.Context(), facts()), "authorizer_missing")
		})
	}
	for name, a := range map[string]tx.ActorAuthorizer{
		"empty": authorizer.Any(), "nil": authorizer.Any(nil, authorizer.Func(nil)),
	} {
		t.Run("empty identities in Any, "+name, func(t *testing.T) {
			refuses(t, a.AuthorizeActor(t.Context(), facts()), "no_authorizer_allows")
		})
	}
	for name, a := range map[string]authorizer.Roles{"nil": nil, "empty": {}} {
		t.Run("empty identities in Roles, "+name, func(t *testing.T) {
			refuses(t, a.AuthorizeActor(t.Context(), facts()), "actor_without_role")
		})
	}
}

func TestD11_FuncIsAskedOnceWithTheFacts(t *testing.T) {
	var got []tx.Facts
	a := authorizer.Func(
		func(_ context.Context, f tx.Facts) error { got = append(got, f); return nil })
	require.NoError(t, a.AuthorizeActor(t.Context(), facts()))
	require.NoError(t, a.AuthorizeActor(t.Context(), facts(noActor)))
	assert.Equal(t, []tx.Facts{facts(), facts(noActor)}, got)
}

func TestD11_AllNeedsEveryYes(t *testing.T) {
	for name, c := range map[string]struct {
		list []tx.ActorAuthorizer
		want error // nil is yes
	}{
		"one": {[]tx.ActorAuthorizer{authorizer.Func(yes)}, nil},
		"two": {[]tx.ActorAuthorizer{authorizer.Func(yes), authorizer.Func(yes)}, nil},
		"first no": {[]tx.ActorAuthorizer{authorizer.Func(no), authorizer.Func(down)},
			tx.InvalidRequest},
		"last no": {[]tx.ActorAuthorizer{authorizer.Func(yes), authorizer.Func(no)},
			tx.InvalidRequest},
		"failure": {
			[]tx.ActorAuthorizer{authorizer.Func(yes), authorizer.Func(down), authorizer.Func(no)},
			errDown},
		"any within all": {
			[]tx.ActorAuthorizer{authorizer.Any(authorizer.Func(no), authorizer.Func(yes)),
				authorizer.Func(yes)},
			nil},
		"any within all no": {
			[]tx.ActorAuthorizer{authorizer.Any(authorizer.Func(no)), authorizer.Func(yes)},
			tx.InvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			err := authorizer.All(c.list...).AuthorizeActor(t.Context(), facts())
			if c.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, c.want)
			assert.Equal(t, errors.Is(c.want, errDown), tx.AsError(err).Code.Status() >= 500)
		})
	}
}

func TestI12_AnyPassesOverRefusalsAndNeverOverFailures(t *testing.T) {
	list := func(l ...authorizer.Func) (r []tx.ActorAuthorizer) {
		for _, a := range l {
			r = append(r, a)
		}
		return r
	}
	coded := func(err error) authorizer.Func {
		return func(context.Context, tx.Facts) error { return err }
	}
	for name, c := range map[string]struct {
		list []tx.ActorAuthorizer
		code tx.Code // empty is yes
	}{
		"yes":                  {list(yes), ""},
		"no, yes":              {list(no, no, yes), ""},
		"yes before a failure": {list(yes, down), ""},
		"failure, yes":         {list(down, yes), tx.ServerError},
		"no, failure, yes":     {list(no, down, yes), tx.ServerError},
		"no, failure":          {list(no, down), tx.ServerError},
		"deadline, yes": {
			list(coded(fmt.Errorf("lookup: %w", context.DeadlineExceeded)), yes),
			tx.TemporarilyUnavailable},
		"coded failure, yes": {
			list(coded(fmt.Errorf("%w: maintenance", tx.TemporarilyUnavailable)), yes),
			tx.TemporarilyUnavailable},
		"cancelled, yes": {list(coded(context.Canceled), yes), tx.ServerError},
		"another no, yes": {list(coded(fmt.Errorf("%w: no", tx.UnauthorizedClient)), yes),
			""},
		"a code of the host's, yes": {list(coded(tx.Code("not_on_mondays")), yes), ""},
		"no, no":                    {list(no, no), tx.InvalidRequest},
		"other codes": {list(coded(tx.InvalidClient), coded(tx.InvalidTarget)),
			tx.InvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			err := authorizer.Any(c.list...).AuthorizeActor(t.Context(), facts())
			if c.code == "" {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			assert.Equal(t, c.code, tx.AsError(err).Code)
		})
	}
	t.Run("all reasons are kept", func(t *testing.T) {
		err := authorizer.Any(authorizer.MayAct(), authorizer.InAudience(),
			authorizer.Func(no)).AuthorizeActor(t.Context(), facts())
		refuses(t, err, "no_authorizer_allows")
		for _, reason := range []string{"may_act_missing", "actor_not_a_client", "not today"} {
			assert.ErrorContains(t, err, reason)
		}
	})
}

func TestD11_ListsAreCopied(t *testing.T) {
	list := []tx.ActorAuthorizer{authorizer.Func(no)}
	every, some := authorizer.All(list...), authorizer.Any(list...)
	list[0] = authorizer.Func(yes)
	require.Error(t, every.AuthorizeActor(t.Context(), facts()))
	require.Error(t, some.AuthorizeActor(t.Context(), facts()))
}

func TestC08_RelationshipIsAskedAboutActorAndSubjectInThatOrder(t *testing.T) {
	company := authorizer.Relationship(func(_ context.Context, actor, subject tx.Identity) error {
		if owner := map[string]string{"bob": "ann", "bob-2": "bob"}[subject.ID]; owner != "" &&
			actor.Kind == tx.KindUser && actor.ID == owner {
			return nil
		}
		return fmt.Errorf("%w: %q does not own %q", tx.InvalidRequest, actor.ID, subject.ID)
	})
	require.NoError(t, company.AuthorizeActor(t.Context(), facts()))
	require.NoError(t, company.AuthorizeActor(t.Context(), facts(carried)))
	require.ErrorIs(t, company.AuthorizeActor(t.Context(), facts(actor(tx.KindUser, own, "eve"))),
		tx.InvalidRequest)
	require.ErrorIs(t, company.AuthorizeActor(t.Context(), facts(actor(tx.KindClient, own, "ann"))),
		tx.InvalidRequest)
	reversed := facts(func(f *tx.Facts) { f.Subject.ID, f.Actor.ID = "ann", "bob" })
	require.ErrorIs(t, company.AuthorizeActor(t.Context(), reversed), tx.InvalidRequest)

	var who tx.Identity
	client := authorizer.Relationship(
		func(_ context.Context, actor, _ tx.Identity) error { who = actor; return errDown })
	require.ErrorIs(t, client.AuthorizeActor(t.Context(), facts(noActor)), errDown)
	assert.Equal(t, tx.Identity{Issuer: own, Kind: tx.KindClient, ID: "svc"}, who)
}

func TestD11_MayAct(t *testing.T) {
	named := tx.Actor{Issuer: own, Subject: "ann"}
	for name, c := range map[string]struct {
		facts  tx.Facts
		reason string // empty is yes
	}{
		"sub and iss": {facts(mayAct(named)), ""},
		"sub alone":   {facts(mayAct(tx.Actor{Subject: "ann"})), ""},
		"sub and client_id": {
			facts(mayAct(tx.Actor{Subject: "ann", ClientID: "svc"})), ""},
		"sub as the actor's token has it": {
			facts(mayAct(named), func(f *tx.Facts) { f.Actor.ID = "internal-7" }), ""},
		"sub as the resolver has it": {
			facts(mayAct(named), func(f *tx.Facts) { f.Actor.Token.Subject = "pairwise-7" }), ""},
		"a workload": {
			facts(mayAct(named), actor(tx.KindWorkload, own, "ann")), ""},
		"the client by client_id": {
			facts(mayAct(tx.Actor{ClientID: "svc"}), actor(tx.KindClient, own, "svc")), ""},
		"the client by both": {
			facts(mayAct(tx.Actor{Subject: "svc", ClientID: "svc"}),
				actor(tx.KindClient, own, "svc")), ""},
		"the client without actor token": {facts(mayAct(tx.Actor{ClientID: "svc"}), noActor), ""},
		"the same, sub named too (D09)": {
			facts(mayAct(tx.Actor{Subject: "ann", ClientID: "svc"}), noActor), ""},
		"carried actor": {
			facts(mayAct(tx.Actor{Subject: "ann", ClientID: "svc"}), carried), ""},
		"recorded with a refresh token": {
			facts(mayAct(named), func(f *tx.Facts) { f.Grant = "refresh_token" }), ""},
		"recorded, somebody else": {
			facts(mayAct(tx.Actor{Subject: "eve"}),
				func(f *tx.Facts) { f.Grant = "refresh_token" }), "may_act_other_actor"},
		"none":              {facts(), "may_act_missing"},
		"none, client acts": {facts(noActor), "may_act_missing"},
		"none, recorded": {facts(func(f *tx.Facts) { f.Grant = "refresh_token" }),
			"may_act_missing"},
		"zero": {facts(mayAct(tx.Actor{})), "may_act_other_actor"},
		"zero, client acts": {facts(mayAct(tx.Actor{}), noActor),
			"may_act_other_actor"},
		"another sub": {facts(mayAct(tx.Actor{Issuer: own, Subject: "eve"})),
			"may_act_other_actor"},
		"another iss": {
			facts(mayAct(tx.Actor{Issuer: foreign, Subject: "ann"})), "may_act_other_actor"},
		"iss alone": {facts(mayAct(tx.Actor{Issuer: own})),
			"may_act_other_actor"},
		"iss and client_id, no sub": {
			facts(mayAct(tx.Actor{Issuer: own, ClientID: "svc"}), actor(tx.KindClient, own, "svc")),
			"may_act_other_actor"},
		"another client_id": {
			facts(mayAct(tx.Actor{Subject: "ann", ClientID: "app"})), "may_act_other_actor"},
		"client_id alone, user acts": {facts(mayAct(tx.Actor{ClientID: "svc"})),
			"may_act_other_actor"},
		"client_id alone, carried user": {facts(mayAct(tx.Actor{ClientID: "svc"}), carried),
			"may_act_other_actor"},
		"client_id alone, foreign namesake": {
			facts(mayAct(tx.Actor{ClientID: "svc"}), actor(tx.KindClient, foreign, "svc")),
			"may_act_other_actor"},
		"sub alone is no client": {
			facts(mayAct(tx.Actor{Subject: "svc"}), actor(tx.KindClient, own, "svc")),
			"may_act_other_actor"},
		"sub of a client, another's id": {
			facts(mayAct(tx.Actor{Subject: "app", ClientID: "svc"}),
				actor(tx.KindClient, own, "app")), "may_act_other_actor"},
		"sub alone, client acts": {facts(mayAct(tx.Actor{Subject: "svc"}), noActor),
			"may_act_other_actor"},
		"another client, client acts": {facts(mayAct(tx.Actor{ClientID: "app"}), noActor),
			"may_act_other_actor"},
		"no issuer anywhere": {
			facts(mayAct(tx.Actor{Subject: "ann"}), func(f *tx.Facts) {
				f.Subject.Token.Issuer, f.Actor.Token.Issuer = "", ""
			}), "may_act_other_actor"},
		"namesake of the subject issuer": {
			facts(mayAct(tx.Actor{Subject: "ann"}), actor(tx.KindUser, foreign, "ann")),
			"may_act_other_actor"},
	} {
		t.Run(name, func(t *testing.T) {
			err := authorizer.MayAct().AuthorizeActor(t.Context(), c.facts)
			if c.reason == "" {
				require.NoError(t, err)
				return
			}
			refuses(t, err, c.reason)
		})
	}
}

// MayAct has a reading of may_act of its own, so it is held to that of Policy: over all of these
// facts, the one says yes exactly where the other grants.
func TestD08_MayActAgreesWithPolicy(t *testing.T) {
	anybody := []tx.Identity{{Issuer: "*", Kind: "*", Tenant: "*", ID: "*"}}
	types := []tx.TokenType{tx.TypeAccessToken}
	rule := tx.Rule{Name: "any",
		Delegate: &tx.Delegation{
			Actors:      anybody,
			ActorTypes:  []tx.TokenType{tx.TypeAccessToken, tx.TypeJWT},
			Self:        true,
			OtherActors: true,
			Issuers:     []string{foreign},
		},
		Clients: []string{"svc"}, Subjects: anybody, SubjectTypes: types,
		Types: types, SubjectAudience: true, Scope: tx.Scope{"*"},
		Lifetime: time.Minute}
	policy, err := tx.NewPolicy(rule)
	require.NoError(t, err)
	names := []string{"", "ann", "svc", "app"}
	granted, all := 0, 0
	for _, kind := range []tx.Kind{tx.KindUser, tx.KindClient, tx.KindWorkload} {
		for _, issuer := range []string{own, foreign} {
			for _, id := range names[1:] {
				for _, sub := range names {
					for _, clientID := range names {
						for _, iss := range []string{"", own, foreign} {
							m := tx.Actor{Issuer: iss, Subject: sub, ClientID: clientID}
							f := facts(mayAct(m), actor(kind, issuer, id))
							if issuer == foreign {
								f.Actor.Token.Type = tx.TypeJWT
							}
							_, err := policy.Decide(f)
							if err == nil {
								granted++
							}
							all++
							yes := authorizer.MayAct().AuthorizeActor(t.Context(), f)
							assert.Equal(t, err == nil, yes == nil,
								"may_act %+v, actor %+v: %v, %v", m, f.Actor.Identity, err, yes)
						}
					}
				}
			}
		}
	}
	assert.Equal(t, 864, all)
	assert.Greater(t, granted, 20)
}

func TestD11_InAudience(t *testing.T) {
	const outside = "actor_not_in_audience"
	const noClient = "actor_not_a_client"
	client := func(id string) func(*tx.Facts) { return actor(tx.KindClient, own, id) }
	for name, c := range map[string]struct {
		facts  tx.Facts
		reason string // empty is yes
	}{
		"client acts, by id": {
			facts(noActor, audience("https://api.example", "svc")), ""},
		"client acts, by a name of its": {facts(noActor, audience("https://svc.example")), ""},
		"actor is the client, by id":    {facts(client("svc"), audience("svc")), ""},
		"actor is the client, by a name": {facts(client("svc"), audience("https://svc.example")),
			""},
		"actor is another client":  {facts(client("app"), audience("app")), ""},
		"carried actor":            {facts(client("app"), carried, audience("app")), ""},
		"client acts, outside":     {facts(noActor), outside},
		"client acts, no audience": {facts(noActor, audience()), outside},
		"client acts, the empty audience": {
			facts(noActor, audience(""),
				func(f *tx.Facts) { f.Client.Audiences = []string{""} }), outside},
		"client acts, nearly": {
			facts(noActor, audience("https://svc.example/", "SVC")), outside},
		"token issued to the client": {
			facts(noActor, audience("https://api.example"),
				func(f *tx.Facts) { f.Subject.Token.ClientID = "svc" }), outside},
		"other client, in it is the client": {
			facts(client("app"), audience("svc", "https://svc.example")), outside},
		"other client, its token is svc's": {
			facts(client("app"), audience("svc"),
				func(f *tx.Facts) { f.Actor.Token.ClientID = "svc" }), outside},
		"user of that name": {facts(audience("ann")), noClient},
		"user named like the client": {
			facts(actor(tx.KindUser, own, "svc"), audience("svc")), noClient},
		"user, token issued to svc": {facts(audience("svc")), noClient},
		"workload of that name": {
			facts(actor(tx.KindWorkload, own, "svc"), audience("svc")), noClient},
		"foreign client of that name": {
			facts(actor(tx.KindClient, foreign, "svc"), audience("svc")), noClient},
		"public client": {facts(noActor, publicClient, audience("svc")),
			"actor_is_public_client"},
		"public client, carried": {
			facts(client("svc"), carried, publicClient, audience("svc")), "actor_is_public_client"},
		"foreign subject token": {
			facts(noActor, audience("svc"), func(f *tx.Facts) { f.Subject.Token.Issuer = foreign }),
			"subject_token_other_issuer"},
		"subject token without subject": {
			facts(noActor, audience("svc"), func(f *tx.Facts) { f.Subject.Token.Issuer = "" }),
			"subject_token_other_issuer"},
	} {
		t.Run(name, func(t *testing.T) {
			err := authorizer.InAudience().AuthorizeActor(t.Context(), c.facts)
			if c.reason == "" {
				require.NoError(t, err)
				return
			}
			refuses(t, err, c.reason)
		})
	}
}

// server is a token endpoint whose tokens are "user name" or "client name", for the audience after
// a slash.
func server(t *testing.T, authorizer tx.ActorAuthorizer) (endpoint string, events *[]tx.Event) {
	verify := func(_ context.Context, c tx.Credential) (tx.Token, error) {
		name, aud, _ := strings.Cut(c.Token, "/")
		kind, id, _ := strings.Cut(name, " ")
		return tx.Token{Type: c.Type, Kind: tx.Kind(kind), ID: "1", Issuer: c.Issuer, Subject: id,
			ClientID: "svc", Scope: tx.Scope{"read"},
			Audience: []string{aud}, Expires: c.Now.Add(time.Hour)}, nil
	}
	anybody := []tx.Identity{{Kind: "*", ID: "*"}}
	types := []tx.TokenType{tx.TypeAccessToken}
	policy, err := tx.NewPolicy(tx.Rule{Name: "support",
		Delegate: &tx.Delegation{Actors: anybody, ActorTypes: types}, Clients: []string{"svc"},
		Subjects: anybody, SubjectTypes: types, Types: types, SubjectAudience: true,
		Scope: tx.Scope{"*"}, Lifetime: time.Minute})
	require.NoError(t, err)
	events = new([]tx.Event)
	x := tx.Exchanger{Issuer: own, Verify: tx.Verifiers{tx.TypeAccessToken: verify},
		Resolver: directory{}, Decide: policy.Decide,
		Authorizer: authorizer, TokenIssuer: fixedIssuer{}, Audit: (*memory)(events)}
	s := httptest.NewServer(x.Handler(func(*http.Request) (tx.Client, error) {
		return tx.Client{ID: "svc", Scope: tx.Scope{"read"}}, nil
	}))
	t.Cleanup(s.Close)
	return s.URL, events
}

type directory struct{}

func (directory) ResolveSubject(_ context.Context, tok tx.Token) (tx.Subject, error) {
	privileges := map[string][]string{"bob": {}, "ann": {"support"}, "root": {"owner"}}[tok.Subject]
	return tx.Subject{Identity: tx.Identity{Issuer: own, Kind: tok.Kind, ID: tok.Subject},
		Privileges: privileges}, nil
}

type fixedIssuer struct{}

func (fixedIssuer) IssueToken(_ context.Context, d tx.Decision) (tx.IssuedToken, error) {
	return tx.IssuedToken{Value: "issued", ID: "2", Expires: d.Expires}, nil
}

type memory []tx.Event

func (m *memory) RecordExchange(_ context.Context, ev tx.Event) error {
	*m = append(*m, ev)
	return nil
}

func TestD11_OverHTTP(t *testing.T) {
	support := authorizer.Roles{"support": {}}
	for name, c := range map[string]struct {
		authorizer     tx.ActorAuthorizer
		subject, actor string
		status         int
		code           tx.Code
		reason         string
	}{
		"role reaches": {support, "user bob/api", "user ann/api", 200, "", ""},
		"role is too low": {support, "user root/api", "user ann/api", 400, tx.InvalidRequest,
			"role_not_sufficient"},
		"unknown privileges": {support, "user new/api", "user ann/api", 400, tx.InvalidRequest,
			"privileges_unknown"},
		"meant for it": {authorizer.InAudience(), "user bob/svc", "client svc/as", 200, "", ""},
		"spliced": {authorizer.InAudience(), "user bob/api", "client svc/as", 400,
			tx.InvalidRequest, "actor_not_in_audience"},
		"directory is down": {authorizer.Any(support, authorizer.Func(down)), "user root/api",
			"user ann/api", 500, tx.ServerError, "actor_not_authorized"},
		"one yes is enough": {authorizer.Any(authorizer.InAudience(), support), "user bob/api",
			"user ann/api", 200, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			endpoint, events := server(t, c.authorizer)
			resp, err := http.PostForm(endpoint, url.Values{"grant_type": {tx.GrantType},
				"subject_token": {c.subject}, "subject_token_type": {string(tx.TypeAccessToken)},
				"actor_token": {c.actor}, "actor_token_type": {string(tx.TypeAccessToken)}})
			require.NoError(t, err)
			defer resp.Body.Close()
			var answer map[string]any
			require.NoError(t, json.NewDecoder(resp.Body).Decode(&answer))
			require.Equal(t, c.status, resp.StatusCode, "%v", answer)
			require.Len(t, *events, 1)
			if c.status == 200 {
				assert.Equal(t, "issued", answer["access_token"])
				return
			}
			assert.Equal(t, string(c.code), answer["error"])
			assert.NotContains(t, answer["error_description"], "D11")
			assert.NotContains(t, answer["error_description"], "directory")
			e := tx.AsError((*events)[0].Err)
			assert.Equal(t, c.reason, e.Reason)
		})
	}
}
