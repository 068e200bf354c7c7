// Package world is what the server knows: organizations, users, clients and the policy, read from
// one JSON file. It stands in place of a database.
package world

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

// World is everything that an authorization server knows before its first request. It is one JSON
// file, in place of a database. To try out a policy, edit the file.
type World struct {
	// iss; empty: http:// and the address that is served
	Issuer string `json:"issuer"`
	// off: rules with delegate or client_as_actor are left out
	AllowImpersonation bool `json:"allow_impersonation"`
	// of JWTs with an actor: "act" (the default) or "act_as"
	ClaimShape string `json:"claim_shape"`

	// UserIDType is the token type under which a bare user id is accepted as subject_token. Rules
	// name it too. Empty: no such type.
	UserIDType tokenexchange.TokenType `json:"user_id_token_type"`

	Lifetimes  lifetimes     `json:"lifetimes"` // of tokens that do not come from an exchange
	Management managementAPI `json:"management_api"`
	// what a user is told when another party begins to act for them; nil: nothing
	Notification  *Notification   `json:"notification"`
	Organizations []organization  `json:"organizations"`
	Roles         map[string]Role `json:"roles"` // every role that a user has must be here
	Users         []User          `json:"users"`
	Clients       []Client        `json:"clients"`
	Issuers       []foreignIssuer `json:"foreign_issuers"`
	// {"rules": [...]}, read by tokenexchange.ParsePolicy
	Policy json.RawMessage `json:"policy"`
	// by the name of a rule: who may act with the tokens it grants
	MayAct map[string]Party `json:"may_act"`
	// the logins of -demo, by the name under which it prints the tokens
	Logins map[string]login `json:"logins"`
	// tokens inside JWT access tokens, for a service behind the API
	Embedded embeddedTokens `json:"embedded"`
}

// lifetimes are those of tokens from logins and from client_credentials. A rule has the lifetime of
// exchanged tokens.
type lifetimes struct {
	AccessToken  duration `json:"access_token"`
	RefreshToken duration `json:"refresh_token"`
	// the latest end under a rule with outlive_subject or outlive_actor
	Session duration `json:"session"`
}

// managementAPI says which tokens this server's own API accepts.
type managementAPI struct {
	Audience string `json:"audience"`
	Scope    string `json:"scope"` // of GET /api/users

	// Delegations is the scope of /api/delegations, where users see who acts for them and end it.
	// Empty: there is no such API.
	Delegations string `json:"delegations_scope"`
}

type organization struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Role says what a role means for acting for others. The zero Role is an ordinary role.
type Role struct {
	// only an impersonator whose reach lists the role can act for its holders
	Administrator bool   `json:"administrator"`
	Impersonates  *reach `json:"impersonates"` // nil: the role does not let act for others
}

// reach says which users an impersonator may act for, see authorizer.Reach.
type reach struct {
	Administrators []string `json:"administrators"` // roles; empty: end users only
	// false: the impersonator's own organization only
	AnyOrganization bool `json:"any_organization"`
}

// User is a person. Scope is the most that they may hand on by an exchange. Without it, a user id
// or an ID token carries no scope, and an access token carries its own.
type User struct {
	ID string `json:"id"`
	// plain text, for a demo only, or
	Password string `json:"password"`
	// its bcrypt hash; without either, the login page refuses the user
	PasswordHash  string              `json:"password_bcrypt"`
	Name          string              `json:"name"`
	Email         string              `json:"email"`
	Organization  string              `json:"org"`
	Organizations []string            `json:"organizations"` // further organizations
	Roles         []string            `json:"roles"`
	Scope         tokenexchange.Scope `json:"scope"`
	Status        Status              `json:"status"`

	// Accounts are other users that this user may act for without any role: accounts that they own,
	// or the account of their company. The scopes are the most that they may do there; "*" is
	// everything that the account can do.
	Accounts map[string]tokenexchange.Scope `json:"accounts"`
}

