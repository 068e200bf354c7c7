package scenarios

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

// order notes the steps of a request through the policy, issuer, store and audit log of a running
// server.
type order struct {
	mu sync.Mutex
	// "decided", "refused", "issuing", "written", "recorded"; each with the grant, except "written"
	steps  []string
	events []tokenexchange.Event
}

func (o *order) note(step, grant string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.steps = append(o.steps, strings.TrimSpace(step+" "+grant))
}

// taken returns the notes and forgets them.
func (o *order) taken() (steps []string, events []tokenexchange.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	steps, events = o.steps, o.events
	o.steps, o.events = nil, nil
	return steps, events
}

type notedIssuer struct {
	*order
	tokenexchange.TokenIssuer
}

func (i notedIssuer) IssueToken(ctx context.Context,
	d tokenexchange.Decision) (tokenexchange.IssuedToken, error) {
	i.note("issuing", d.Facts.Grant)
	return i.TokenIssuer.IssueToken(ctx, d)
}

type notedSink struct {
	*order
	tokenexchange.AuditSink
}

func (s notedSink) RecordExchange(ctx context.Context, ev tokenexchange.Event) error {
	s.note("recorded", ev.Facts.Grant)
	s.mu.Lock()
	s.events = append(s.events, ev)
	s.mu.Unlock()
	return s.AuditSink.RecordExchange(ctx, ev)
}

// watch puts an order around a server that has had no request yet.
func (sc *scene) watch() *order {
	o, x := &order{}, sc.server.Exchanger
	decide := x.Decide
	x.Decide = func(f tokenexchange.Facts) (tokenexchange.Decision, error) {
		d, err := decide(f)
		if err != nil {
			o.note("refused", f.Grant)
		} else {
			o.note("decided", f.Grant)
		}
		return d, err
	}
	x.TokenIssuer, x.Audit = notedIssuer{o, x.TokenIssuer}, notedSink{o, x.Audit}
	sc.written.mu.Lock()
	sc.written.note = func() { o.note("written", "") }
	sc.written.mu.Unlock()
	return o
}

// frontDoor is one way to a token. ask uses it; bad uses it so that the policy or the directory
// refuses.
type frontDoor struct {
	prepare  func(*testing.T) // what comes before, and is not compared
	ask, bad func(*testing.T) (tokens []string)
	within   string // the grant that this one happens in; empty: none
}

// grantsOf returns the names of grants in the sources of package grants and of the server, and the
// grant of an exchange.
func grantsOf(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{"GrantType": tokenexchange.GrantType}
	for _, dir := range []string{authserver + "server", authserver + "world", "../../grants"} {
		files, err := filepath.Glob(dir + "/*.go")
		require.NoError(t, err)
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			require.NoError(t, err)
			ast.Inspect(file, func(n ast.Node) bool {
				spec, ok := n.(*ast.ValueSpec)
				if !ok || len(spec.Values) != len(spec.Names) {
					return true
				}
				for i, id := range spec.Names {
					if value, ok := spec.Values[i].(*ast.BasicLit); ok &&
						strings.HasPrefix(strings.ToLower(id.Name), "grant") {
						found[id.Name], err = strconv.Unquote(value.Value)
						require.NoError(t, err)
					}
				}
				return true
			})
		}
	}
	return found
}

