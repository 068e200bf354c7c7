package scenarios

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/server"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
	"github.com/go-tokenexchange/tokenexchange/notify"
)

func init() { scenario("W06", scenarioW06) }

// mailbox receives messages, or fails to.
type mailbox struct {
	mu       sync.Mutex
	messages []delivered
	fail     func(context.Context) error // nil: every message is delivered
}

type delivered struct {
	to string
	notify.Message
}

func (b *mailbox) send(ctx context.Context, to string, m notify.Message) error {
	if b.fail != nil {
		if err := b.fail(ctx); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages = append(b.messages, delivered{to, m})
	return nil
}

// got waits for a number of messages.
func (b *mailbox) got(t *testing.T, n int) []delivered {
	t.Helper()
	all := func() []delivered {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.messages
	}
	require.Eventually(t, func() bool { return len(all()) >= n }, 10*time.Second, time.Millisecond)
	require.Len(t, all(), n)
	return all()
}

// letters are the templates of the scenario.
var letters = setting("notification", object{"subject": "{{.ActorName}} acts for you",
	"body": "Hello {{.UserName}},\n{{.ActorName}} may {{.Scope}} at {{range .Audience}}{{.}} " +
		"{{end}}through {{.ClientName}} until {{.Until.Format \"15:04:05\"}}.\n"})

// scenarioW06: if the world says so, a user is told when another party begins to act for them.
func scenarioW06(t *testing.T) {
	t.Run("off", func(t *testing.T) {
		box := &mailbox{}
		sc := playOn(t, server.Options{Send: box.send})
		sc.exchange(t, sc.basic("portal"), about("alice", urnUserID),
			acting(sc.logIn(t, "ines", "portal").AccessToken, urnAccess)).opaque(t)
		assert.Nil(t, sc.server.Notices)
		box.got(t, 0)
	})
	t.Run("who, what, where and until when", w06Told)
	t.Run("exchanges without a message", w06Silent)
	t.Run("a name cannot become a header", w06Names)
	t.Run("failing, hanging, throwing", w06Trouble)
	t.Run("a template that is none", func(t *testing.T) {
		for _, text := range []*world.Notification{{}, {Subject: "x"}, {Subject: "{{", Body: "x"}} {
			w := demo(t)
			w.Notification = text
			_, err := server.New(w, server.Options{Issuer: "http://as.example"})
			assert.ErrorContains(t, err, "notification")
		}
	})
}

func w06Told(t *testing.T) {
	box := &mailbox{}
	sc := playOn(t, server.Options{Send: box.send}, letters)
	alice, ines := sc.logIn(t, "alice", "portal"), sc.logIn(t, "ines", "portal")
	a := sc.exchange(t, sc.basic("portal"), about(alice.AccessToken, urnAccess),
		acting(ines.AccessToken, urnAccess),
		[]string{"scope", "read write", "audience", aggregates}).opaque(t)
	until := sc.clock.Now().Add(30 * time.Minute).Format("15:04:05")
	m := box.got(t, 1)[0]
	assert.Equal(t,
		delivered{"alice@acme.example", notify.Message{Subject: "Ines Support acts for you",
			Body: "Hello Alice Archer,\nInes Support may read write at " + aggregates +
				" through Acme Portal until " + until + ".\n"}}, m)
	for _, token := range []string{a.token(), alice.AccessToken, ines.AccessToken} {
		assert.NotContains(t, m.Body, token)
	}

	customer := sc.logIn(t, "alice", "customer")
	sc.exchange(t, sc.basic("service"), about(customer.AccessToken, urnAccess)).opaque(t)
	assert.Equal(t, "service acts for you",
		box.got(t, 2)[1].Subject, "the token names no actor (C01)")
}

func w06Silent(t *testing.T) {
	box := &mailbox{}
	sc := playOn(t, server.Options{Send: box.send}, letters)
	portal := sc.basic("portal")
	alice, ines := sc.logIn(t, "alice", "portal"), sc.logIn(t, "ines", "portal")
	sc.exchange(t, portal, about(alice.AccessToken, urnAccess), []string{"scope", "read"}).opaque(t)
	sc.exchange(t, portal, about(alice.IDToken, urnID), []string{"scope", "read"}).opaque(t)
	sc.exchange(t, portal, about("adam", urnUserID), acting(ines.AccessToken, urnAccess)).refused(t,
		tokenexchange.InvalidRequest, "D11")
	sc.own(t, portal).opaque(t)
	box.got(t, 0)

	a := sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
		acting(ines.AccessToken, urnAccess), []string{"scope", "read offline_access"}).opaque(t)
	box.got(t, 1)
	b := sc.refresh(t, portal, a.text("refresh_token")).opaque(t)
	sc.exchange(t, portal, about(b.token(), urnAccess), []string{"scope", "read"}).opaque(t)
	sc.exchange(t, portal, about("bob", urnUserID), acting(ines.AccessToken, urnAccess)).opaque(t)
	list := box.got(t, 2)
	assert.Equal(t, "bob@acme.example", list[1].to, "and none of what was already told of")
}

