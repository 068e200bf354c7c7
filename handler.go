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

// Handler returns the token endpoint for the token exchange grant (R01). It reads the form from
// the body, of 256 KiB at most, calls authenticate and answers with the result of Exchange.
//
// authenticate can use r.PostForm, for client_secret_post, and can read r.Body once more. If the
// host has parsed the form before, Handler uses r.PostForm as it is; the host must then check the
// error of ParseForm itself.
//
// authenticate returns an error with the code InvalidClient if the client is unknown or its secret
// wrong, and with UnauthorizedClient if the client may not use this grant; any other error is a
// failure of the server. Clients form-encode the user and the password of HTTP Basic (RFC 6749
// §2.3.1), and Request.BasicAuth does not decode them: use url.QueryUnescape.
//
// Set the timeouts of http.Server; Handler waits for a slow body as long as the server does.
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

// ExchangeRequest is Exchange for a framework that has authenticated the client and writes the answer itself. It refuses
// what Handler refuses before that knows the client; here there is one, so those refusals are audited too (I07). Of r it
// needs the method, the URL, the header and PostForm, where the framework has parsed the form.
//
// complete adds to the client what the framework does not know of it: scope, audiences, the keys proved in this request.
// Its error or panic ends the exchange. Nil adds nothing.
func (x *Exchanger) ExchangeRequest(r *http.Request, client Client, complete func(*Client) error) (Response, error) {
	err := guard.Call(func() error {
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
	c := x.conductor(GrantType, client, func(context.Context, time.Time) (Request, Token, *Token, error) {
		return Request{}, Token{}, nil, err
	})
	c.secrets = slices.Concat(r.PostForm["subject_token"], r.PostForm["actor_token"])
	return c.run(r.Context())
}

// admit refuses what is no form of this grant for any client.
func admit(r *http.Request) error {
	if r.Method != http.MethodPost {
		return refuse(InvalidRequest, "the method is not POST (R01)")
	}
	if err := form.Read(nil, r, parameters); err != nil {
		return refuseFor(InvalidRequest, "malformed request", err)
	}
	return nil
}
