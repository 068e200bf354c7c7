package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
	"github.com/go-tokenexchange/tokenexchange/grants"
)

// maxForm is how many bytes the body of a request may have, as in the library.
const maxForm = 256 << 10

// tokenEndpoint passes a request to the grant that it names. Every other request, malformed ones
// included, goes to the exchange, which answers it by its own rules and records it.
func (s *Server) tokenEndpoint() http.Handler {
	exchange := s.Exchanger.Handler(s.authenticate(tokenexchange.GrantType))
	grants := map[string]http.Handler{
		world.GrantCode: s.codeGrant(),
		world.GrantRefresh: s.Tokens.RefreshHandler(s.Exchanger,
			s.authenticate(world.GrantRefresh)),
		world.GrantClient: s.clientCredentials(),

		grants.GrantJWTBearer: s.assertions.Handler(s.Exchanger,
			s.authenticate(grants.GrantJWTBearer)),
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		form := peek(r)
		r = r.WithContext(withReason(r.Context(), form.Get(paramReason)))
		if grant := grants[grantType(form)]; grant != nil && r.Method == http.MethodPost {
			grant.ServeHTTP(w, r)
			return
		}
		exchange.ServeHTTP(w, r)
	})
}

// peek reads the form in the body and restores the body. It returns nil if the body is too long or
// is not a form.
func peek(r *http.Request) url.Values {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxForm+1))
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
	form, malformed := url.ParseQuery(string(body))
	if err != nil || malformed != nil || len(body) > maxForm {
		return nil
	}
	return form
}

// grantType returns the grant_type of a form, or "" if there is none or more than one.
func grantType(form url.Values) string {
	if len(form["grant_type"]) != 1 {
		return ""
	}
	return form.Get("grant_type")
}

// clientCredentials is the grant by which services get tokens of their own (RFC 6749 §4.4). It runs
// the exchange with the authenticated client as subject token, so its tokens are decided about,
// issued and audited like all others.
func (s *Server) clientCredentials() http.Handler {
	authenticate := s.authenticate(world.GrantClient)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := readClient(w, r, authenticate)
		if err != nil {
			code := tokenexchange.AsError(err).Code // the code alone: the reason is in the log
			tokenexchange.AsError(code).ServeHTTP(w, r)
			return
		}
		answer, err := s.Exchanger.Run(r.Context(), world.GrantClient, c,
			func(_ context.Context, now time.Time) (
				tokenexchange.Request, tokenexchange.Token, *tokenexchange.Token, error) {
				self := tokenexchange.Token{
					Type: world.TypeClient, Kind: tokenexchange.KindClient, ID: rand.Text(),
					Issuer: s.Issuer, Subject: c.ID, ClientID: c.ID,
					Scope: c.Scope, Issued: now, Expires: now.Add(time.Minute),
				}
				req, err := clientRequest(r.PostForm)
				if err != nil {
					return req, self, nil, err
				}
				return s.actAs.Open(req, r.PostForm.Get("claims"), self)
			})
		if err != nil {
			tokenexchange.AsError(err).ServeHTTP(w, r)
			return
		}
		answer.ServeHTTP(w, r)
	})
}

// readClient reads the form from the body of a POST and authenticates the client.
func readClient(w http.ResponseWriter, r *http.Request,
	authenticate func(*http.Request) (tokenexchange.Client, error)) (tokenexchange.Client, error) {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset, given := params["charset"]
	switch {
	case err != nil || media != "application/x-www-form-urlencoded" || given &&
		!strings.EqualFold(charset, "utf-8"):
		return tokenexchange.Client{}, refuse("the body is not a form")
	case r.URL.RawQuery != "":
		return tokenexchange.Client{}, refuse("parameters in the query")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return tokenexchange.Client{}, refuse("the form cannot be read")
	}
	return authenticate(r)
}

// clientRequest reads the parameters of client_credentials. Only audience and resource may be
// repeated, and a parameter without a value counts as not sent.
func clientRequest(form url.Values) (req tokenexchange.Request, err error) {
	for name, values := range form {
		if len(values) > 1 && name != "audience" && name != "resource" {
			return req, refuse("a parameter is repeated")
		}
	}
	for _, value := range form["audience"] {
		if value != "" {
			req.Audience = append(req.Audience, value)
		}
	}
	for _, value := range form["resource"] {
		if value != "" {
			req.Resource = append(req.Resource, value)
		}
	}
	if form.Get("authorization_details") != "" {
		return req, tokenexchange.InvalidAuthorizationDetails
	}
	if scope := form.Get("scope"); scope != "" {
		if req.Scope, err = tokenexchange.ParseScope(scope); err != nil {
			err = errors.Join(tokenexchange.InvalidScope, err)
		}
	}
	return req, err
}
