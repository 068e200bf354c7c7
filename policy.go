package tokenexchange

import (
	"errors"
	"fmt"
	"time"
)

// Kind separates the name spaces of subjects: a client is never mistaken for a user of the same name.
type Kind string

// The kinds. It is the SubjectResolver that knows them; the look of a string never does (D19).
const (
	KindUser     Kind = "user"
	KindClient   Kind = "client"
	KindWorkload Kind = "workload"
)

// Identity is who somebody is. Two are the same only if all four fields are, byte for byte. In a Rule it is a pattern:
// "*" matches anything, an empty Issuer is our own, every other empty field matches only the empty value; the zero
// pattern matches nobody.
type Identity struct {
	Issuer string `json:"iss,omitempty"`
	Kind   Kind   `json:"kind,omitempty"`
	Tenant string `json:"tenant,omitempty"`
	ID     string `json:"id,omitempty"`
}

// isSomebody reports whether a resolver has said who this is. Without it {ID: "*"} would match an empty answer.
func (id Identity) isSomebody() bool {
	return id.Issuer != "" && id.ID != "" && (id.Kind == KindUser || id.Kind == KindClient || id.Kind == KindWorkload)
}

// matches reports whether the pattern p fits id, which is our own or not.
func (p *Identity) matches(id *Identity, own bool) bool {
	return fits(p.ID, id.ID) && fits(p.Tenant, id.Tenant) && fits(string(p.Kind), string(id.Kind)) &&
		(p.Issuer == "" && own || p.Issuer != "" && fits(p.Issuer, id.Issuer))
}

// fits compares one field of a pattern.
func fits(pattern, value string) bool { return pattern == "*" || pattern == value }

// Client is an authenticated client. The zero Client is refused.
type Client struct {
	ID           string       `json:"id"`
	Audiences    []string     `json:"audiences,omitempty"` // names under which it receives tokens as an API; its ID is always one (D04)
	Public       bool         `json:"public,omitempty"`    // it has no credential of its own
	Scope        Scope        `json:"scope"`               // what it is registered for; nil is nothing
	Confirmation Confirmation `json:"cnf,omitzero"`        // keys it proved in this request; what the host cannot see is not proved
}

// Subject is whom a token is about, as the host knows them now.
//
// Until is the latest expiry of a token that may outlive the presented one, and the end of a grant
// with refresh tokens that begins with a login. Zero means that neither is known: no token outlives
// the presented one, and such a grant ends when its first refresh token expires.
type Subject struct {
	Identity
	Privileges []string  `json:"privileges,omitzero"` // rights over others, for authorizers; ordinary roles don't belong here; nil is unknown
	Scope      Scope     `json:"scope"`               // the most it may hand on: subtracts from what its token says (nil: nothing to subtract); for a token without scope by nature it is the ceiling (nil: nothing)
	Tenants    []string  `json:"tenants,omitempty"`   // organisations it belongs to, for a target that selects one (D24)
	Until      time.Time `json:"until,omitzero"`      // end of session, delegation or grant (D25)
	Token      Token     `json:"token"`               // an Exchanger fills it in

	// PresentedTenant is for an ActorAuthorizer: the organisation that the presented token is for.
	// Tenant is then the one that the result will be for. A policy ignores PresentedTenant.
	PresentedTenant string `json:"presented_tenant,omitempty"`
}

// Facts is all that a decision depends on. The tokens of Request are blank. It survives encoding/json, so that a host can
// keep it with a refresh token and decide again; white space inside Actor.Raw and Token.Claims may go.
type Facts struct {
	Grant   string    `json:"grant"` // which door: GrantType, or what Exchanger.Run was told
	Issuer  string    `json:"issuer"`
	Client  Client    `json:"client"`
	Request Request   `json:"request"`
	Subject Subject   `json:"subject"`
	Actor   *Subject  `json:"actor,omitempty"` // nil: no actor token
	Now     time.Time `json:"now"`
}

// ActingParty is who would act for the subject: the actor, or the client where there is no actor token.
func (f Facts) ActingParty() Identity {
	if f.Actor != nil {
		return f.Actor.Identity
	}
	return Identity{Issuer: f.Issuer, Kind: KindClient, ID: f.Client.ID}
}

// Mode says who will be acting.
type Mode string

// The modes. Every one must be asked for by a rule.
const (
	Narrow      Mode = "narrow"          // the client's own access token made smaller; nobody new acts
	Delegate    Mode = "delegate"        // the actor token's subject acts
	ClientActs  Mode = "client-as-actor" // no actor token: the client becomes the actor
	Impersonate Mode = "impersonate"     // no actor token, and nobody new named in the token
)

