package notify_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/notify"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

const issuer = "https://as.example"

var (
	now   = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	alice = tokenexchange.Identity{Issuer: issuer, Kind: tokenexchange.KindUser, ID: "alice"}
	bob   = tokenexchange.Identity{Issuer: issuer, Kind: tokenexchange.KindUser, ID: "bob"}
)

// delegated returns an event in which bob acts for alice through the client helpdesk, with changes
// applied.
func delegated(changes ...func(*tokenexchange.Event)) tokenexchange.Event {
	facts := tokenexchange.Facts{Grant: tokenexchange.GrantType, Issuer: issuer,
		Client: tokenexchange.Client{ID: "helpdesk"},
		Subject: tokenexchange.Subject{Identity: alice, Token: tokenexchange.Token{
			Type: tokenexchange.TypeAccessToken, Issuer: issuer, Subject: "alice",
			ClientID: "webapp"}},
		Actor: &tokenexchange.Subject{Identity: bob}, Now: now}
	ev := tokenexchange.Event{Time: now, TokenID: "token 1", Facts: facts,
		Decision: tokenexchange.Decision{Rule: "helpdesk", Mode: tokenexchange.Delegate,
			Issuer: issuer, Client: "helpdesk", Subject: alice,
			Actor: &tokenexchange.Actor{Subject: "bob", ClientID: "webapp",
				Prior: &tokenexchange.Actor{Subject: "carol"}},
			Audience: []string{"https://api.example"}, Scope: tokenexchange.Scope{"read"},
			Type: tokenexchange.TypeJWT, Issued: now, Expires: now.Add(time.Hour), Facts: facts}}
	for _, change := range changes {
		change(&ev)
	}
	return ev
}

func withoutActor(mode tokenexchange.Mode, client string) func(*tokenexchange.Event) {
	return func(ev *tokenexchange.Event) {
		ev.Facts.Actor, ev.Decision.Actor, ev.Decision.Mode = nil, nil, mode
		ev.Facts.Client.ID, ev.Decision.Client = client, client
		if mode == tokenexchange.ClientActs {
			ev.Decision.Actor = &tokenexchange.Actor{Issuer: issuer, Subject: client,
				ClientID: client}
		}
	}
}

// TestW06_SomebodyNew checks that the default filter selects only exchanges that let a new party
// act for a user.
func TestW06_SomebodyNew(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*tokenexchange.Event)
		want   bool
	}{
		"delegate":                    {func(*tokenexchange.Event) {}, true},
		"the client acts":             {withoutActor(tokenexchange.ClientActs, "worker"), true},
		"another client impersonates": {withoutActor(tokenexchange.Impersonate, "worker"), true},
		"a client's assertion": {func(ev *tokenexchange.Event) {
			withoutActor(tokenexchange.Impersonate, "worker")(ev)
			ev.Facts.Subject.Token.ClientID = ""
		}, true},
		"an ID token": {func(ev *tokenexchange.Event) {
			ev.Decision.Type = tokenexchange.TypeIDToken
		}, true},
		"an access token": {func(ev *tokenexchange.Event) {
			ev.Decision.Type = tokenexchange.TypeAccessToken
		}, true},
		"a client with the user's name": {func(ev *tokenexchange.Event) {
			ev.Facts.Actor.Identity = alice
			ev.Facts.Actor.Kind = tokenexchange.KindClient
		}, true},
		"narrow":                   {withoutActor(tokenexchange.Narrow, "webapp"), false},
		"narrow by another client": {withoutActor(tokenexchange.Narrow, "worker"), false},
		"the user's own client":    {withoutActor(tokenexchange.Impersonate, "webapp"), false},
		"refresh": {func(ev *tokenexchange.Event) {
			ev.Facts.Grant = "refresh_token"
		}, false},
		"refused": {func(ev *tokenexchange.Event) {
			ev.Err = tokenexchange.InvalidRequest
		}, false},
		"the user acts": {func(ev *tokenexchange.Event) {
			ev.Facts.Actor.Identity = alice
		}, false},
		"about a client": {func(ev *tokenexchange.Event) {
			ev.Facts.Subject.Kind = tokenexchange.KindClient
		}, false},
		"a ticket": {func(ev *tokenexchange.Event) {
			ev.Decision.Type = "urn:example:ticket"
		}, false},
		"no mode": {func(ev *tokenexchange.Event) { ev.Decision.Mode = "" }, false},
		"a chain that is carried on": {func(ev *tokenexchange.Event) {
			withoutActor(tokenexchange.Impersonate, "gateway")(ev)
			ev.Facts.Subject.Token.Actor = &tokenexchange.Actor{Subject: "bob"}
		}, false},
	} {
		ev := delegated(c.change)
		require.Equal(t, c.want, notify.SomebodyNew(ev), "W06: %s", name)
	}
	require.False(t, notify.SomebodyNew(tokenexchange.Event{}))
}

