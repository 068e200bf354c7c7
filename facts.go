package tokenexchange

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Kind separates the name spaces of subjects: a client is never mistaken for a user of the same
// name.
type Kind string

// The kinds. The SubjectResolver states the kind of a party; the form of an identifier never does
// (D19).
const (
	KindUser     Kind = "user"
	KindClient   Kind = "client"
	KindWorkload Kind = "workload"
)

// Identity identifies a party. Two identities are equal only if all four fields are equal, byte for
// byte.
//
// In a Rule an Identity is a pattern. "*" matches any value, an empty Issuer matches this server,
// and every other empty field matches only the empty value. The zero pattern matches no party.
type Identity struct {
	Issuer string `json:"iss,omitempty"`
	Kind   Kind   `json:"kind,omitempty"`
	Tenant string `json:"tenant,omitempty"`
	ID     string `json:"id,omitempty"`
}

// isComplete reports whether the identity has an issuer, an id and a known kind. An incomplete
// identity is the answer of a resolver that did not find the party.
func (id Identity) isComplete() bool {
	return id.Issuer != "" && id.ID != "" && id.Kind.isKnown()
}

// describe names the party for operators: user "alice" in "acme" of "https://as.example".
func (id Identity) describe() string {
	text := fmt.Sprintf("%s %q", cmp.Or(string(id.Kind), "party"), id.ID)
	if id.Tenant != "" {
		text += fmt.Sprintf(" in %q", id.Tenant)
	}
	if id.Issuer != "" {
		text += fmt.Sprintf(" of %q", id.Issuer)
	}
	return text
}

// isKnown reports whether the kind is one of the three kinds. The wildcard of patterns is not.
func (k Kind) isKnown() bool { return k == KindUser || k == KindClient || k == KindWorkload }

// Client is an authenticated client, as the host knows it (R09). The zero Client is refused.
type Client struct {
	ID string `json:"id"` // client_id

	// Audiences are further names under which the client receives tokens as an API. Its ID is
	// always such a name (D04).
	Audiences []string `json:"audiences,omitempty"`

	Public bool  `json:"public,omitempty"` // the client has no credential, only its id (R09)
	Scope  Scope `json:"scope"`            // registered scope; nil is none

	// Confirmation holds the keys that the client proved in this request. A key that the host
	// cannot see counts as not proved (D30).
	Confirmation Confirmation `json:"cnf,omitzero"`
}

// Subject is the party that a token is about, as the host knows the party now.
type Subject struct {
	Identity

	// Privileges are rights over other parties, for authorizers. Ordinary roles do not belong
	// here. Nil means unknown.
	Privileges []string `json:"privileges,omitzero"`

	// Scope is an upper bound for the scope that this subject can delegate. For a token that
	// states a scope, nil means no further bound. For a token type without a scope, nil means no
	// scope at all (D21).
	Scope Scope `json:"scope"`

	// Tenants are the organisations that the subject belongs to, for a target that selects one
	// (D24).
	Tenants []string `json:"tenants,omitempty"`

	// Until is the latest expiry of a token that may outlive the presented token, and the end of a
	// grant with refresh tokens that begins with a login. Zero means unknown: no token outlives the
	// presented token, and such a grant ends when its first refresh token expires (D25).
	Until time.Time `json:"until,omitzero"`

	Token Token `json:"token"` // the verified token; an Exchanger sets it

	// PresentedTenant is for an ActorAuthorizer: the organisation that the presented token is for.
	// Tenant is then the organisation that the result will be for. A policy ignores
	// PresentedTenant.
	PresentedTenant string `json:"presented_tenant,omitempty"`
}

// tenant returns the organisation that the presented token is for.
func (s *Subject) tenant() string {
	if l := s.Token.Lineage; l != nil && l.Tenant != "" {
		return l.Tenant
	}
	return s.Tenant
}

// hasLeftTenant reports whether the subject no longer belongs to the organisation that its token is
// for (D24).
func (s *Subject) hasLeftTenant() bool {
	tenant := s.tenant()
	return tenant != s.Tenant && !slices.Contains(s.Tenants, tenant)
}

// isNamed reports whether a chain member (issuer, subject) names s, by the resolved identity or by
// the name in its token.
func (s *Subject) isNamed(issuer, subject string) bool {
	return s.Issuer == issuer && s.ID == subject ||
		s.Token.Issuer == issuer && s.Token.Subject == subject
}

