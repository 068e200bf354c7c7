package resourceserver

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

// Access is one request and how it ended, for API.Audit. It has no query, no body and no token that could be used. The
// parties and Token are zero where no good token for this API was sent.
type Access struct {
	Time         time.Time // when the request came
	Method, Path string
	Status       int                 // what was answered; zero: the handler panicked before it answered
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

// ServeHTTP lets a request in or answers it, and in the end tells Audit, also where the handler panics. The context of
// Audit is not cancelled with the request. The answer may have left by then: what must be on record first is the handler's.
func (p *protected) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	access := Access{Time: p.Now().UTC(), Method: r.Method, Path: r.URL.Path}
	if p.Audit == nil {
		p.serve(w, r, &access)
		return
	}
	seen := &statusWriter{ResponseWriter: w}
	defer func() {
		access.Status = seen.status
		p.Audit(context.WithoutCancel(r.Context()), access)
	}()
	p.serve(seen, r, &access)
	seen.status = cmp.Or(seen.status, http.StatusOK)
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
