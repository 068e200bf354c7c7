package resourceserver

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/bounded"
)

// Access is one request and how it ended, for API.Audit. It has no query, no body and no token that could be used. The
// parties and Token are zero where no good token for this API was sent.
type Access struct {
	Time         time.Time           // when the request came
	Method, Path string              // the path as Protect saw it: inside of an http.StripPrefix, without the prefix
	Status       int                 // what was answered; zero: nothing, as far as this package saw
	Panicked     bool                // the handler did, whatever it had answered by then
	Subject      Party               // whom the token is about
	Actor        Party               // who acted on their behalf; zero: nobody did
	Token        tokenexchange.Token // ID, ClientID, Scope, and prior actors as history; no Claims, where other tokens may be
	Err          error               // why the request was not let in, an *Error for operators; nil: the handler answered
}

// is takes over what a good token says.
func (a *Access) is(t tokenexchange.Token) {
	t.Claims = nil
	a.Token, a.Subject, a.Actor = t, subjectOf(t), actorOf(t)
}

// LogValue names both people, the client, what was asked for with which scope, and the outcome: answered, refused where the
// request was not let in, failed where that was this side's fault or the handler panicked. Where others acted before the
// actor, the chain has all of them, so that a person behind a service is on record too. What is empty is left out. The names
// of its attributes are those of tokenexchange.Event.
func (a Access) LogValue() slog.Value {
	outcome := "answered"
	switch {
	case a.Err != nil && tokenexchange.AsError(a.Err).Code.Status() < http.StatusInternalServerError:
		outcome = "refused"
	case a.Err != nil || a.Panicked:
		outcome = "failed"
	}
	attrs := []slog.Attr{slog.String("outcome", outcome), slog.String("method", a.Method), slog.String("path", a.Path),
		slog.Int("status", a.Status)}
	text := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	text("client", a.Token.ClientID)
	party := func(key string, p Party) {
		if p != (Party{}) {
			attrs = append(attrs, slog.Group(key, slog.String("iss", p.Issuer), slog.String("id", p.Subject)))
		}
	}
	party("subject", a.Subject)
	party("actor", a.Actor)
	if t := a.Token.Actor; t != nil && t.Prior != nil {
		text("chain", path(t))
	}
	text("scope", a.Token.Scope.String())
	text("token_id", a.Token.ID)
	if a.Err != nil {
		text("cause", a.Err.Error())
	}
	return slog.GroupValue(attrs...)
}

// path is a chain in one line, the current actor first. Names are quoted, so that none can pretend to be two.
func path(a *tokenexchange.Actor) string {
	var names []string
	for ; a != nil; a = a.Prior {
		names = append(names, strconv.Quote(a.Subject))
	}
	return strings.Join(names, " < ")
}

// auditTime is how long Audit may take.
const auditTime = bounded.Usual

// ServeHTTP lets a request in or answers it, and in the end tells Audit, also where the handler
// panics. The context of Audit is not cancelled with the request, and ends after auditTime; then
// Audit is not waited for, even if it ignores its context. The answer may have left by then: what
// must be on record first is the handler's.
func (p *protected) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	access := Access{Time: p.Now().UTC(), Method: r.Method, Path: r.URL.Path}
	if p.Audit == nil {
		p.serve(w, r, &access)
		return
	}
	seen := &statusWriter{ResponseWriter: w}
	access.Panicked = true // until it has returned; a recover would hide the panic's own trace
	defer func() {
		access.Status = seen.status
		_ = bounded.Call(r.Context(), auditTime, func(ctx context.Context) error {
			p.Audit(ctx, access)
			return nil
		})
	}()
	p.serve(seen, r, &access)
	access.Panicked, seen.status = false, cmp.Or(seen.status, http.StatusOK)
}

// serve is ServeHTTP but for the audit, for which it fills in access.
func (p *protected) serve(w http.ResponseWriter, r *http.Request, access *Access) {
	t, scheme, err := p.admit(r, access.Time)
	access.is(t)
	if err != nil {
		access.Err = err
		p.answer(w, r, scheme, err, t)
		return
	}
	p.next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), tokenKey{}, t)))
}

// statusWriter remembers the status. Of what else a ResponseWriter can do it has Flush; http.ResponseController finds the
// rest.
type statusWriter struct {
	http.ResponseWriter
	status int // zero: none yet
}

// WriteHeader passes on. A 1xx is no answer yet, save a 101, which no other follows.
func (w *statusWriter) WriteHeader(status int) {
	if status >= http.StatusOK || status == http.StatusSwitchingProtocols {
		w.status = cmp.Or(w.status, status)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	w.status = cmp.Or(w.status, http.StatusOK)
	return w.ResponseWriter.Write(b)
}

// Flush flushes if the writer below can.
func (w *statusWriter) Flush() {
	w.status = cmp.Or(w.status, http.StatusOK)
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
