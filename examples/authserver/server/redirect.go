package server

import (
	"net/url"
	"regexp"
	"strings"
)

var loopback = regexp.MustCompile(`^(https?://(?:127\.0\.0\.1|\[::1\])):[0-9]{1,5}(/.*)?$`)

// sameURI reports whether a redirect URI is the registered one. It must have the same characters
// (RFC 9700 §2.1), but a registered loopback address without a port stands for all ports (RFC 8252
// §7.3).
func sameURI(registered, requested string) bool {
	if m := loopback.FindStringSubmatch(requested); m != nil && registered == m[1]+m[2] {
		return true
	}
	return registered == requested
}

// withParams adds parameters to a URI. The rest of the URI stays byte for byte.
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

// formAction is the part of a content security policy that allows the answer to a form to redirect
// to the redirect URI. Browsers apply form-action to redirects as well.
func formAction(uri string) string {
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		return ""
	// the scheme of an app, or an address that the policy cannot name
	case u.Host == "" || strings.Contains(u.Host, "["):
		return " " + u.Scheme + ":"
	}
	return " " + u.Scheme + "://" + u.Host
}
