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

// Access describes one request and its outcome, for API.Audit. It contains no query, no body and no
// usable token. Subject, Actor and Token are zero if the request had no token that is valid for
// this API.
type Access struct {
	Time         time.Time // of the request
	Method, Path string    // the path that Protect received, after any http.StripPrefix
	Status       int       // of the answer; zero if this package saw none
	Panicked     bool      // whether the handler panicked, perhaps after it had answered

	Subject Party
	Actor   Party               // zero if the subject acted themselves
	Token   tokenexchange.Token // without Claims, which may contain further tokens

	Err error // an *Error for operators if the request was refused; nil if the handler was called
}

// setToken records a token that is valid for this API.
func (a *Access) setToken(t tokenexchange.Token) {
	t.Claims = nil
	a.Token, a.Subject, a.Actor = t, subjectOf(t), actorOf(t)
}

// LogValue returns the non-empty attributes of the request under the names that tokenexchange.Event
// uses. The outcome is "answered" if the handler was called, "refused", or "failed" if the server
// failed or the handler panicked. If the actor has prior actors, chain lists all of them, so that
// the log names a person behind a service.
func (a Access) LogValue() slog.Value {
	outcome := "answered"
	switch {
	case a.Err == nil && !a.Panicked:
	case a.Err != nil && tokenexchange.AsError(a.Err).Code.Status() < 500:
		outcome = "refused"
	default:
		outcome = "failed"
	}
	attrs := []slog.Attr{
		slog.String("outcome", outcome),
		slog.String("method", a.Method),
		slog.String("path", a.Path),
		slog.Int("status", a.Status),
	}
	text := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	text("client", a.Token.ClientID)
	party := func(key string, p Party) {
		if p != (Party{}) {
			attrs = append(attrs,
				slog.Group(key, slog.String("iss", p.Issuer), slog.String("id", p.Subject)))
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
		e := tokenexchange.AsError(a.Err)
		text("error", string(e.Code))
		text("reason", e.Reason)
		text("detail", e.Detail)
		if e.Err != nil {
			text("cause", e.Err.Error())
		}
	}
	return slog.GroupValue(attrs...)
}

// path returns a chain in one line, the current actor first. Names are quoted, because a name may
// contain the separator.
func path(a *tokenexchange.Actor) string {
	var names []string
	for ; a != nil; a = a.Prior {
		names = append(names, strconv.Quote(a.Subject))
	}
	return strings.Join(names, " < ")
}

// auditTime is the time limit of Audit.
const auditTime = bounded.Usual

// ServeHTTP answers the request, or lets next answer it, and then calls Audit, even if next panics.
// The answer may have been sent by then. If a record must exist before the answer, next must write
// it.
func (p *protected) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	access := Access{Time: p.Now().UTC(), Method: r.Method, Path: r.URL.Path}
	if p.Audit == nil {
		p.serve(w, r, &access)
		return
	}
	seen := &statusWriter{ResponseWriter: w}
	access.Panicked = true // until serve returns; recover would hide the stack trace of a panic
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

// serve is ServeHTTP without the audit. It fills in access.
func (p *protected) serve(w http.ResponseWriter, r *http.Request, access *Access) {
	t, scheme, err := p.admit(r, access.Time)
	access.setToken(t)
	if err != nil {
		access.Err = err
		p.answer(w, r, scheme, err, t)
		return
	}
	p.next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), tokenKey{}, t)))
}

// statusWriter remembers the status of the answer. It implements http.Flusher;
// http.ResponseController reaches other optional methods through Unwrap.
type statusWriter struct {
	http.ResponseWriter
	status int // zero if there is none yet
}

// WriteHeader implements http.ResponseWriter. A 1xx status is not the answer, except 101.
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

// Flush implements http.Flusher.
func (w *statusWriter) Flush() {
	w.status = cmp.Or(w.status, http.StatusOK)
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap returns the writer for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
