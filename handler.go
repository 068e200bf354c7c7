package tokenexchange

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/go-tokenexchange/tokenexchange/internal/endpoint"
	"github.com/go-tokenexchange/tokenexchange/internal/form"
	"github.com/go-tokenexchange/tokenexchange/internal/guard"
)

// Handler returns the token endpoint for the token exchange grant (R01). It reads a form of at most
// 256 KiB from the body, calls authenticate, and answers with the result of Exchange.
//
// authenticate can use r.PostForm, for client_secret_post, and can read r.Body once more. It
// returns an error with the code InvalidClient if it cannot authenticate the client, and with
// UnauthorizedClient if the client may not use this grant; any other error is a failure of the
// server. The user and the password of HTTP Basic are form-encoded (RFC 6749 §2.3.1); BasicAuth
// does not decode them, so authenticate must call url.QueryUnescape.
//
// If the host has parsed the form before, Handler uses r.PostForm as it is, and the host must check
// the error of ParseForm. Handler waits for a slow body as long as the limits of http.Server allow.
func (x *Exchanger) Handler(authenticate func(*http.Request) (Client, error)) http.Handler {
	return endpoint.Post[Client]{
		BodyOnly:     parameters,
		Authenticate: authenticate,
		ID:           func(c Client) string { return c.ID },
		Answer: func(r *http.Request, client Client) (http.Handler, error) {
			resp, err := x.Exchange(r.Context(), client, r.PostForm)
			if err != nil {
				return AsError(err), nil
			}
			return resp, nil
		},
		Refusal:        func(err error) http.Handler { return AsError(AsError(err).Code) },
		InvalidRequest: InvalidRequest,
		InvalidClient:  InvalidClient,
	}
}

// ExchangeRequest is Exchange for a framework that authenticates the client and writes the answer
// itself. It refuses the same requests as Handler. Since the client is known here, every refusal is
// audited (I07). ExchangeRequest reads the method, the URL, the header and the body of r, or
// PostForm if the framework has parsed the form.
//
// complete adds what the framework does not know about the client, such as its scope, its audiences
// and the keys proved in this request. If it returns an error or panics, the exchange fails. It may
// be nil.
func (x *Exchanger) ExchangeRequest(r *http.Request, client Client,
	complete func(*Client) error) (Response, error) {
	err := guard.Call(func() error {
		if err := checkRequest(r); err != nil || complete == nil {
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
	// The refusal passes through run, so that it is audited. The error may quote the form.
	secrets := slices.Concat(r.PostForm["subject_token"], r.PostForm["actor_token"])
	refused := func(context.Context, time.Time) (Request, Token, *Token, error) {
		return Request{}, Token{}, nil, err
	}
	return x.run(r.Context(), GrantType, client, refused, secrets)
}

// checkRequest refuses a request that is not a well-formed POST of a form (R01). A parameter in the
// query is refused too, because URLs are written to logs.
func checkRequest(r *http.Request) error {
	if r.Method != http.MethodPost {
		return refuse(InvalidRequest, "method_not_allowed",
			"the method is %s, not POST (R01)", r.Method)
	}
	if err := form.Read(nil, r, parameters); err != nil {
		return refuseFor(InvalidRequest, "malformed_request",
			"the request is not a form (R01)", err)
	}
	return nil
}
