package world

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"github.com/go-tokenexchange/tokenexchange"
)

// Check compares the members with each other: every name must exist, and no name may stand for two
// things.
func (w *World) Check() error {
	for _, check := range []func() error{w.checkHead, w.checkRoles, w.checkNames, w.checkUsers,
		w.checkClients, w.checkIssuers, w.checkLogins, w.checkPolicy, w.checkGrants} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (w *World) checkHead() error {
	if w.Issuer != "" {
		u, err := url.Parse(w.Issuer)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" ||
			u.Scheme+"://"+u.Host != w.Issuer {
			return fmt.Errorf("issuer: %q is not a scheme and a host, without a path", w.Issuer)
		}
	}
	switch {
	case !slices.Contains([]string{"", "act", "act_as"}, w.ClaimShape):
		return fmt.Errorf("claim_shape: %q is neither act nor act_as", w.ClaimShape)
	case w.UserIDType != "" && (!strings.Contains(string(w.UserIDType), ":") ||
		strings.HasPrefix(string(w.UserIDType), "urn:ietf:")):
		return fmt.Errorf("user_id_token_type: %q is not a URI of your own", w.UserIDType)
	case w.Lifetimes.AccessToken == 0 || w.Lifetimes.RefreshToken == 0 || w.Lifetimes.Session == 0:
		return fmt.Errorf("lifetimes: access_token, refresh_token and session are needed")
	case w.Management.Audience == "" || !isScope(w.Management.Scope):
		return fmt.Errorf("management_api: audience and one scope are needed")
	case w.Management.Delegations != "" && !isScope(w.Management.Delegations):
		return fmt.Errorf("management_api: delegations_scope is not one scope")
	case len(w.Policy) == 0:
		return fmt.Errorf("policy is missing")
	}
	if _, err := tokenexchange.ParsePolicy(w.Policy); err != nil { // early, before a port is taken
		return fmt.Errorf("policy: %w", err)
	}
	return nil
}

// isScope reports whether s is exactly one scope token.
func isScope(s string) bool {
	list, err := tokenexchange.ParseScope(s)
	return err == nil && len(list) == 1
}

func (w *World) checkRoles() error {
	for name, r := range w.Roles {
		if r.Impersonates == nil {
			continue
		}
		for _, other := range r.Impersonates.Administrators {
			if _, known := w.Roles[other]; !known {
				return fmt.Errorf("roles.%s.impersonates.administrators: there is no role %q", name,
					other)
			}
		}
	}
	return nil
}

// checkNames keeps names apart that could be taken for each other. Users and clients share sub and
// act, and a client signs under its id as an issuer does.
func (w *World) checkNames() error {
	names, places := map[string]string{}, map[string]bool{}
	take := func(place, name string) error {
		switch {
		case name == "":
			return fmt.Errorf("%s is missing", place)
		case names[name] != "":
			return fmt.Errorf("%s: %q is the name of %s too", place, name, names[name])
		}
		names[name] = place
		return nil
	}
	if w.Issuer != "" {
		names[w.Issuer] = "issuer"
	}
	for i, u := range w.Users {
		if err := take(fmt.Sprintf("users[%d].id", i), u.ID); err != nil {
			return err
		}
	}
	for i, c := range w.Clients {
		if err := take(fmt.Sprintf("clients[%d].id", i), c.ID); err != nil {
			return err
		}
	}
	for i, f := range w.Issuers {
		if err := take(fmt.Sprintf("foreign_issuers[%d].issuer", i), f.Issuer); err != nil {
			return err
		}
	}
	for i, o := range w.Organizations {
		if o.ID == "" || places[o.ID] {
			return fmt.Errorf("organizations[%d].id: missing, or not unique", i)
		}
		places[o.ID] = true
	}
	return nil
}

func (w *World) checkUsers() error {
	known := func(id string) bool {
		return slices.ContainsFunc(w.Organizations, func(o organization) bool { return o.ID == id })
	}
	for i, u := range w.Users {
		place := fmt.Sprintf("users[%d] (%s)", i, u.ID)
		if !known(u.Organization) {
			return fmt.Errorf("%s.org: there is no organization %q", place, u.Organization)
		}
		for _, o := range u.Organizations {
			if !known(o) {
				return fmt.Errorf("%s.organizations: there is no organization %q", place, o)
			}
		}
		for _, name := range u.Roles {
			if _, known := w.Roles[name]; !known {
				return fmt.Errorf("%s.roles: there is no role %q", place, name)
			}
		}
		if u.Password != "" && u.PasswordHash != "" || len(u.Password) > longestSecret {
			return fmt.Errorf("%s: password together with password_bcrypt, or too long for it",
				place)
		}
		if !isHash(u.PasswordHash) {
			return fmt.Errorf("%s.password_bcrypt: not a bcrypt hash", place)
		}
		if err := checkScope(place, u.Scope); err != nil {
			return err
		}
		if err := w.checkAccounts(place, u); err != nil {
			return err
		}
	}
	return nil
}

func (w *World) checkAccounts(place string, u User) error {
	for id, scope := range u.Accounts {
		if id == u.ID || !slices.ContainsFunc(w.Users, func(u User) bool { return u.ID == id }) {
			return fmt.Errorf("%s.accounts: %q is not another user", place, id)
		}
		if err := checkScope(place+".accounts."+id, scope); err != nil || len(scope) == 0 {
			return errors.Join(fmt.Errorf("%s.accounts.%s: scopes are needed", place, id), err)
		}
	}
	return nil
}

// isHash reports whether s is empty or a bcrypt hash. Another string would make every secret wrong.
func isHash(s string) bool {
	_, err := bcrypt.Cost([]byte(s))
	return s == "" || err == nil
}

func checkScope(place string, scope tokenexchange.Scope) error {
	for _, token := range scope {
		if !isScope(token) {
			return fmt.Errorf("%s.scope: %q is malformed", place, token)
		}
	}
	return nil
}

func (w *World) checkIssuers() error {
	for i, f := range w.Issuers {
		for theirs, scope := range f.Scopes {
			if err := checkScope(fmt.Sprintf("foreign_issuers[%d] (%s).scopes.%s", i, f.Issuer,
				theirs), scope); err != nil {
				return err
			}
		}
		for sub, id := range f.Links {
			if !w.hasUser(id) {
				return fmt.Errorf("foreign_issuers[%d] (%s).links.%s: there is no user %q", i,
					f.Issuer, sub, id)
			}
		}
	}
	return nil
}

func (w *World) checkLogins() error {
	for name, l := range w.Logins {
		switch i := slices.IndexFunc(w.Clients, func(c Client) bool { return c.ID == l.Client }); {
		case !slices.ContainsFunc(w.Users, func(u User) bool { return u.ID == l.User }):
			return fmt.Errorf("logins.%s.user: there is no user %q", name, l.User)
		case i < 0:
			return fmt.Errorf("logins.%s.client: there is no client %q", name, l.Client)
		case len(w.Clients[i].TokenAudience) == 0:
			return fmt.Errorf("logins.%s.client: %q has no token_audience", name, l.Client)
		}
	}
	return nil
}
