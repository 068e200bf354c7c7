package tokenexchange

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/go-tokenexchange/tokenexchange/internal/form"
)

// Handler is the token endpoint for this one grant (R01). authenticate runs after the body has been read, so r.PostForm
// is there for client_secret_post, and r.Body can be read once more. A form that the host has parsed already is used as
// it is, so whoever parses it must look at the error of ParseForm. In a form that is parsed here, a value of more than 64
// KiB, and what follows 17 values of one name, stands as it was sent, with its escapes: no exchange can use either (R10).
//
// A client that could not be authenticated is an error with the code InvalidClient, one without this grant
// UnauthorizedClient; an error without a Code is a failure. Mind that user and password of Basic are form-encoded below the
// base64 (RFC 6749 §2.3.1): Request.BasicAuth leaves url.QueryUnescape to its caller. Bodies that never end are cut by the
// limits of http.Server.
func (x *Exchanger) Handler(authenticate func(*http.Request) (Client, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			refuse(InvalidRequest, "").serve(w, http.StatusMethodNotAllowed)
			return
		}
		if problem := form.Read(w, r, parameters); problem != nil {
			refuseFor(InvalidRequest, problem.Reason, problem.Err).ServeHTTP(w, r)
			return
		}
		client, err := authenticated(r, authenticate)
		if err != nil {
			err.ServeHTTP(w, r)
			return
		}
		resp, failed := x.Exchange(r.Context(), client, r.PostForm)
		if failed != nil {
			AsError(failed).ServeHTTP(w, r)
			return
		}
		resp.ServeHTTP(w, r)
	})
}

// ExchangeRequest is Exchange for a framework that has authenticated the client and writes the answer itself. It refuses
// what Handler refuses before that knows the client; here there is one, so those refusals are audited too (I07). Of r it
// needs the method, the URL, the header and PostForm, where the framework has parsed the form.
//
// complete adds to the client what the framework does not know of it: scope, audiences, the keys proved in this request.
// Its error or panic ends the exchange. Nil adds nothing.
func (x *Exchanger) ExchangeRequest(r *http.Request, client Client, complete func(*Client) error) (Response, error) {
	err := guard(func() error {
		if err := admit(r); err != nil || complete == nil {
			return err
		}
		completed := client
		if err := complete(&completed); err != nil {
			return err
		}
		client = completed
		return nil
	})
	if err == nil {
		return x.Exchange(r.Context(), client, r.PostForm)
	}
	secrets := slices.Concat(r.PostForm["subject_token"], r.PostForm["actor_token"])
	refused := func(context.Context, time.Time) (Request, Token, *Token, error) {
		return Request{}, Token{}, nil, err
	}
	return x.run(r.Context(), GrantType, client, refused, secrets)
}

// admit refuses what is no form of this grant for any client.
func admit(r *http.Request) error {
	if r.Method != http.MethodPost {
		return refuse(InvalidRequest, "R01: not a POST")
	}
	if problem := form.Read(nil, r, parameters); problem != nil {
		return refuseFor(InvalidRequest, problem.Reason, problem.Err)
	}
	return nil
}

// authenticated asks the host who the client is. What the host says about it stays inside.
func authenticated(r *http.Request, authenticate func(*http.Request) (Client, error)) (client Client, refused *Error) {
	err := guard(func() (err error) {
		client, err = authenticate(r)
		return err
	})
	if err == nil && client.ID == "" {
		err = InvalidClient
	}
	if err != nil {
		return Client{}, refuseFor(AsError(err).Code, "", err)
	}
	return client, nil
}