// TestW06_Notice checks that a notice has the actor, the client, the audience, the scope and the
// expiry of the exchange.
func TestW06_Notice(t *testing.T) {
	n := notify.NoticeOf(delegated())
	require.Equal(t, notify.Notice{Time: now, User: alice, Actor: tokenexchange.Actor{
		Issuer: issuer, Subject: "bob", ClientID: "webapp"}, Client: "helpdesk",
		Audience: []string{"https://api.example"}, Scope: tokenexchange.Scope{"read"},
		Until: now.Add(time.Hour), TokenID: "token 1"}, n)
	n = notify.NoticeOf(delegated(withoutActor(tokenexchange.Impersonate, "worker"),
		func(ev *tokenexchange.Event) {
			ev.Decision.RefreshToken, ev.Decision.RefreshExpires = true, now.Add(24*time.Hour)
		}))
	require.Equal(t, tokenexchange.Actor{Issuer: issuer, Subject: "worker", ClientID: "worker"},
		n.Actor)
	require.Equal(t, now.Add(24*time.Hour), n.Until)
	ev := delegated()
	notify.NoticeOf(ev).Audience[0] = "changed"
	require.Equal(t, "https://api.example", ev.Decision.Audience[0],
		"the slices of a notice are copies")
}

// collector collects notices and reports.
type collector struct {
	mu      sync.Mutex
	notices []notify.Notice
	reports []error
}

func (c *collector) tell(_ context.Context, n notify.Notice) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notices = append(c.notices, n)
	return nil
}

func (c *collector) report(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reports = append(c.reports, err)
}

func record(t *testing.T, s *notify.Sink, ev tokenexchange.Event) {
	t.Helper()
	require.NoError(t, s.RecordExchange(t.Context(), ev), "W06: a notice never fails an exchange")
}

// TestW06_OffByDefault checks that a Sink without Tell only records, and that the zero Sink, which
// cannot record, fails every exchange.
func TestW06_OffByDefault(t *testing.T) {
	audit := &tokenexchangetest.Recorder{}
	s := &notify.Sink{Audit: audit}
	record(t, s, delegated())
	require.Len(t, audit.Events(), 1)
	require.NoError(t, s.Close(t.Context()))
	require.Zero(t, s.Dropped())
	require.Error(t, (&notify.Sink{}).RecordExchange(t.Context(), delegated()), "I06")
	require.NoError(t, (&notify.Sink{}).Close(t.Context()))
}

// TestW06_TellsAfterRecording checks that users are notified of grants that were recorded, once
// each and in order.
func TestW06_TellsAfterRecording(t *testing.T) {
	audit, c := &tokenexchangetest.Recorder{}, &collector{}
	s := &notify.Sink{Audit: audit, Tell: func(ctx context.Context, n notify.Notice) error {
		assert.NotEmpty(t, audit.Events(), "the event must be recorded first")
		return c.tell(ctx, n)
	}}
	record(t, s, delegated())
	record(t, s, delegated(func(ev *tokenexchange.Event) { ev.Err = tokenexchange.InvalidTarget }))
	record(t, s, delegated(func(ev *tokenexchange.Event) { ev.TokenID = "token 2" }))
	audit.Fail(errors.New("the disk is full"))
	require.EqualError(t, s.RecordExchange(t.Context(), delegated()), "the disk is full")
	require.NoError(t, s.Close(t.Context()))
	require.Len(t, c.notices, 2)
	require.Equal(t, "token 1", c.notices[0].TokenID)
	require.Equal(t, "token 2", c.notices[1].TokenID)
}

