package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// callback is the redirect URI of web. No server listens there: the code is taken from the
// redirect.
const callback = "http://localhost:9999/auth/callback"

// logIn acts as a user's browser and as the client web. It goes through the authorization code flow
// with the framework's login page, and returns the access token.
func (k *walk) logIn(ctx context.Context, user string) (string, error) {
	start := url.Values{"client_id": {"web"}, "redirect_uri": {callback}, "response_type": {"code"},
		"state": {"s"},
		"scope": {"openid profile email"}}
	page, err := k.browse(ctx, http.MethodGet, "/auth?"+start.Encode(), nil)
	if err != nil {
		return "", err
	}
	back, err := k.browse(ctx, http.MethodPost, page.Path,
		url.Values{"id": {page.Query().Get("authRequestID")},
			"username": {user}, "password": {"verysecure"}})
	if err != nil {
		return "", err
	}
	last, err := k.browse(ctx, http.MethodGet, back.RequestURI(), nil)
	if err != nil {
		return "", err
	}
	got, err := k.post(ctx, "/oauth/token", "web", url.Values{"grant_type": {"authorization_code"},
		"code": {last.Query().Get("code")}, "redirect_uri": {callback}})
	if err != nil {
		return "", err
	}
	token, ok := got.body["access_token"].(string)
	if !ok {
		return "", fmt.Errorf("%d %v", got.status, got.body["error"])
	}
	return token, nil
}

// browse makes one request and returns the target of the redirect.
func (k *walk) browse(ctx context.Context, method, path string, form url.Values) (*url.URL, error) {
	r, err := http.NewRequestWithContext(ctx, method, k.issuer+path,
		strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	browser := http.Client{Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}}
	resp, err := browser.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusFound {
		return nil, fmt.Errorf("%s %s: %s", method, r.URL.Path, resp.Status)
	}
	to, err := resp.Location()
	if err == nil && to.Query().Has("error") {
		err = errors.New(to.Query().Get("error"))
	}
	return to, err
}
