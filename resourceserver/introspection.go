package resourceserver

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/refusal"
	"github.com/go-tokenexchange/tokenexchange/internal/strictjson"
)

// Introspection verifies tokens by asking the authorization server (RFC 7662), so it works for
// opaque tokens and notices that a token was revoked. It caches nothing. It never prints the
// secret.
type Introspection struct {
	Endpoint string // the introspection_endpoint: https, or http to a loopback address

	// ClientID and ClientSecret authenticate the API with HTTP Basic. If ClientID is empty, Client
	// must authenticate it, by a certificate or an oauth2.Transport.
	ClientID     string
	ClientSecret string `json:"-"`

	// Client sends the requests. It never follows redirects. Nil is http.DefaultClient, which needs
	// a ClientID.
	Client *http.Client
}

// The limits of one answer. The deadline of the request may be earlier.
const (
	introspectionTime = 5 * time.Second
	introspectionSize = 256 << 10
)

// Verify can be used as API.Verify, and in Verifiers for TypeAccessToken. It returns InvalidRequest
// for a token that is inactive, expired, not of Credential.Issuer, or not shown to be an access
// token. It returns TemporarilyUnavailable if the server does not answer, and ServerError if the
// answer is malformed or the Introspection incomplete.
//
// The answer must have exp, and a token_type of Bearer or DPoP, which a refresh token does not
// have. Some servers add token_use or token_usage, which must be access_token. An answer without
// iss is about a token of the server itself.
func (i Introspection) Verify(ctx context.Context, c tokenexchange.Credential) (
	tokenexchange.Token, error) {
	if !isSecure(i.Endpoint) || c.Issuer == "" || i.ClientID == "" && i.Client == nil {
		return tokenexchange.Token{}, refusal.New(tokenexchange.ServerError,
			"introspection_incomplete", "Introspection needs an Endpoint with https, ClientID or "+
				"Client, and an issuer; Endpoint is %q, ClientID is %q, the issuer is %q",
			i.Endpoint, i.ClientID, c.Issuer)
	}
	body, err := i.ask(ctx, c.Token)
	if err != nil {
		return tokenexchange.Token{}, refusal.WithCause(err, tokenexchange.TemporarilyUnavailable,
			"introspection_unavailable", "%q did not answer with status 200", i.Endpoint)
	}
	if err := strictjson.Check(body); err != nil {
		return tokenexchange.Token{}, refusal.WithCause(err, tokenexchange.ServerError,
			"introspection_malformed", "the answer of %q is malformed", i.Endpoint)
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
		return tokenexchange.Token{}, refusal.New(tokenexchange.InvalidRequest,
			"token_inactive", "%q answered that the token is not active", i.Endpoint)
	}
	t, err := tokenexchange.ParseToken(body)
	t.Type, t.Issuer = tokenexchange.TypeAccessToken, cmp.Or(t.Issuer, c.Issuer)
	isDPoP := strings.EqualFold(tokenType, dpop)
	switch {
	case err != nil || active != "true" || t.Expires.IsZero():
		return tokenexchange.Token{}, refusal.WithCause(err, tokenexchange.ServerError,
			"introspection_malformed", "the answer of %q is malformed, or has no active or no exp",
			i.Endpoint)
	case t.Issuer != c.Issuer:
		return tokenexchange.Token{}, refusal.New(tokenexchange.InvalidRequest,
			"issuer_mismatch", "the issuer is %q, not %q (R08)", t.Issuer, c.Issuer)
	case !isDPoP && !strings.EqualFold(tokenType, bearer) || use != "access_token":
		return tokenexchange.Token{}, refusal.New(tokenexchange.InvalidRequest,
			"not_an_access_token",
			"token_type is %q and token_use %q, which shows no access token "+
				"(R07)", tokenType, use)
	case isDPoP && t.Confirmation.JKT == "":
		return tokenexchange.Token{}, refusal.New(tokenexchange.InvalidRequest,
			"key_missing", "token_type is DPoP, and the answer has no cnf.jkt (D30)")
	case !c.Now.Before(t.Expires):
		return tokenexchange.Token{}, refusal.New(tokenexchange.InvalidRequest,
			"token_expired", "the token expired at %s (D26)", t.Expires.Format(time.RFC3339))
	}
	return t, nil
}

// ask returns the body of an answer with status 200.
func (i Introspection) ask(ctx context.Context, token string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, introspectionTime)
	defer cancel()
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	body := strings.NewReader(form.Encode())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, i.Endpoint, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	// A nil value is not sent, but lets net/http retry if the server has closed an idle connection.
	req.Header["Idempotency-Key"] = nil
	if i.ClientID != "" {
		// Both are form-encoded (RFC 6749 §2.3.1).
		req.SetBasicAuth(url.QueryEscape(i.ClientID), url.QueryEscape(i.ClientSecret))
	}
	client := *cmp.Or(i.Client, http.DefaultClient)
	client.CheckRedirect = func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, introspectionSize+1))
	if err == nil && len(answer) > introspectionSize {
		err = fmt.Errorf("the answer is longer than %d bytes", introspectionSize)
	}
	return answer, err
}

// Format prints the endpoint and the client, without the secret, for every verb.
func (i Introspection) Format(w fmt.State, _ rune) {
	fmt.Fprintf(w, "{%s %q}", i.Endpoint, i.ClientID)
}

// isSecure reports whether tokens may be sent to the endpoint: over https, or to localhost. A host
// name that resolves to a loopback address does not count.
func isSecure(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil || u.Hostname() == "" {
		return false
	}
	ip, _ := netip.ParseAddr(u.Hostname())
	isLocal := strings.EqualFold(u.Hostname(), "localhost") || ip.IsLoopback()
	return u.Scheme == "https" || u.Scheme == "http" && isLocal
}