// Decision is what the issued token must say, in whole seconds and fresh slices. The zero Decision is refused by every
// issuer.
type Decision struct {
	Rule           string // its name
	Mode           Mode
	Issuer         string   // iss
	Client         string   // client_id: who asked
	Subject        Identity // Subject.ID is sub
	Actor          *Actor   // the whole chain to write as act; nil: none
	Audience       []string // never empty
	Scope          Scope    // empty: no scope
	Expanded       Scope    // the part of Scope beyond the subject
	Type           TokenType
	Issued         time.Time
	Expires        time.Time    // the latest the token may expire
	Confirmation   Confirmation // the key to bind it to; zero: none
	IDToken        bool         // add an ID token
	RefreshToken   bool         // add a refresh token
	RefreshExpires time.Time    // the latest it may expire; zero without RefreshToken
	Ends           time.Time    // latest end of what is made from the presented tokens; zero: none
	ReplaceMayAct  bool         // an issuer's hook may replace what MayAct returns
	Facts          Facts        // what it was made from: parent token for families, login facts for ID tokens, all of it for refreshing; an Exchanger fills it in
}

// Token is what a token made from the decision says, for issuers that keep a record; id is its handle, never the token.
// An own access token is TypeAccessToken, however it was asked for (R07), an ID token says no scope, and a scope that was
// decided is known, if it is empty too.
func (d Decision) Token(id string) Token {
	t := Token{
		Type: d.Type, Kind: d.Subject.Kind, ID: id, Issuer: d.Issuer, Subject: d.Subject.ID, ClientID: d.Client,
		Audience: d.Audience, Scope: d.Scope, Actor: d.Actor, Issued: d.Issued, Expires: d.Expires, Confirmation: d.Confirmation,
		MayAct: d.MayAct(), Lineage: d.Lineage(),
	}
	t.AuthTime, t.ACR, t.AMR = d.login()
	switch {
	case d.Type == TypeIDToken:
		t.Scope = nil
	case t.Scope == nil:
		t.Scope = Scope{}
	}
	if d.Type == TypeJWT {
		t.Type = TypeAccessToken
	}
	return t
}

// tokenType is the token_type of the response (RFC 8693 §2.2.1).
func (d *Decision) tokenType() string {
	switch {
	case d.Type != TypeAccessToken && d.Type != TypeJWT:
		return notApplicable
	case d.Confirmation.JKT != "":
		return dpop
	}
	return bearer
}

// Check reports what a decision lacks that must be there before anything is issued for it; nil if it lacks nothing. Every
// TokenIssuer calls it first, since it must refuse the zero Decision.
func (d Decision) Check() error { return d.check() }

func (d *Decision) check() error {
	switch {
	case d.Mode != Narrow && d.Mode != Delegate && d.Mode != ClientActs && d.Mode != Impersonate:
		return errors.New("a decision without mode")
	case d.Issuer == "" || d.Client == "":
		return errors.New("a decision without issuer or client")
	case !d.Subject.isSomebody() || d.Subject.Issuer != d.Issuer:
		return errors.New("a decision without a subject of this issuer")
	case (d.Mode == Delegate || d.Mode == ClientActs) && d.Actor == nil || !d.Actor.isChain():
		return errors.New("a decision without its actor")
	case d.Type == "" || len(d.Audience) == 0:
		return errors.New("a decision without type or audience")
	case d.Issued.IsZero() || d.Expires.Sub(d.Issued) < time.Second:
		return errors.New("a decision without lifetime")
	case d.RefreshToken && d.RefreshExpires.Sub(d.Issued) < time.Second:
		return errors.New("a decision for a refresh token without lifetime")
	}
	return nil
}

// Policy is a checked, immutable list of rules; the first that grants wins. The zero Policy, and nil, refuse all.
type Policy struct {
	rules []compiledRule
	named map[string][]int // by client: the rules that name it, in policy order
	any   []int            // the rules for any confidential client, in policy order

	denials denials // what no rule was asked about
}

// compiledRule is a rule with its lists made ready for lookup.
type compiledRule struct {
	Rule
	scope, expand, targets   set
	anyScope                 bool
	idTokens                 bool // are what it issues where no type is asked for
	narrows, delegates, acts bool // its mode
	denials                  denials
}

// NewPolicy checks and indexes rules. The error names the rule that could never match or says too little.
func NewPolicy(rules ...Rule) (*Policy, error) {
	p := &Policy{rules: make([]compiledRule, len(rules)), named: map[string][]int{}}
	names := make(map[string]bool, len(rules))
	for i, r := range rules {
		if err := r.check(); err != nil {
			return nil, fmt.Errorf("tokenexchange: rule %q (number %d): %w", r.Name, i+1, err)
		}
		if names[r.Name] {
			return nil, fmt.Errorf("tokenexchange: rule %q (number %d): its name is taken", r.Name, i+1)
		}
		names[r.Name] = true
		r = r.clone()
		c := &p.rules[i]
		c.Rule, c.scope, c.expand, c.targets = r, setOf(r.Scope), setOf(r.Expand), setOf(r.Targets)
		c.narrows, c.delegates, c.acts = r.Mode == Narrow, r.Mode == Delegate, r.Mode == ClientActs
		c.idTokens = r.Types[0] == TypeIDToken
		c.anyScope = len(r.Scope) == 1 && r.Scope[0] == "*"
		for _, client := range r.Clients {
			if client == "*" {
				p.any = append(p.any, i)
			} else {
				p.named[client] = append(p.named[client], i)
			}
		}
	}
	return p, nil
}
