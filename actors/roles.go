package actors

import (
	"context"
	"slices"

	"github.com/go-tokenexchange/tokenexchange"
)

// Roles says yes where the actor has a role that reaches the subject. A role is one of the actor's Privileges, as the
// host's SubjectResolver knows them now; its name is the key. The zero Roles refuses, and so does one without a role that
// the actor has. Reaches of several roles are not added up: one of them must cover the subject by itself.
//
//	actors.Roles{
//		"support":       {},
//		"admin-support": {Administrators: []string{"org-admin", "support"}, AnyTenant: true},
//	}
//
// Only users are reached, never a client or workload, and only those of whom all privileges are known: nil Privileges are
// unknown, and unknown is above every reach. Somebody who has a role of this configuration is reached only by a role
// whose own reach is as wide, so that acting for them is never a way to more.
// A client that acts without an actor token has no role and is refused.
type Roles map[string]Reach

// Reach is whom a role may act for. The zero Reach is the end users of the actor's own organisation; an end user is
// somebody known to have no privileges at all.
type Reach struct {
	// Administrators are the privileges that somebody may have and still be in reach. One that is not listed is above it,
	// the role's own included. Nil: end users only.
	Administrators []string
	// AnyTenant lifts the border of the actor's organisation. Without it actor and subject must have the same Issuer and
	// Tenant (both empty, on a server without organisations), and a request that selects another organisation of the
	// subject as target (D24) is beyond it.
	AnyTenant bool
}

// AuthorizeActor asks each role of the actor. A refusal names what the last of them did not cover.
func (r Roles) AuthorizeActor(_ context.Context, f tokenexchange.Facts) error {
	if _, _, err := parties(f); err != nil {
		return err
	}
	switch {
	case f.Actor == nil:
		return refuse("a client acts, and has no role")
	case f.Subject.Kind != tokenexchange.KindUser:
		return refuse("the subject is no user")
	case f.Subject.Privileges == nil:
		return refuse("the subject's privileges are unknown")
	}
	beyond := "the actor has no role that acts for others"
	for _, role := range f.Actor.Privileges {
		reach, ok := r[role]
		if !ok {
			continue
		}
		if beyond = r.beyond(reach, f); beyond == "" {
			return nil
		}
	}
	return refuse(beyond)
}

// beyond returns what of the subject is beyond the reach, or nothing.
func (r Roles) beyond(reach Reach, f tokenexchange.Facts) string {
	for _, privilege := range f.Subject.Privileges {
		if !slices.Contains(reach.Administrators, privilege) || !r[privilege].within(reach) {
			return "the subject's privileges are above the reach of the actor's role"
		}
	}
	if reach.AnyTenant {
		return ""
	}
	if f.Actor.Issuer != f.Subject.Issuer || f.Actor.Tenant != f.Subject.Tenant {
		return "the subject is of another organisation"
	}
	for _, target := range f.Request.Targets() {
		if target != f.Actor.Tenant && slices.Contains(f.Subject.Tenants, target) {
			return "the request selects another organisation"
		}
	}
	return ""
}

// within reports whether everybody in this reach is in the other as well.
func (reach Reach) within(other Reach) bool {
	return (other.AnyTenant || !reach.AnyTenant) && !slices.ContainsFunc(reach.Administrators, func(privilege string) bool {
		return !slices.Contains(other.Administrators, privilege)
	})
}