// isLentTo reports whether the client received the token, or a token that it was made from, from
// another client: a token about another party that was not issued to the client. What is made from
// such a token must not be an actor token of this client (D05). Tokens of foreign issuers are not
// lent: they need a rule that names the issuer each time.
func (s *Subject) isLentTo(client, issuer string) bool {
	t := &s.Token
	switch {
	case t.ByClient || t.Lineage != nil && t.Lineage.Lent:
		return true
	case t.Issuer != issuer || t.ClientID == client || t.Type.isEvidence() && t.ClientID == "":
		return false
	case s.Identity == Identity{Issuer: issuer, Kind: KindClient, Tenant: s.Tenant, ID: client}:
		return false
	case t.Type == TypeIDToken && slices.Contains(t.Audience, client):
		return false
	}
	return true
}

// Facts is everything that a decision depends on. The tokens of Request are blank. Facts survive
// encoding/json, so that a host can keep them with a refresh token and decide again; white space
// inside Actor.Raw and Token.Claims may be lost.
type Facts struct {
	Grant   string    `json:"grant"` // GrantType, or the grant given to Exchanger.Run
	Issuer  string    `json:"issuer"`
	Client  Client    `json:"client"`
	Request Request   `json:"request"`
	Subject Subject   `json:"subject"`
	Actor   *Subject  `json:"actor,omitempty"` // nil: there is no actor token
	Now     time.Time `json:"now"`
}

// ActingParty returns the party that would act for the subject: the actor, or the client if there
// is no actor token.
func (f Facts) ActingParty() Identity {
	if f.Actor != nil {
		return f.Actor.Identity
	}
	return Identity{Issuer: f.Issuer, Kind: KindClient, ID: f.Client.ID}
}

// isOwn reports whether this server issued the token.
func (f *Facts) isOwn(t *Token) bool { return t.Issuer == f.Issuer }

// isOwnAccess reports whether the token is an access token of this server. Only the aud of such a
// token names targets (D24).
func (f *Facts) isOwnAccess(t *Token) bool { return f.isOwn(t) && t.Type.isAccess() }

// isRefresh reports whether the facts were recorded earlier. How their tokens were presented was
// checked then (D28).
func (f *Facts) isRefresh() bool { return f.Grant == grantRefresh }

// isIssuedToClient reports whether this server issued the subject token to the client.
func (f *Facts) isIssuedToClient() bool {
	return f.isOwn(&f.Subject.Token) && f.Subject.Token.ClientID == f.Client.ID
}

// isClient reports whether the identity is that of the authenticated client.
func (f *Facts) isClient(id Identity) bool {
	return id.Kind == KindClient && id.Issuer == f.Issuer && id.ID == f.Client.ID
}

// isName reports whether the subject token is a bare name, such as a user id. The verifier sets
// Token.Name; empty fields do not make a token a name.
func (f *Facts) isName() bool {
	t := &f.Subject.Token
	return t.Name && f.isOwn(t) && t.Type.isEvidence()
}

// isTicket reports whether the subject token is evidence that this server made for an actor. At the
// token exchange grant that is all own evidence but a name. Another grant that brings evidence
// without may_act vouches for the actor itself.
func (f *Facts) isTicket() bool {
	t := &f.Subject.Token
	return f.isOwn(t) && t.Type.isEvidence() && !t.Name && (t.MayAct != nil || f.Grant == GrantType)
}

// expectedTenant returns the organisation that the result will probably be for: the organisation
// that the targets name, if they name exactly one, else that of the presented token. The policy may
// decide otherwise, since only a rule with tenant_targets selects an organisation by a target.
func (f *Facts) expectedTenant() string {
	selected := ""
	for _, target := range f.Request.Targets() {
		if slices.Contains(f.Subject.Tenants, target) {
			if selected != "" {
				return f.Subject.tenant()
			}
			selected = target
		}
	}
	return cmp.Or(selected, f.Subject.tenant())
}

// inTenant returns the facts as an authorizer sees them, for a result in the organisation.
func (f Facts) inTenant(tenant string) Facts {
	f.Subject.PresentedTenant, f.Subject.Tenant = f.Subject.tenant(), tenant
	if f.Actor != nil {
		actor := *f.Actor
		actor.Tenant = actor.tenant()
		f.Actor = &actor
	}
	return f
}

// withoutClaims returns the facts without the payloads of the tokens, which may contain further
// tokens (I08). The actor is copied, because hosts hold pointers to it.
func (f Facts) withoutClaims() Facts {
	f.Subject.Token.Claims = nil
	if f.Actor != nil && f.Actor.Token.Claims != nil {
		actor := *f.Actor
		actor.Token.Claims = nil
		f.Actor = &actor
	}
	return f
}

// origins returns the origins that the presented tokens list, without repeats.
func (f *Facts) origins() []string {
	var origins []string
	if l := f.Subject.Token.Lineage; l != nil {
		origins = append(origins, l.From...)
	}
	if f.Actor != nil && f.Actor.Token.Lineage != nil {
		origins = append(origins, f.Actor.Token.Lineage.From...)
	}
	return distinct(origins)
}
