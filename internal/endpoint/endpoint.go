// Package endpoint has what the endpoints of an authorization server have in common: they take a
// form by POST from a client that the host authenticates, and answer with JSON that must not be
// stored.
package endpoint

import (
	"fmt"
	"net/http"

	"github.com/go-tokenexchange/tokenexchange/internal/form"
	"github.com/go-tokenexchange/tokenexchange/internal/guard"
)

// Post is an endpoint that takes a form by POST (R01, R09). Package tokenexchange uses it too, so
// Post does not import it and is told about clients and errors. All fields but Report are required.
type Post[Client any] struct {
	BodyOnly []string // the parameters that must not be in the query

	// Authenticate is the host's function. It must return a client that has an ID, or an error.
	Authenticate func(*http.Request) (Client, error)
	ID           func(Client) string

	// Answer answers the form in r.PostForm.
	Answer func(r *http.Request, client Client) (http.Handler, error)

	// Report is told of every error but a method other than POST. Nil ignores them.
	Report func(*http.Request, error)

	// Refusal is the answer to an error. It must not show the text of the error.
	Refusal func(error) http.Handler

	// The error codes of what Post refuses itself.
	InvalidRequest, InvalidClient error
}

func (p Post[Client]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		p.Refusal(p.InvalidRequest).ServeHTTP(notAllowed{w}, r)
		return
	}
	answer, err := p.answer(w, r)
	if err != nil {
		if p.Report != nil {
			p.Report(r, err)
		}
		answer = p.Refusal(err)
	}
	answer.ServeHTTP(w, r)
}

// answer reads the form first, because the client may have put its secret there. A panic of the
// host is an error (I12).
func (p Post[Client]) answer(w http.ResponseWriter, r *http.Request) (http.Handler, error) {
	if err := form.Read(w, r, p.BodyOnly); err != nil {
		return nil, fmt.Errorf("%w: malformed request: %w", p.InvalidRequest, err)
	}
	var client Client
	err := guard.Call(func() (err error) {
		client, err = p.Authenticate(r)
		return err
	})
	if err == nil && p.ID(client) == "" {
		err = fmt.Errorf("%w: the host returned a client without ID", p.InvalidClient)
	}
	if err != nil {
		return nil, err
	}
	var answer http.Handler
	err = guard.Call(func() (err error) {
		answer, err = p.Answer(r, client)
		return err
	})
	return answer, err
}

// notAllowed replaces the status of an answer by 405.
type notAllowed struct{ http.ResponseWriter }

func (w notAllowed) WriteHeader(int) {
	w.ResponseWriter.WriteHeader(http.StatusMethodNotAllowed)
}