// TestFrontDoors uses every way to a token. Each ends in the same kind of event, nothing is made
// before there is a decision, and nothing leaves before there is an event. A refusal makes nothing
// and is recorded. A new grant without a row here is a failure.
func TestFrontDoors(t *testing.T) {
	sc := counted(t, quickPortal)
	o := sc.watch()
	portal, helpdesk, robot := sc.private(t, "portal",
		"testdata/robot.pem"), sc.basic("helpdesk"), sc.private(t, "robot", "testdata/robot.pem")
	alice, ines := sc.logIn(t, "alice", "portal"), sc.logIn(t, "ines", "portal")
	b, bob, k := sc.desk(t, "ines"), sc.desk(t, "bob"), newPKCE()
	partnerKey := readPEM(t, "testdata/partner.pem")
	n := 0
	says := func(sub string) string {
		n++
		now := sc.clock.Now()
		return mint(t, partnerKey, object{"kid": "partner-1"},
			object{"iss": "https://idp.partner.example", "sub": sub, "aud": sc.iss(),
				"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "jti": fmt.Sprint(n)})
	}
	given := func(answers ...reply) (tokens []string) {
		for _, a := range answers {
			for _, name := range []string{"access_token", "refresh_token", "id_token"} {
				if a.text(name) != "" {
					tokens = append(tokens, a.text(name))
				}
			}
		}
		return tokens
	}
	front := func(p page) (tokens []string) {
		_, params := b.landed(t, p)
		for _, name := range []string{"subject_token", "id_token"} {
			if params.Get(name) != "" {
				tokens = append(tokens, params.Get(name))
			}
		}
		return tokens
	}
	refresh, code, ticket, idToken := "", "", "", ""
	codeFor := func(changes ...string) func(*testing.T) {
		return func(t *testing.T) {
			_, params := b.landed(t, b.get(t, k.actAs(changes...)))
			code = params.Get("code")
			require.NotEmpty(t, code, "%v", params)
		}
	}
	redeem := func(t *testing.T) []string {
		return given(sc.redeem(t, helpdesk, code, k, "redirect_uri", helpdeskURI))
	}
	byInes := acting(ines.AccessToken, urnAccess)

	rows := map[string]frontDoor{
		tokenexchange.GrantType: {
			ask: func(t *testing.T) []string {
				return given(sc.exchange(t, portal, about(alice.AccessToken, urnAccess), byInes,
					[]string{"scope", "openid read"}))
			},
			bad: func(t *testing.T) []string {
				return given(sc.exchange(t, portal, about(alice.AccessToken, urnAccess), byInes,
					[]string{"scope", "fly"}))
			},
		},
		tokenexchange.GrantType + " of a ticket": {
			prepare: func(t *testing.T) { ticket, idToken = b.ticket(t, "alice") },
			ask:     func(t *testing.T) []string { return given(sc.spend(t, ticket, idToken)) },
			bad:     func(t *testing.T) []string { return given(sc.spend(t, ticket, "")) },
		},
		grantRefresh: {
			prepare: func(t *testing.T) {
				refresh = sc.exchange(t, portal, about(alice.AccessToken, urnAccess), byInes,
					[]string{"scope", "offline_access read"}).text("refresh_token")
				require.NotEmpty(t, refresh)
			},
			ask: func(t *testing.T) []string { return given(sc.refresh(t, portal, refresh)) },
			bad: func(t *testing.T) []string {
				sc.changeUser("ines", func(u *world.User) { u.Roles = nil })
				defer sc.changeUser("ines", func(u *world.User) {
					u.Roles = []string{"org-user-impersonator"}
				})
				return given(sc.refresh(t, portal, refresh))
			},
		},
		"subject_ticket": {
			ask: func(t *testing.T) []string {
				return front(b.get(t, askTicket("alice", "response_type", "subject_token",
					"scope", "internal_user_impersonate read")))
			},
			bad: func(t *testing.T) []string {
				return front(bob.get(t, askTicket("alice", "response_type", "subject_token",
					"scope", "internal_user_impersonate read")))
			},
		},
		grantImplicit: {
			ask:    func(t *testing.T) []string { return front(b.get(t, askTicket("alice"))) },
			bad:    func(t *testing.T) []string { return front(bob.get(t, askTicket("alice"))) },
			within: "subject_ticket",
		},
		grantBearer: {
			ask: func(t *testing.T) []string { return given(sc.bearer(t, portal, says("p-4711"))) },
			bad: func(t *testing.T) []string { return given(sc.bearer(t, portal, says("p-1"))) },
		},
		grantCode: {
			prepare: codeFor(), ask: redeem,
			bad: func(t *testing.T) []string {
				codeFor()(t)
				sc.changeUser("ines", func(u *world.User) { u.Status = "locked" })
				defer sc.changeUser("ines", func(u *world.User) { u.Status = "enabled" })
				o.taken()
				return redeem(t)
			},
		},
		grantCode + " with act_as": {
			prepare: codeFor("scope", "openid act_as:alice read"), ask: redeem,
			bad: func(t *testing.T) []string {
				return front(bob.get(t, k.actAs("scope", "act_as:alice read")))
			},
		},
		grantClient: {
			ask: func(t *testing.T) []string { return given(sc.own(t, robot)) },
			bad: func(t *testing.T) []string { return given(sc.own(t, robot, "scope", "fly")) },
		},
		grantClient + " with act_as": {
			ask: func(t *testing.T) []string {
				return given(sc.own(t, robot, "scope", "read act_as:alice"))
			},
			bad: func(t *testing.T) []string {
				return given(sc.own(t, robot, "scope", "read act_as:bob"))
			},
		},
		"embedded_token": {
			ask: func(t *testing.T) []string {
				return given(sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
					[]string{"audience", orders, "requested_token_type", urnJWT, "scope", "read"}))
			},
			bad: func(t *testing.T) []string {
				// the rule of the inner token does not have it
				sc.changeClient("portal", func(c *world.Client) { c.Scope = []string{"write"} })
				defer sc.changeClient("portal", func(c *world.Client) {
					c.Scope = []string{"openid", "offline_access", "read", "write"}
				})
				return given(sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
					[]string{"audience", orders, "requested_token_type", urnJWT, "scope", "read"}))
			},
			within: tokenexchange.GrantType,
		},
		grantLogin: {
			ask: func(t *testing.T) []string {
				tokens := sc.logIn(t, "alice", "mobile")
				return []string{tokens.AccessToken, tokens.JWT}
			},
			bad: func(t *testing.T) []string {
				_, err := sc.server.LogIn(t.Context(), "lola", "portal")
				assert.Error(t, err)
				return nil
			},
		},
	}

	t.Run("all of them", func(t *testing.T) {
		covered := map[string]bool{}
		for name := range rows {
			name, _, _ = strings.Cut(name, " ")
			covered[name] = true
		}
		for name, grant := range grantsOf(t) {
			assert.True(t, covered[grant], "%s (%s) has no row", name, grant)
		}
		for _, grant := range world.AllGrants {
			assert.True(t, covered[grant], grant)
		}
		assert.Len(t, covered, len(grantsOf(t)), "%v", slices.Sorted(maps.Keys(covered)))
		for _, responseType := range world.AllResponseTypes {
			assert.Contains(t, []string{responseCode, responseTicket, responseIDTicket},
				responseType, "a response type without a row")
		}
	})
	for name, door := range rows {
		grant, _, _ := strings.Cut(name, " ")
		doors := []string{grant}
		if door.within != "" {
			doors = append(doors, door.within)
		}
		t.Run(name+": granted", func(t *testing.T) {
			if door.prepare != nil {
				door.prepare(t)
			}
			o.taken()
			require.NotEmpty(t, door.ask(t))
			steps, events := o.taken()
			checkOrder(t, steps)
			seen := map[string]bool{}
			for _, ev := range events {
				seen[ev.Facts.Grant] = true
				assert.NoError(t, ev.Err)
				assert.NoError(t, ev.Decision.Check())
				assert.NotEmpty(t, ev.TokenID)
				assert.Equal(t, ev.Facts.Client.ID, ev.Decision.Client)
			}
			assert.ElementsMatch(t, doors, slices.Collect(maps.Keys(seen)), "%v", steps)
		})
		t.Run(name+": refused", func(t *testing.T) {
			if door.prepare != nil {
				door.prepare(t)
			}
			o.taken()
			before := sc.written.live(sc.clock.Now())
			assert.Empty(t, door.bad(t))
			steps, events := o.taken()
			assert.NotContains(t, strings.Join(steps, ","), "written", "%v", steps)
			require.NotEmpty(t, events, "a refusal is on record too")
			for _, ev := range events {
				assert.Error(t, ev.Err)
				assert.Equal(t, tokenexchange.Decision{}, ev.Decision)
				assert.Empty(t, ev.TokenID)
			}
			assert.Equal(t, before, sc.written.live(sc.clock.Now()))
		})
		t.Run(name+": without audit log", func(t *testing.T) {
			if door.prepare != nil {
				door.prepare(t)
			}
			before := sc.written.live(sc.clock.Now())
			if grant == grantLogin {
				sc.withoutAudit(func() {
					_, err := sc.server.LogIn(t.Context(), "alice", "mobile")
					assert.Error(t, err)
				})
			} else {
				sc.withoutAudit(func() {
					assert.Empty(t, door.ask(t), "a token without an event (I06)")
				})
			}
			assert.Equal(t, before, sc.written.live(sc.clock.Now()),
				"a live record of a token that did not leave")
			o.taken()
		})
	}
	var events []object
	for _, line := range sc.audit.all() {
		if e := objectOf([]byte(line)); e["grant"] != nil && e["outcome"] != nil {
			events = append(events, e)
		}
	}
	require.NotEmpty(t, events)
	for _, e := range events {
		assert.Equal(t, exchangeEvent, e["msg"], "one type of event, whatever the door")
	}
}

// checkOrder requires the order decided, made, recorded. One request may be nested in another.
func checkOrder(t *testing.T, steps []string) {
	t.Helper()
	var decided []string
	written := 0
	for i, step := range steps {
		what, grant, _ := strings.Cut(step, " ")
		switch what {
		case "decided":
			decided = append(decided, grant)
		case "issuing":
			require.NotEmpty(t, decided, "%v", steps)
			assert.Equal(t, decided[len(decided)-1], grant, "step %d of %v", i, steps)
		case "written":
			require.NotEmpty(t, decided, "something was made without a decision: %v", steps)
			written++
		case "recorded":
			require.NotEmpty(t, decided, "%v", steps)
			assert.Equal(t, decided[len(decided)-1], grant, "step %d of %v", i, steps)
			decided = decided[:len(decided)-1]
			assert.Positive(t, written, "an event about nothing: %v", steps)
			written--
		default:
			assert.Fail(t, "a refusal on the way", "%v", steps)
		}
	}
	assert.Empty(t, decided, "a decision without an event: %v", steps)
	assert.Zero(t, written, "something was made, and there is no event about it: %v", steps)
}
