package scenarios

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/server"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

const (
	helpdeskURI = "https://helpdesk.example/callback"
	orders      = "https://orders.example"
	stock       = "https://stock.example"
	urnTicket   = "urn:example:token-type:subject-token"
)

// askTicket is the path of a valid request of the helpdesk for a ticket about a user, with changes
// as in pkce.ask.
func askTicket(user string, changes ...string) string {
	q := formOf("response_type", "id_token subject_token", "client_id", "helpdesk", "redirect_uri",
		helpdeskURI,
		"scope", "internal_user_impersonate openid read", "requested_subject", user, "state",
		"state-1", "nonce", "nonce-1")
	for i := 0; i+1 < len(changes); i += 2 {
		if q.Set(changes[i], changes[i+1]); changes[i+1] == "" {
			q.Del(changes[i])
		}
	}
	return "/authorize?" + q.Encode()
}

// desk is the browser of a user who has logged in to the helpdesk.
func (sc *scene) desk(t *testing.T, user string) *browser {
	t.Helper()
	b := sc.browser(t)
	b.code(t, user, newPKCE())
	return b
}

// inFragment is landed for a response in the fragment, because it has a token or could have had
// one.
func (b *browser) inFragment(t *testing.T, p page) url.Values {
	t.Helper()
	to, err := url.Parse(p.header.Get("Location"))
	require.NoError(t, err)
	require.NotEmpty(t, to.Fragment, "%d %s", p.status, p.header.Get("Location"))
	require.Empty(t, to.RawQuery)
	uri, params := b.landed(t, p)
	require.Equal(t, helpdeskURI, uri)
	return params
}

// ticket gets a ticket about a user, and the ID token of the user who asked.
func (b *browser) ticket(t *testing.T, user string, changes ...string) (ticket, idToken string) {
	t.Helper()
	params := b.inFragment(t, b.get(t, askTicket(user, changes...)))
	require.NotEmpty(t, params.Get("subject_token"), "%v\n%v", params, b.events(t))
	return params.Get("subject_token"), params.Get("id_token")
}

// noTicket requires that a request for a ticket is refused with a code, in the fragment, and that
// nothing was made.
func (b *browser) noTicket(t *testing.T, code tokenexchange.Code, user string,
	changes ...string) url.Values {
	t.Helper()
	before := b.written.tokens()
	params := b.inFragment(t, b.get(t, askTicket(user, changes...)))
	require.Equal(t, string(code), params.Get("error"), "%v", params)
	for name := range params {
		require.Contains(t, []string{"error", "error_description", "iss", "state"}, name)
	}
	require.Equal(t, before, b.written.tokens(), "a token has been recorded")
	return params
}

// spend exchanges a ticket as the helpdesk.
func (sc *scene) spend(t *testing.T, ticket, idToken string, more ...string) reply {
	t.Helper()
	actor := acting(idToken, urnID)
	if idToken == "" {
		actor = nil
	}
	return sc.exchange(t, sc.basic("helpdesk"), about(ticket, urnJWT), actor, more)
}

// events are the audit events so far.
func (sc *scene) events(t *testing.T) (list []object) {
	t.Helper()
	for _, line := range sc.audit.all() {
		if e := objectOf([]byte(line)); e["msg"] == exchangeEvent {
			list = append(list, e)
		}
	}
	return list
}

// lastEvent is the last of them.
func (sc *scene) lastEvent(t *testing.T) object {
	t.Helper()
	list := sc.events(t)
	require.NotEmpty(t, list)
	return list[len(list)-1]
}

// countedStore is a store that counts the tokens of exchanges, and that a test can make fail.
type countedStore struct {
	tokenstore.Store
	mu   sync.Mutex
	puts []tokenstore.Key // of tokens: other records have no owner
	fail error            // of every Commit that puts a token
	note func()           // called for each such Commit
}

func newCountedStore() *countedStore { return &countedStore{Store: tokenstore.NewMemory()} }

func (s *countedStore) Commit(ctx context.Context, now time.Time, b tokenstore.Batch) error {
	s.mu.Lock()
	tokens := 0
	for _, r := range b.Put {
		if r.Owner != (tokenstore.Key{}) {
			s.puts = append(s.puts, r.Key)
			tokens++
		}
	}
	fail, note := s.fail, s.note
	s.mu.Unlock()
	if tokens > 0 && note != nil {
		note()
	}
	if tokens > 0 && fail != nil {
		return fail
	}
	return s.Store.Commit(ctx, now, b)
}

// tokens counts all tokens that exchanges have written.
func (s *countedStore) tokens() int {
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.puts)
}

// live counts those that can still be found.
func (s *countedStore) live(now time.Time) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range s.puts {
		if _, err := s.Get(context.Background(), now, key); err == nil {
			n++
		}
	}
	return n
}

func (s *countedStore) failWith(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

// counted is play over a countedStore.
func counted(t *testing.T, edits ...edit) *scene {
	t.Helper()
	store := newCountedStore()
	sc := playOn(t, server.Options{Store: store}, edits...)
	sc.written = store
	return sc
}

// failing is an AuditSink that fails.
type failing struct{}

func (failing) RecordExchange(context.Context, tokenexchange.Event) error {
	return errors.New("disk full")
}

// failingFor is an AuditSink that fails for one grant.
type failingFor struct {
	tokenexchange.AuditSink
	grant string
}

func (s failingFor) RecordExchange(ctx context.Context, ev tokenexchange.Event) error {
	if ev.Facts.Grant == s.grant {
		return errors.New("disk full")
	}
	return s.AuditSink.RecordExchange(ctx, ev)
}

// withoutAudit calls do while the audit sink fails.
func (sc *scene) withoutAudit(do func()) {
	sink := sc.server.Exchanger.Audit
	sc.server.Exchanger.Audit = failing{}
	defer func() { sc.server.Exchanger.Audit = sink }()
	do()
}

// atOnce calls do n times concurrently.
func atOnce(n int, do func(i int)) {
	var ready, done sync.WaitGroup
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			ready.Done()
			ready.Wait()
			do(i)
		})
	}
	done.Wait()
}

// broken requires the response of a failure of the server.
func (a reply) broken(t *testing.T) {
	t.Helper()
	assert.Equal(t, http.StatusInternalServerError, a.status)
	assert.Equal(t, "server_error", a.text("error"))
	assert.Empty(t, a.token())
}