// TestW06_Filter checks that the filter is not asked about refusals and that a panic counts as
// false.
func TestW06_Filter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &collector{}
		s := &notify.Sink{Audit: &tokenexchangetest.Recorder{}, Tell: c.tell, Report: c.report,
			Filter: func(ev tokenexchange.Event) bool {
				if ev.TokenID == "panic" {
					panic("at_secret")
				}
				return ev.Facts.Grant == "refresh_token"
			}}
		for _, id := range []string{"1", "panic", "2"} {
			record(t, s, delegated(func(ev *tokenexchange.Event) {
				ev.TokenID, ev.Facts.Grant = id, "refresh_token"
			}))
		}
		record(t, s, delegated())
		record(t, s, delegated(func(ev *tokenexchange.Event) {
			ev.Facts.Grant, ev.Err = "refresh_token", tokenexchange.InvalidGrant
		}))
		require.NoError(t, s.Close(context.Background()))
		synctest.Wait()
		require.Len(t, c.notices, 2)
		require.Len(t, c.reports, 1)
		require.Regexp(t, "the filter: panic in .*: value of type string", c.reports[0])
		require.NotContains(t, c.reports[0].Error(), "secret", "I08")
		require.EqualValues(t, 1, s.Dropped())
	})
}

// TestW06_FailuresAndPanicsAreContained checks that an error or panic of Tell is reported and that
// the next notice is delivered.
func TestW06_FailuresAndPanicsAreContained(t *testing.T) {
	c := &collector{}
	s := &notify.Sink{Audit: &tokenexchangetest.Recorder{}, Report: func(err error) {
		c.report(err)
		panic("a panic of Report")
	}}
	s.Tell = func(ctx context.Context, n notify.Notice) error {
		switch n.TokenID {
		case "fail":
			return errors.New("no route to host")
		case "panic":
			panic("at_secret")
		}
		return c.tell(ctx, n)
	}
	for _, id := range []string{"fail", "panic", "succeed"} {
		record(t, s, delegated(func(ev *tokenexchange.Event) { ev.TokenID = id }))
	}
	require.NoError(t, s.Close(t.Context()))
	require.Len(t, c.notices, 1)
	require.Len(t, c.reports, 2)
	require.ErrorContains(t, c.reports[0], "no route to host")
	require.Regexp(t, "Tell: panic in .*: value of type string", c.reports[1])
	require.NotContains(t, c.reports[1].Error(), "secret")
	require.Zero(t, s.Dropped())
}

// TestW06_BlockedCallsDelayNoExchange checks that exchanges go on while Tell and Report block, that
// notices beyond the queue are counted, and that Close returns.
func TestW06_BlockedCallsDelayNoExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, hang := &collector{}, make(chan struct{})
		s := &notify.Sink{Audit: &tokenexchangetest.Recorder{}, Queue: 3,
			Tell:   func(context.Context, notify.Notice) error { <-hang; return nil },
			Report: func(err error) { c.report(err); <-hang }}
		begin := time.Now()
		record(t, s, delegated())
		synctest.Wait()
		for range 10 {
			record(t, s, delegated())
			synctest.Wait()
		}
		require.EqualValues(t, 7, s.Dropped(), "one call runs, three notices wait")
		require.Len(t, c.reports, 1, "at most one report at a time")
		require.ErrorContains(t, c.reports[0], "dropped notices: 1 ")

		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		require.ErrorIs(t, s.Close(ctx), context.Canceled)
		require.EqualValues(t, 10, s.Dropped(), "the three waiting notices are dropped too")
		record(t, s, delegated())
		require.EqualValues(t, 11, s.Dropped())
		require.ErrorIs(t, s.Close(ctx), context.Canceled, "a second call")
		require.Equal(t, begin, time.Now())

		close(hang)
		synctest.Wait()
		require.Len(t, c.reports, 2)
		require.ErrorContains(t, c.reports[1],
			"dropped notices: 10 (last cause: the sink is closed)")
	})
}

// TestW06_Patience checks that each call of Tell has a time limit, and that Close cancels the
// current call when its own context ends.
func TestW06_Patience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &collector{}
		s := &notify.Sink{Audit: &tokenexchangetest.Recorder{}, Patience: time.Minute,
			Report: c.report,
			Tell: func(ctx context.Context, _ notify.Notice) error {
				<-ctx.Done()
				return ctx.Err()
			}}
		begin := time.Now()
		record(t, s, delegated())
		record(t, s, delegated())
		require.NoError(t, s.Close(context.Background()))
		require.Equal(t, 2*time.Minute, time.Since(begin), "one call at a time")
		require.Len(t, c.reports, 2)
		require.ErrorIs(t, c.reports[0], context.DeadlineExceeded)

		s = &notify.Sink{Audit: &tokenexchangetest.Recorder{}, Report: c.report, Tell: s.Tell}
		begin = time.Now()
		record(t, s, delegated())
		record(t, s, delegated())
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		require.ErrorIs(t, s.Close(ctx), context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(begin))
		synctest.Wait()
		require.EqualValues(t, 1, s.Dropped())
		require.ErrorIs(t, errors.Join(c.reports[2:]...), context.Canceled,
			"the context of Tell was cancelled")
	})
}

