package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/go-tokenexchange/tokenexchange"
)

// The cookies. The prefix makes browsers insist on Secure, on this host alone, and on no Domain.
// They are Lax because a login returns from the authorization server. Changes need a POST, and
// guard checks its origin.
const (
	cookieSession = "__Host-console-session"
	cookieLogin   = "__Host-console-login"
)

// person is a user as the directory describes them.
type person struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	Organization string   `json:"org"`
	Roles        []string `json:"roles"`
	Status       string   `json:"status"`
	Privileges   []string `json:"privileges"` // roles that give rights over others
}

// acting is what an operator has begun: to see the app as another user.
type acting struct {
	User    person
	Reason  string
	Scope   tokenexchange.Scope
	Expires time.Time
	token   string
}

// session is an operator who has logged in. All tokens stay in it; the browser has only its random
// name. It is locked for a whole request, except during calls to the app. So a token is known
// before it can be revoked, and stopping does not wait for the app.
type session struct {
	sync.Mutex
	operator person
	token    *oauth2.Token
	acting   *acting
	notice   string // for the next page
	ended    bool

	until, seen time.Time // of sessions.mu
}

// unlocked releases the session during a call.
func (s *session) unlocked(call func() error) error {
	s.Unlock()
	defer s.Lock()
	return call()
}

// leftover is a token that could not be revoked. It is not used any more.
type leftover struct {
	token string
	until time.Time
}

// sessions has everything that this console remembers. Their number is limited, and a login beyond
// the limit is refused.
type sessions struct {
	settings
	mu        sync.Mutex
	current   map[string]*session
	leftovers []leftover
}

func newSessions(s settings) *sessions {
	return &sessions{settings: s, current: map[string]*session{}}
}

var errTooMany = errors.New("too many sessions")

// random returns 256 random bits as text.
func random() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// add adds a session under a new name, whatever names the browser has sent.
func (s *sessions) add(operator person, tok *oauth2.Token) (id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.current) >= s.MaxSessions {
		return "", errTooMany
	}
	now := s.Now()
	until := now.Add(s.Longest)
	if tok.Expiry.Before(until) {
		until = tok.Expiry
	}
	id = random()
	s.current[id] = &session{operator: operator, token: tok, until: until, seen: now}
	return id, nil
}

// find returns the session of a request, or nil.
func (s *sessions) find(r *http.Request) *session {
	cookie, err := r.Cookie(cookieSession)
	if err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, now := s.current[cookie.Value], s.Now()
	if found == nil || s.over(found, now) {
		return nil // sweep ends it
	}
	found.seen = now
	return found
}

func (s *sessions) over(one *session, now time.Time) bool {
	return !now.Before(one.until) || !now.Before(one.seen.Add(s.Idle))
}

// remove removes the sessions that fit. The caller revokes their tokens.
func (s *sessions) remove(fits func(*session) bool) (gone []*session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, one := range s.current {
		if fits(one) {
			gone = append(gone, one)
			delete(s.current, id)
		}
	}
	return gone
}

// all returns all sessions.
func (s *sessions) all() (list []*session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.current {
		list = append(list, one)
	}
	return list
}

// leave remembers a token to revoke later.
func (s *sessions) leave(token string, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.leftovers) < s.MaxSessions {
		s.leftovers = append(s.leftovers, leftover{token, until})
	}
}

// left returns the tokens that are still to be revoked. Expired tokens are dropped.
func (s *sessions) left() []leftover {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Now()
	s.leftovers = slices.DeleteFunc(s.leftovers, func(l leftover) bool {
		return !now.Before(l.until)
	})
	return slices.Clone(s.leftovers)
}

func (s *sessions) forget(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leftovers = slices.DeleteFunc(s.leftovers, func(l leftover) bool { return l.token == token })
}

// setCookie sets a cookie until the browser is closed, or for an age. An empty value deletes it.
func setCookie(w http.ResponseWriter, name, value string, age time.Duration) {
	c := &http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true,
		SameSite: http.SameSiteLaxMode, MaxAge: int(age.Seconds())}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// sweep ends expired sessions and expired acting until ctx ends, even if no browser sends requests.
func (c *console) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepTime)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.sweepOnce(ctx)
		}
	}
}

// sweepTime is how long something expired may stay without requests.
const sweepTime = 5 * time.Second

func (c *console) sweepOnce(ctx context.Context) {
	now := c.Now()
	c.endAll(ctx, c.sessions.remove(func(s *session) bool { return c.sessions.over(s, now) }))
	for _, s := range c.sessions.all() {
		if s.TryLock() { // otherwise it is in use, and a request checks it
			c.endExpired(ctx, s)
			s.Unlock()
		}
	}
	for _, l := range c.sessions.left() {
		if c.as.end(ctx, l.token) != nil {
			return // the server has not started yet
		}
		c.sessions.forget(l.token)
		c.Log.Info("a token has been ended late")
	}
}

func (c *console) endAll(ctx context.Context, list []*session) {
	for _, s := range list {
		s.Lock()
		c.endSession(ctx, s)
		s.Unlock()
	}
}

// endToken revokes a token, and retries later if that is not confirmed.
func (c *console) endToken(ctx context.Context, token string, until time.Time) error {
	err := c.as.end(ctx, token)
	if err != nil {
		c.sessions.leave(token, until)
		c.Log.Warn("a token is not known to have ended; it will be tried again", "cause",
			err.Error())
	}
	return err
}
