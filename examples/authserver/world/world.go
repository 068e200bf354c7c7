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

// World is all that an authorization server knows before its first request: one JSON file, where yours asks a database.
// What may be exchanged is tried out by editing it.
type World struct {
	Issuer             string `json:"issuer"`              // iss; empty: http:// and the address that is served
	AllowImpersonation bool   `json:"allow_impersonation"` // off: rules with mode delegate or client-as-actor are left out
	ClaimShape         string `json:"claim_shape"`         // of JWTs with an actor: "act" (also if empty) or "act_as"

	// UserIDType is the token type under which a bare user id is accepted as subject_token; empty: none. Rules name it too.
	UserIDType tokenexchange.TokenType `json:"user_id_token_type"`

	Lifetimes     lifetimes        `json:"lifetimes"` // of tokens that do not come from an exchange
	Management    managementAPI    `json:"management_api"`
	Notification  *Notification    `json:"notification"` // what users are told when somebody begins to act for them; nil: nothing
	Organizations []organization   `json:"organizations"`
	Roles         map[string]Role  `json:"roles"` // every role that a user has must be here
	Users         []User           `json:"users"`
	Clients       []Client         `json:"clients"`
	Issuers       []foreignIssuer  `json:"foreign_issuers"`
	Policy        json.RawMessage  `json:"policy"`   // {"rules": [...]}, read by tokenexchange.ParsePolicy
	MayAct        map[string]Party `json:"may_act"`  // by the name of a rule: who may act with what it grants
	Logins        map[string]login `json:"logins"`   // what -demo logs in, by the name under which it prints the tokens
	Embedded      embeddedTokens   `json:"embedded"` // tokens that JWT access tokens carry for a service behind the API, see doors.go
}

// lifetimes are how long the tokens of logins and of client_credentials live; a rule says it for exchanged ones.
type lifetimes struct {
	AccessToken  duration `json:"access_token"`
	RefreshToken duration `json:"refresh_token"`
	Session      duration `json:"session"` // the latest that a rule with outlive_subject or outlive_actor can reach
}

// managementAPI is how tokens must look to be accepted by this server's own API.
type managementAPI struct {
	Audience string `json:"audience"`
	Scope    string `json:"scope"` // of GET /api/users

	// Delegations is the scope of /api/delegations, where users see and end what others may do for them. Empty: nobody may.
	Delegations string `json:"delegations_scope"`
}

type organization struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Role is what a role means for acting for others. The zero role means nothing for that: it is an ordinary one.
type Role struct {
	Administrator bool   `json:"administrator"` // only an impersonator whose reach lists it gets at whoever has it
	Impersonates  *reach `json:"impersonates"`  // nil: nobody
}

// reach is whom an impersonator may act for, see authorizer.Reach.
type reach struct {
	Administrators  []string `json:"administrators"`   // roles; none: end users only
	AnyOrganization bool     `json:"any_organization"` // else the impersonator's own only
}

// User is a person. Scope is the most they may hand on by an exchange; without it a user id or an ID token gives nothing,
// and an access token what it says.
type User struct {
	ID            string              `json:"id"`
	Password      string              `json:"password"`        // in the plain, as only a demo should have it, or
	PasswordHash  string              `json:"password_bcrypt"` // its bcrypt hash; neither: the login page does not let them in
	Name          string              `json:"name"`
	Email         string              `json:"email"`
	Organization  string              `json:"org"`
	Organizations []string            `json:"organizations"` // further ones
	Roles         []string            `json:"roles"`
	Scope         tokenexchange.Scope `json:"scope"`
	Status        Status              `json:"status"`

	// Accounts are other users whom this one may act for without any role: accounts that they own, or that of their company.
	// The scopes are the most that they may do there; "*" is whatever the account can.
	Accounts map[string]tokenexchange.Scope `json:"accounts"`
}