// TestW06_ManyAtOnce records events while the Sink is being closed.
func TestW06_ManyAtOnce(t *testing.T) {
	c := &collector{}
	s := &notify.Sink{Audit: &tokenexchangetest.Recorder{}, Tell: c.tell, Queue: 4}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { record(t, s, delegated()) })
	}
	all.Go(func() { require.NoError(t, s.Close(context.Background())) })
	all.Wait()
	require.NoError(t, s.Close(t.Context()))
	require.EqualValues(t, 50, int64(len(c.notices))+s.Dropped(),
		"every notice is delivered or counted")
}

// TestW06_TemplateInjection checks that a name cannot add a mail header.
func TestW06_TemplateInjection(t *testing.T) {
	tmpl, err := notify.ParseTemplate("{{.Name}} acts for you",
		"{{.Name}} uses {{.Client}}.\nSince {{.Time.Format \"15:04\"}}.\n")
	require.NoError(t, err)
	type data struct {
		notify.Notice
		Name string
	}
	m, err := tmpl.Message(data{notify.NoticeOf(delegated()), "Bob"})
	require.NoError(t, err)
	require.Equal(t, notify.Message{Subject: "Bob acts for you",
		Body: "Bob uses helpdesk.\nSince 03:04.\n"}, m)

	for _, name := range []string{"Bob\r\nBcc: all@example.org", "Bob\nBcc: x", "Bob\rBcc: x",
		"Bob\u2028Bcc: x", "Bob\u0085Bcc: x", "Bob\x00\x1b[0m", "Bob\u202etxt", "Bob\ufeff"} {
		m, err := tmpl.Message(data{notify.NoticeOf(delegated()), name})
		require.NoError(t, err)
		for _, r := range "\r\n\u2028\u0085\x00\x1b\u202e\ufeff" {
			require.NotContains(t, m.Subject, string(r), "%q", name)
			if r != '\n' {
				require.NotContains(t, m.Body, string(r), "%q", name)
			}
		}
		require.True(t, strings.HasPrefix(m.Subject, "Bob "), m.Subject)
	}
	m, err = tmpl.Message(data{notify.NoticeOf(delegated()), strings.Repeat("ö", 500)})
	require.NoError(t, err)
	require.LessOrEqual(t, len(m.Subject), 200)
	require.True(t, strings.HasSuffix(m.Subject, "ö…"), m.Subject)
	_, err = tmpl.Message(data{notify.NoticeOf(delegated()), strings.Repeat("x", 65<<10)})
	require.Error(t, err, "too long")
	m, err = tmpl.Message(data{notify.NoticeOf(delegated()), "Zoë 山田 🙂"})
	require.NoError(t, err)
	require.Equal(t, "Zoë 山田 🙂 acts for you", m.Subject)
}

func TestW06_TemplateFaults(t *testing.T) {
	for _, c := range [][2]string{{"", "x"}, {"x", ""}, {" \n", "x"}, {"{{", "x"}, {"x", "{{.}"}} {
		_, err := notify.ParseTemplate(c[0], c[1])
		require.Error(t, err, "%q", c)
	}
	for _, c := range [][2]string{{"{{.Missing}}", "x"}, {"x", "{{.Missing}}"},
		{"{{.missing}}", "x"}, {"{{\"\\r\\n\"}}", "x"}} {
		tmpl, err := notify.ParseTemplate(c[0], c[1])
		require.NoError(t, err)
		_, err = tmpl.Message(notify.Notice{})
		require.Error(t, err, "%q", c)
		_, err = tmpl.Message(map[string]string{})
		require.Error(t, err, "%q: a missing key is an error", c)
	}
	var empty *notify.Template
	_, err := empty.Message(notify.Notice{})
	require.Error(t, err)
	_, err = (&notify.Template{}).Message(notify.Notice{})
	require.Error(t, err)
}