// Client is an OAuth client, an API, or both.
type Client struct {
	ID string `json:"id"`
	// plain text, for a demo only, or
	Secret     string `json:"secret"`
	SecretHash string `json:"secret_bcrypt"` // its bcrypt hash
	// public keys, for private_key_jwt and for its statements about users
	JWKS        json.RawMessage     `json:"jwks"`
	AuthMethods []string            `json:"auth_methods"` // empty: a public client
	Grants      []string            `json:"grants"`       // as in grant_type
	Scope       tokenexchange.Scope `json:"scope"`        // the scope it is registered for
	// the names under which it receives tokens as an API
	Audiences     []string `json:"audiences"`
	TokenAudience []string `json:"token_audience"`
	Name          string   `json:"name"` // shown at the login; empty: the id
	// of logins; a loopback address without a port stands for all ports
	RedirectURIs  []string `json:"redirect_uris"`
	LogoutURIs    []string `json:"post_logout_redirect_uris"`
	ResponseTypes []string `json:"response_types"` // of the authorization endpoint; empty: code
	// who may act with tokens of its users' logins and with its own; nil: no may_act
	MayAct *Party `json:"may_act"`
	// its users are not asked for consent
	Preapproved bool `json:"preapproved"`
	// acting for a user through it needs a stated reason, see server/reason.go
	RequireReason bool   `json:"require_reason"`
	Status        Status `json:"status"`

	// of a subject token from the authorization endpoint
	TicketLifetime duration `json:"subject_token_lifetime"`
	// users that it acts for without a token of theirs: by act_as, and by its own assertions
	ActsFor []string `json:"acts_for"`
}

// Party is a may_act (RFC 8693 §4.4). It must name a user or a client.
type Party struct {
	Issuer   string `json:"iss"` // empty: this server
	Subject  string `json:"sub"`
	ClientID string `json:"client_id"`
}

// foreignIssuer is another issuer whose tokens can be subject tokens here. Its users are users of
// this server only by a link. An e-mail address is not a link, even a verified one.
type foreignIssuer struct {
	Issuer   string          `json:"issuer"`
	JWKS     json.RawMessage `json:"jwks"` // pinned keys, or
	JWKSURI  string          `json:"jwks_uri"`
	Audience []string        `json:"audience"` // one of these must be in aud
	// header typ by type, see tokenexchange.Trust; empty: JWT access tokens and ID tokens
	Types map[tokenexchange.TokenType]string `json:"types"`
	// what its scopes mean here; other scopes mean nothing
	Scopes map[string]tokenexchange.Scope `json:"scopes"`
	Links  map[string]string              `json:"links"` // its sub to our user

	// its assertions at the jwt-bearer grant; nil: refused
	Assertions *assertions `json:"assertions"`
}

// assertions says which audience the assertions of an issuer may have besides the issuer of this
// server, for example its token endpoint.
type assertions struct {
	Audience string `json:"audience"` // empty, as it should be: no other audience
}

// login is a user who logs in with a client.
type login struct {
	User   string `json:"user"`
	Client string `json:"client"`
}

// Parse reads a world and checks what its parts say about each other. An unknown member is an
// error.
func Parse(data []byte) (*World, error) {
	w := &World{}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(w); err != nil {
		var at *json.SyntaxError
		if errors.As(err, &at) {
			err = fmt.Errorf("line %d: %w", 1+bytes.Count(data[:at.Offset], []byte("\n")), err)
		}
		return nil, fmt.Errorf("world: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("world: text after the document")
	}
	if err := w.Check(); err != nil {
		return nil, fmt.Errorf("world: %w", err)
	}
	return w, nil
}

// duration is a time.Duration as text: "90s" or "1h30m".
type duration time.Duration

// UnmarshalText reads a duration of at least a second.
func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil || parsed < time.Second {
		return fmt.Errorf("%q is not a duration of at least a second, such as 90s or 1h30m", text)
	}
	*d = duration(parsed)
	return nil
}

// Status says whether a user or client may take part. Empty means enabled.
type Status string

// UnmarshalText refuses an unknown status.
func (s *Status) UnmarshalText(text []byte) error {
	if *s = Status(text); !slices.Contains([]Status{"enabled", "disabled", "locked"}, *s) {
		return fmt.Errorf("%q is not enabled, disabled or locked", text)
	}
	return nil
}

func (s Status) Enabled() bool { return s == "" || s == "enabled" }

// Notification is what a user is told when another party begins to act for them: two templates of
// package notify, about a letter of package server.
type Notification struct {
	Subject string `json:"subject"`
	Body    string `json:"body"`
}

// embeddedTokens are tokens inside other tokens.
type embeddedTokens struct {
	Claim string `json:"claim"`
	// by the name of the rule that grants the outer token
	Rules map[string]innerToken `json:"rules"`
}

// innerToken is the request for an embedded token. Its scope is cut to that of the outer token;
// empty: the scope that the rule of the inner token allows.
type innerToken struct {
	Audience []string            `json:"audience"`
	Scope    tokenexchange.Scope `json:"scope"`
}