// Client is an OAuth client, an API, or both.
type Client struct {
	ID            string              `json:"id"`
	Secret        string              `json:"secret"`        // in the plain, as only a demo should have it, or
	SecretHash    string              `json:"secret_bcrypt"` // its bcrypt hash
	JWKS          json.RawMessage     `json:"jwks"`          // public keys: for private_key_jwt, and for what it says about users (Z04)
	AuthMethods   []string            `json:"auth_methods"`  // none: a public client
	Grants        []string            `json:"grants"`        // as in grant_type
	Scope         tokenexchange.Scope `json:"scope"`         // what it is registered for
	Audiences     []string            `json:"audiences"`     // the names under which it receives tokens as an API
	TokenAudience []string            `json:"token_audience"`
	Name          string              `json:"name"`          // what people see at the login; empty: the id
	RedirectURIs  []string            `json:"redirect_uris"` // of logins; without a port, a loopback address stands for all ports
	LogoutURIs    []string            `json:"post_logout_redirect_uris"`
	ResponseTypes []string            `json:"response_types"` // of the authorization endpoint; none: code
	MayAct        *Party              `json:"may_act"`        // who may act with tokens of its users' logins, and its own; nil: not said
	Preapproved   bool                `json:"preapproved"`    // its users are not asked whether it may have what it asks for
	RequireReason bool                `json:"require_reason"` // nobody acts through it who does not say why, see reason.go
	Status        Status              `json:"status"`

	TicketLifetime duration `json:"subject_token_lifetime"` // of what response type subject_token gives
	ActsFor        []string `json:"acts_for"`               // users for whom it acts without a token of theirs: by act_as, and by its own assertions
}

// Party is a may_act (RFC 8693 §4.4). It must name somebody.
type Party struct {
	Issuer   string `json:"iss"` // empty: this server
	Subject  string `json:"sub"`
	ClientID string `json:"client_id"`
}

// foreignIssuer is another issuer whose tokens can be subject tokens here. Its people are users of ours only where a link
// says so; an e-mail address is no link, whoever has verified it.
type foreignIssuer struct {
	Issuer   string                             `json:"issuer"`
	JWKS     json.RawMessage                    `json:"jwks"` // pinned, or
	JWKSURI  string                             `json:"jwks_uri"`
	Audience []string                           `json:"audience"` // one must be in aud
	Types    map[tokenexchange.TokenType]string `json:"types"`    // header typ by type, see tokenexchange.Trust; none: JWT access tokens and ID tokens
	Scopes   map[string]tokenexchange.Scope     `json:"scopes"`   // what its scopes mean here; others mean nothing
	Links    map[string]string                  `json:"links"`    // its sub to our user

	Assertions *assertions `json:"assertions"` // how it is believed at the jwt-bearer grant; nil: not at all
}

// assertions says for whom the assertions of an issuer may be beside this server's issuer, its token endpoint for one.
type assertions struct {
	Audience string `json:"audience"` // empty, as it should be: for nobody else
}

// login says who is logged in, with which client.
type login struct {
	User   string `json:"user"`
	Client string `json:"client"`
}

// Parse reads a world and checks what its parts say of each other. An unknown member is an error.
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
		return nil, errors.New("world: there is something after the document")
	}
	if err := w.Check(); err != nil {
		return nil, fmt.Errorf("world: %w", err)
	}
	return w, nil
}

// duration is a time.Duration as text: "90s" or "1h30m".
type duration time.Duration

// UnmarshalText reads what time.ParseDuration does, of a second at least.
func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil || parsed < time.Second {
		return fmt.Errorf("%q is no duration of at least a second, such as 90s or 1h30m", text)
	}
	*d = duration(parsed)
	return nil
}

// Status says whether somebody may take part. The empty one is enabled.
type Status string

// UnmarshalText refuses a status that does not exist.
func (s *Status) UnmarshalText(text []byte) error {
	if *s = Status(text); !slices.Contains([]Status{"enabled", "disabled", "locked"}, *s) {
		return fmt.Errorf("%q is none of enabled, disabled, locked", text)
	}
	return nil
}

func (s Status) Enabled() bool { return s == "" || s == "enabled" }

// Notification is what users are told when somebody begins to act for them: two templates of package notify, about a letter.
type Notification struct {
	Subject string `json:"subject"`
	Body    string `json:"body"`
}

// embeddedTokens are the tokens that are put into others.
type embeddedTokens struct {
	Claim string                `json:"claim"`
	Rules map[string]innerToken `json:"rules"` // by the name of the rule that grants the outer token
}

// innerToken is what is asked for, with scope cut to that of the outer token; none: what the rule of the inner token allows.
type innerToken struct {
	Audience []string            `json:"audience"`
	Scope    tokenexchange.Scope `json:"scope"`
}
