package authorizer

import (
	"context"
	"slices"

	"github.com/go-tokenexchange/tokenexchange"
)

// Roles allows an actor who has a role that reaches the subject. The keys are role names, which the
// SubjectResolver puts among the actor's Privileges; a role of the actor that is not a key allows
// nothing, and the zero Roles refuses. One role must reach the subject by itself: the reaches of
// several roles are not combined.
//
//	authorizer.Roles{
//		"support":       {},
//		"admin-support": {Administrators: []string{"org-admin", "support"}, AnyTenant: true},
//	}
//
// The subject must be a user all of whose privileges are known. Nil Privileges are unknown, and out
// of every reach. A subject who has a role of this configuration is in reach only of a role whose
// own reach is as wide, so that acting for that subject gives the actor no wider reach. A client
// that acts without an actor token has no role and is refused.
type Roles map[string]Reach

// Reach says for whom a role may act. The zero Reach allows the end users of the actor's own
// organisation: users who are known to have no privileges.
type Reach struct {
	// Administrators are the privileges that a subject may have. Any other privilege puts the
	// subject out of reach, and so does the role's own unless it is listed. Nil: end users only.
	Administrators []string
	// AnyTenant allows subjects of every organisation. Without it, actor and subject must have the
	// same Issuer and Tenant (on a server without organisations both tenants are empty), and a
	// request must not select another organisation of the subject as its target (D24).
	AnyTenant bool
}

// AuthorizeActor tries each role of the actor. A refusal says why the last of them does not reach
// the subject.
func (r Roles) AuthorizeActor(_ context.Context, f tokenexchange.Facts) error {
	if _, _, err := parties(f); err != nil {
		return err
	}
	switch {
	case f.Actor == nil:
		return refuse("the acting party is a client, which has no role")
	case f.Subject.Kind != tokenexchange.KindUser:
		return refuse("the subject is not a user")
	case f.Subject.Privileges == nil:
		return refuse("the privileges of the subject are unknown")
	}
	reason := "the actor has no role that may act for others"
	for _, role := range f.Actor.Privileges {
		reach, ok := r[role]
		if !ok {
			continue
		}
		if reason = r.outOfReach(reach, f); reason == "" {
			return nil
		}
	}
	return refuse(reason)
}

// outOfReach returns why the subject is out of reach; empty: it is in reach.
func (r Roles) outOfReach(reach Reach, f tokenexchange.Facts) string {
	for _, privilege := range f.Subject.Privileges {
		if !slices.Contains(reach.Administrators, privilege) || !r[privilege].within(reach) {
			return "the role of the actor does not reach the privileges of the subject"
		}
	}
	if reach.AnyTenant {
		return ""
	}
	if f.Actor.Issuer != f.Subject.Issuer || f.Actor.Tenant != f.Subject.Tenant {
		return "the subject belongs to another organisation"
	}
	for _, target := range f.Request.Targets() {
		if target != f.Actor.Tenant && slices.Contains(f.Subject.Tenants, target) {
			return "the request selects another organisation as target"
		}
	}
	return ""
}

// within reports whether every subject in this reach is also in the other.
func (reach Reach) within(other Reach) bool {
	missing := func(privilege string) bool {
		return !slices.Contains(other.Administrators, privilege)
	}
	return (other.AnyTenant || !reach.AnyTenant) &&
		!slices.ContainsFunc(reach.Administrators, missing)
}