func w06Names(t *testing.T) {
	box := &mailbox{}
	sc := playOn(t, server.Options{Send: box.send}, letters)
	sc.changeUser("ines", func(u *world.User) {
		u.Name = "Ines\r\nBcc: all@acme.example\n\nYour password has expired"
	})
	sc.exchange(t, sc.basic("portal"), about("alice", urnUserID),
		acting(sc.logIn(t, "ines", "portal").AccessToken, urnAccess)).opaque(t)
	m := box.got(t, 1)[0]
	assert.Equal(t, "alice@acme.example", m.to)
	assert.Equal(t, "Ines Bcc: all@acme.example Your password has expired acts for you", m.Subject)
	assert.NotContains(t, m.Body, "\r")
}

// w06Trouble: whatever the sender does, exchanges are answered as before, and undelivered messages
// are counted and logged.
func w06Trouble(t *testing.T) {
	reached, hang := make(chan struct{}, 1), make(chan struct{})
	for name, fail := range map[string]func(context.Context) error{
		"fails":  func(context.Context) error { return errors.New("no route to host") },
		"throws": func(context.Context) error { panic("at_secret") },
		"hangs": func(context.Context) error {
			select {
			case reached <- struct{}{}:
			default:
			}
			<-hang
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			box := &mailbox{fail: fail}
			sc := playOn(t, server.Options{Send: box.send}, letters, quickPortal)
			if name == "hangs" {
				sc.server.Notices.Queue = 2
				t.Cleanup(func() { close(hang) }) // before the server is stopped
			}
			portal, ines := sc.private(t, "portal", "testdata/robot.pem"), sc.logIn(t, "ines",
				"portal")
			for i := range 6 {
				if i == 1 && name == "hangs" {
					<-reached
				}
				begun := time.Now()
				a := sc.exchange(t, portal, about("alice", urnUserID),
					acting(ines.AccessToken, urnAccess)).opaque(t)
				assert.Less(t, time.Since(begun), 5*time.Second)
				assert.Equal(t, http.StatusOK, a.status)
				sc.active(t, portal, a.token())
			}
			logged := func(cause string) func() bool {
				return func() bool {
					for _, line := range sc.audit.all() {
						l := objectOf([]byte(line))
						assert.NotContains(t, line, "at_secret")
						if l["msg"] == "a user was not told" &&
							strings.Contains(l["cause"].(string), cause) {
							return true
						}
					}
					return false
				}
			}
			require.Eventually(t, logged(map[string]string{"fails": "no route to host",
				"throws": "value of type string", "hangs": "dropped"}[name]), 10*time.Second,
				time.Millisecond)
			if name == "hangs" {
				assert.EqualValues(t, 3, sc.server.Notices.Dropped(), "one is under way, two wait")
			}
			assert.Empty(t, box.messages)
		})
	}
	t.Run("a user without address", func(t *testing.T) {
		box := &mailbox{}
		sc := playOn(t, server.Options{Send: box.send}, letters)
		sc.changeUser("alice", func(u *world.User) { u.Email = "" })
		sc.exchange(t, sc.basic("portal"), about("alice", urnUserID),
			acting(sc.logIn(t, "ines", "portal").AccessToken, urnAccess)).opaque(t)
		require.Eventually(t, func() bool {
			lines := sc.audit.all()
			return objectOf([]byte(
				lines[len(lines)-1]))["cause"] == "notify: Tell: the user has no e-mail address"
		}, 10*time.Second, time.Millisecond)
		box.got(t, 0)
	})
}
