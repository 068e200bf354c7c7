package authorizer

import (
	"context"
	"slices"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/refusal"
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
		return refusal.New(tokenexchange.InvalidRequest, "client_without_role",
			"client %q acts without an actor token, and a client has no role (D11)", f.Client.ID)
	case f.Subject.Kind != tokenexchange.KindUser:
		return refusal.New(tokenexchange.InvalidRequest, "subject_not_a_user",
			"the subject is %s; a role is for users only (D11)", refusal.Party(f.Subject.Identity))
	case f.Subject.Privileges == nil:
		return refusal.New(tokenexchange.InvalidRequest, "privileges_unknown",
			"SubjectResolver returned nil Privileges for the subject %s (D11)",
			refusal.Party(f.Subject.Identity))
	}
	refused := refusal.New(tokenexchange.InvalidRequest, "actor_without_role",
		"the actor has the privileges %q; none is a role that may act for others (D11)",
		f.Actor.Privileges)
	for _, role := range f.Actor.Privileges {
		reach, ok := r[role]
		if !ok {
			continue
		}
		if refused = r.checkReach(role, reach, f); refused == nil {
			return nil
		}
	}
	return refused
}

// checkReach refuses a subject who is out of the reach of a role.
func (r Roles) checkReach(role string, reach Reach, f tokenexchange.Facts) *tokenexchange.Error {
	for _, privilege := range f.Subject.Privileges {
		if !slices.Contains(reach.Administrators, privilege) || !r[privilege].within(reach) {
			return refusal.New(tokenexchange.InvalidRequest, "role_not_sufficient",
				"role %q of the actor reaches the privileges %q; the subject has %q (D11)",
				role, reach.Administrators, privilege)
		}
	}
	if reach.AnyTenant {
		return nil
	}
	if f.Actor.Issuer != f.Subject.Issuer || f.Actor.Tenant != f.Subject.Tenant {
		return refusal.New(tokenexchange.InvalidRequest, "subject_other_tenant",
			"role %q does not reach other organisations; the actor is %s, the subject is %s (D11)",
			role, refusal.Party(f.Actor.Identity), refusal.Party(f.Subject.Identity))
	}
	for _, target := range f.Request.Targets() {
		if target != f.Actor.Tenant && slices.Contains(f.Subject.Tenants, target) {
			return refusal.New(tokenexchange.InvalidRequest, "target_other_tenant",
				"target %q selects another organisation than that of the actor, %q (D11)",
				target, f.Actor.Tenant)
		}
	}
	return nil
}

// within reports whether every subject in this reach is also in the other.
func (reach Reach) within(other Reach) bool {
	missing := func(privilege string) bool {
		return !slices.Contains(other.Administrators, privilege)
	}
	return (other.AnyTenant || !reach.AnyTenant) &&
		!slices.ContainsFunc(reach.Administrators, missing)
}
