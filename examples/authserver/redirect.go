package main

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

var loopback = regexp.MustCompile(`^(https?://(?:127\.0\.0\.1|\[::1\])):[0-9]{1,5}(/.*)?$`)

// sameURI reports whether a redirect URI is the registered one: the same characters (RFC 9700 §2.1), save that a loopback
// address that is registered without a port stands for all ports (RFC 8252 §7.3).
func sameURI(registered, requested string) bool {
	if m := loopback.FindStringSubmatch(requested); m != nil && registered == m[1]+m[2] {
		return true
	}
	return registered == requested
}

// isRedirectURI reports whether a client may register the URI: https, http to a loopback address, or for an app a scheme of
// its own with a dot in it (RFC 8252 §7). So none is a script.
func isRedirectURI(uri string, app bool) bool {
	u, err := url.Parse(uri)
	if err != nil || u.User != nil || strings.ContainsAny(uri, "#*\\ ") {
		return false
	}
	switch u.Scheme {
	case "https":
		return u.Host != ""
	case "http":
		return u.Hostname() == "127.0.0.1" || u.Hostname() == "::1"
	}
	return app && strings.Contains(u.Scheme, ".")
}

// checkLogin looks at what a client says about the authorization endpoint.
func (c client) checkLogin(place string) error {
	for _, uri := range slices.Concat(c.RedirectURIs, c.LogoutURIs) {
		if !isRedirectURI(uri, c.public()) {
			return fmt.Errorf("%s: %q is no redirect URI for it", place, uri)
		}
	}
	for _, t := range c.ResponseTypes {
		if !slices.Contains(allResponseTypes, t) {
			return fmt.Errorf("%s.response_types: %q is not one of %s", place, t, strings.Join(allResponseTypes, ", "))
		}
	}
	switch types := c.responseTypes(); {
	case slices.Contains(types, responseCode) != slices.Contains(c.Grants, grantCode):
		return fmt.Errorf("%s: response type code and grant authorization_code need each other", place)
	case (len(types) > 0) != (len(c.RedirectURIs) > 0):
		return fmt.Errorf("%s: redirect_uris and a response type, or the grant authorization_code, need each other", place)
	case len(types) > 0 && len(c.TokenAudience) == 0:
		return fmt.Errorf("%s.token_audience: a login needs one", place)
	}
	return nil
}

// withParams adds parameters to a URI; the rest of it stays byte for byte.
func withParams(uri, mode string, params url.Values) string {
	separator := "?"
	switch {
	case mode == modeFragment:
		separator = "#"
	case strings.Contains(uri, "?"):
		separator = "&"
	}
	return uri + separator + params.Encode()
}

// formAction is the part of a content security policy that lets the answer to a form lead on to a redirect URI: browsers hold
// the redirects that follow a form to it as well.
func formAction(uri string) string {
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		return ""
	case u.Host == "" || strings.Contains(u.Host, "["): // a scheme of an app, or an address that the policy cannot name
		return " " + u.Scheme + ":"
	}
	return " " + u.Scheme + "://" + u.Host
}
