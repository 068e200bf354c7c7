package world

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/go-tokenexchange/tokenexchange"
)

func (w *World) checkClients() error {
	for i, c := range w.Clients {
		place := fmt.Sprintf("clients[%d] (%s)", i, c.ID)
		bySecret := slices.Contains(c.AuthMethods, SecretBasic) ||
			slices.Contains(c.AuthMethods, SecretPost)
		for _, grant := range c.Grants {
			if !slices.Contains(AllGrants, grant) {
				return fmt.Errorf("%s.grants: %q is not one of %s", place, grant,
					strings.Join(AllGrants, ", "))
			}
		}
		for _, method := range c.AuthMethods {
			if !slices.Contains(AllMethods, method) {
				return fmt.Errorf("%s.auth_methods: %q is not one of %s", place, method,
					strings.Join(AllMethods, ", "))
			}
		}
		switch {
		case c.Secret != "" && c.SecretHash != "":
			return fmt.Errorf("%s: secret together with secret_bcrypt", place)
		case bySecret != (c.Secret != "" || c.SecretHash != ""):
			return fmt.Errorf("%s: a secret and a method that uses it need each other", place)
		case slices.Contains(c.AuthMethods, PrivateKeyJWT) && len(c.JWKS) == 0:
			return fmt.Errorf("%s: private_key_jwt without jwks", place)
		case c.Public() && slices.Contains(c.Grants, GrantClient):
			return fmt.Errorf("%s.grants: client_credentials of a public client", place)
		case c.Public() && len(c.JWKS) > 0:
			return fmt.Errorf("%s.jwks: the client is public", place)
		case slices.Contains(c.Grants, GrantClient) && len(c.TokenAudience) == 0:
			return fmt.Errorf("%s.token_audience: client_credentials needs one", place)
		case slices.Contains(c.Audiences, "") || slices.Contains(c.TokenAudience, ""):
			return fmt.Errorf("%s: an empty name in audiences or token_audience", place)
		case !isHash(c.SecretHash):
			return fmt.Errorf("%s.secret_bcrypt: not a bcrypt hash", place)
		}
		if err := checkScope(place, c.Scope); err != nil {
			return err
		}
		if err := c.checkLogin(place); err != nil {
			return err
		}
	}
	return nil
}

// checkLogin checks the settings for the authorization endpoint.
func (c Client) checkLogin(place string) error {
	for _, uri := range slices.Concat(c.RedirectURIs, c.LogoutURIs) {
		if !isRedirectURI(uri, c.Public()) {
			return fmt.Errorf("%s: %q is not an allowed redirect URI", place, uri)
		}
	}
	for _, t := range c.ResponseTypes {
		if !slices.Contains(AllResponseTypes, t) {
			return fmt.Errorf("%s.response_types: %q is not one of %s", place, t,
				strings.Join(AllResponseTypes, ", "))
		}
	}
	switch types := c.AllowedResponseTypes(); {
	case slices.Contains(types, ResponseCode) != slices.Contains(c.Grants, GrantCode):
		return fmt.Errorf("%s: response type code and grant authorization_code need each other",
			place)
	case (len(types) > 0) != (len(c.RedirectURIs) > 0):
		return fmt.Errorf("%s: redirect_uris and a response type, or the grant "+
			"authorization_code, need each other", place)
	case len(types) > 0 && len(c.TokenAudience) == 0:
		return fmt.Errorf("%s.token_audience: a login needs one", place)
	}
	return nil
}

// isRedirectURI reports whether a client may register the URI: https, http to a loopback address,
// or, for an app, its own scheme with a dot in it (RFC 8252 §7). A script is never one of these.
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

// checkGrants checks the settings for tickets, act_as, assertions and embedded tokens.
func (w *World) checkGrants() error {
	for i, c := range w.Clients {
		place := fmt.Sprintf("clients[%d] (%s)", i, c.ID)
		asks := slices.ContainsFunc(c.ResponseTypes, IsTicketResponse)
		switch {
		case asks != (c.TicketLifetime != 0):
			return fmt.Errorf(
				"%s: subject_token_lifetime and a response type with subject_token need each other",
				place)
		case asks && (c.Public() || !slices.Contains(c.Grants, tokenexchange.GrantType)):
			return fmt.Errorf(
				"%s.response_types: a subject_token is for a client that authenticates and may "+
					"exchange it", place)
		case c.Preapproved && c.Public():
			// RFC 6749 §10.2
			return fmt.Errorf("%s.preapproved: any program can use the id of a public client",
				place)
		}
		for _, id := range c.ActsFor {
			if !w.hasUser(id) {
				return fmt.Errorf("%s.acts_for: there is no user %q", place, id)
			}
		}
	}
	if len(w.Embedded.Rules) > 0 && w.Embedded.Claim == "" {
		return errors.New("embedded.claim is missing")
	}
	return nil
}
