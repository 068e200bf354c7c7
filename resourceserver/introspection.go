package resourceserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/strictjson"
)

// Introspection asks the authorization server about every token (RFC 7662): opaque ones, and JWTs that may have been
// revoked. Nothing is remembered from one request to the next. It never prints the secret.
type Introspection struct {
	Endpoint     string       // the introspection_endpoint; https, or http to a loopback address
	ClientID     string       // of this API, for HTTP Basic. Empty: Client authenticates, by a certificate or an oauth2.Transport
	ClientSecret string       `json:"-"`
	Client       *http.Client // nil: http.DefaultClient, which needs a ClientID. Redirects are never followed
}

// The limits of one answer; the deadline of the request may be nearer.
const (
	introspectionTime = 5 * time.Second
	introspectionSize = 256 << 10
)

// Verify fits in API.Verify, and in Verifiers under TypeAccessToken. A token that is not active, has expired, is not of
// Credential.Issuer or is not shown to be an access token is InvalidRequest. Where no answer is to be had it is
// TemporarilyUnavailable; an answer that is not clear, and an Introspection that is incomplete, are ServerError.
//
// An answer must have exp, and a token_type of Bearer or DPoP, which a refresh token does not have; a token_use or
// token_usage, which some servers add, must be access_token. Without iss it speaks of the server's own tokens.
func (i Introspection) Verify(ctx context.Context, c tokenexchange.Credential) (tokenexchange.Token, error) {
	if !isSecure(i.Endpoint) || c.Issuer == "" || i.ClientID == "" && i.Client == nil {
		return noToken(tokenexchange.ServerError, "no secure Endpoint, no issuer or no credentials", nil)
	}
	body, err := i.ask(ctx, c.Token)
	if err != nil {
		return noToken(tokenexchange.TemporarilyUnavailable, "no answer", err)
	}
	if err := strictjson.Check(body); err != nil {
		return noToken(tokenexchange.ServerError, "the answer", err)
	}
	active, tokenType, use := "", "", "access_token"
	for name, value := range strictjson.Members(body) {
		switch name {
		case "active":
			active = string(value)
		case "token_type":
			tokenType, _ = strictjson.String(value)
		case "token_use", "token_usage":
			use, _ = strictjson.String(value)
		}
	}
	if active == "false" {
		return noToken(tokenexchange.InvalidRequest, "not active", nil)
	}
	t, err := tokenexchange.ParseToken(body)
	t.Type, t.Issuer = tokenexchange.TypeAccessToken, cmp.Or(t.Issuer, c.Issuer)
	isDPoP := strings.EqualFold(tokenType, dpop)
	switch {
	case err != nil || active != "true" || t.Expires.IsZero():
		return noToken(tokenexchange.ServerError, "an answer that is malformed, or without active or exp", err)
	case t.Issuer != c.Issuer:
		return noToken(tokenexchange.InvalidRequest, "a token of another issuer", nil)
	case !isDPoP && !strings.EqualFold(tokenType, bearer) || use != "access_token":
		return noToken(tokenexchange.InvalidRequest, "not shown to be an access token", nil)
	case isDPoP && t.Confirmation.JKT == "":
		return noToken(tokenexchange.InvalidRequest, "D30: a DPoP token that does not name its key", nil)
	case !c.Now.Before(t.Expires):
		return noToken(tokenexchange.InvalidRequest, "D26: expired", nil)
	}
	return t, nil
}

// ask returns the body of a 200, whole.
func (i Introspection) ask(ctx context.Context, token string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, introspectionTime)
	defer cancel()
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, i.Endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.Header["Idempotency-Key"] = nil // it is not sent, but lets net/http ask again where an idle connection was closed
	if i.ClientID != "" {
		req.SetBasicAuth(url.QueryEscape(i.ClientID), url.QueryEscape(i.ClientSecret)) // RFC 6749 §2.3.1
	}
	staying := *cmp.Or(i.Client, http.DefaultClient)
	staying.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := staying.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, introspectionSize+1))
	if err == nil && len(body) > introspectionSize {
		err = errors.New("too long")
	}
	return body, err
}

// noToken says why there is none. The code is ours, whatever the cause carries.
func noToken(code tokenexchange.Code, reason string, cause error) (tokenexchange.Token, error) {
	return tokenexchange.Token{}, &tokenexchange.Error{Code: code, Reason: "introspection: " + reason, Err: cause}
}

// Format prints whom it asks, without the secret, whatever the verb.
func (i Introspection) Format(w fmt.State, _ rune) { fmt.Fprintf(w, "{%s %q}", i.Endpoint, i.ClientID) }

// isSecure reports whether a token may be sent there. A name that merely resolves to this machine does not count.
func isSecure(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil || u.Hostname() == "" {
		return false
	}
	ip, _ := netip.ParseAddr(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (strings.EqualFold(u.Hostname(), "localhost") || ip.IsLoopback())
}
