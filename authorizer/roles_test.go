package authorizer_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/authorizer"
)

// The four classes of Z20, and a support role whose holders the administrators' ones reach.
var (
	administrators = []string{"org-admin", "end-user", "end-user-any"}
	classes        = authorizer.Roles{
		"end-user":     {},
		"end-user-any": {AnyTenant: true},
		"admin":        {Administrators: administrators[:2]},
		"admin-any":    {Administrators: administrators, AnyTenant: true},
	}
)

func roles(names ...string) func(*tx.Facts) {
	return func(f *tx.Facts) { f.Actor.Privileges = names }
}

func privileges(names ...string) func(*tx.Facts) {
	if names == nil {
		names = []string{}
	}
	return func(f *tx.Facts) { f.Subject.Privileges = names }
}

func elsewhere(f *tx.Facts) { f.Subject.Tenant = "globex" }

func ExampleRoles() {
	support := authorizer.Roles{
		"support":       {},
		"admin-support": {Administrators: []string{"org-admin"}, AnyTenant: true},
	}
	f := tx.Facts{
		Subject: tx.Subject{
			Identity:   tx.Identity{Issuer: "https://as.example", Kind: tx.KindUser, ID: "carol"},
			Privileges: []string{"org-admin"}},
		Actor: &tx.Subject{
			Identity:   tx.Identity{Issuer: "https://as.example", Kind: tx.KindUser, ID: "ann"},
			Privileges: []string{"support"}},
	}
	err := support.AuthorizeActor(context.Background(), f)
	fmt.Println(tx.AsError(err).Reason)
	f.Actor.Privileges = []string{"admin-support"}
	fmt.Println(support.AuthorizeActor(context.Background(), f))
	// Output:
	// role_not_sufficient
	// <nil>
}

func TestZ20_ClassesByOrganisation(t *testing.T) {
	targets := map[string]func(*tx.Facts){
		"end user":      privileges(),
		"administrator": privileges("org-admin"),
		"both of them":  privileges("org-admin", "end-user"),
		"owner":         privileges("owner"),
		"admin + owner": privileges("org-admin", "owner"),
		"unknown":       func(f *tx.Facts) { f.Subject.Privileges = nil },
	}
	reached := map[string]bool{ // role, target, organisation; whatever is not here is refused
		"end-user/end user/own":            true,
		"end-user-any/end user/own":        true,
		"end-user-any/end user/other":      true,
		"admin/end user/own":               true,
		"admin/administrator/own":          true,
		"admin/both of them/own":           true,
		"admin-any/end user/own":           true,
		"admin-any/end user/other":         true,
		"admin-any/administrator/own":      true,
		"admin-any/administrator/other":    true,
		"admin-any/both of them/own":       true,
		"admin-any/both of them/other":     true,
		"end-user+admin/both of them/own":  true,
		"end-user+admin/end user/own":      true,
		"end-user+admin/administrator/own": true,
		// one role for the class and another for the organisation are not one that covers both
		"end-user-any+admin/end user/own":      true,
		"end-user-any+admin/end user/other":    true,
		"end-user-any+admin/administrator/own": true,
		"end-user-any+admin/both of them/own":  true,
	}
	actorsOf := map[string]func(*tx.Facts){
		"nothing":            roles(),
		"unknown":            func(f *tx.Facts) { f.Actor.Privileges = nil },
		"stranger":           roles("gardener", "org-admin", "owner"),
		"end-user":           roles("gardener", "end-user"),
		"end-user-any":       roles("end-user-any"),
		"admin":              roles("admin"),
		"admin-any":          roles("admin-any"),
		"end-user+admin":     roles("end-user", "admin"),
		"end-user-any+admin": roles("end-user-any", "admin"),
	}
	used := 0
	for role, hasRole := range actorsOf {
		for target, isTarget := range targets {
			for tenant, inTenant := range map[string]func(*tx.Facts){
				"own": func(*tx.Facts) {}, "other": elsewhere,
			} {
				name := role + "/" + target + "/" + tenant
				t.Run(name, func(t *testing.T) {
					err := classes.AuthorizeActor(t.Context(), facts(hasRole, isTarget, inTenant))
					if reached[name] {
						used++
						require.NoError(t, err)
						return
					}
					require.ErrorIs(t, err, tx.InvalidRequest)
				})
			}
		}
	}
	require.Equal(t, len(reached), used)
}

func TestZ20_Refusals(t *testing.T) {
	const above = "role_not_sufficient"
	for name, c := range map[string]struct {
		facts  tx.Facts
		reason string
	}{
		"client acts": {facts(noActor), "client_without_role"},
		"no role":     {facts(), "actor_without_role"},
		"unknown privileges": {
			facts(roles("admin-any"),
				func(f *tx.Facts) { f.Subject.Privileges = nil }), "privileges_unknown"},
		"privilege of no rank": {
			facts(roles("admin-any"), privileges("new-in-this-release")), above},
		"the empty privilege": {facts(roles("admin-any"), privileges("")), above},
		"an equal, not listed": {facts(roles("admin-any"), privileges("admin-any")),
			above},
		"an end-user impersonator's equal": {facts(roles("end-user"), privileges("end-user")),
			above},
		"another organisation": {facts(roles("end-user"), elsewhere),
			"subject_other_tenant"},
		"an organisation of no name": {
			facts(roles("end-user"),
				func(f *tx.Facts) { f.Subject.Tenant = "" }), "subject_other_tenant"},
		"same name, another issuer": {
			facts(roles("end-user"),
				func(f *tx.Facts) { f.Actor.Issuer = foreign }), "subject_other_tenant"},
		"listed, but itself reaches beyond": {facts(roles("narrow"), privileges("end-user-any")),
			above},
		"the same by whom it reaches": {facts(roles("narrow"), privileges("admin")), above},
		"service account": {
			facts(roles("admin-any"), func(f *tx.Facts) { f.Subject.Kind = tx.KindWorkload }),
			"subject_not_a_user"},
		"client as subject": {
			facts(roles("admin-any"), func(f *tx.Facts) { f.Subject.Kind = tx.KindClient }),
			"subject_not_a_user"},
	} {
		t.Run(name, func(t *testing.T) {
			r := authorizer.Roles{"narrow": {Administrators: []string{"end-user-any", "admin"}}}
			for role, reach := range classes {
				r[role] = reach
			}
			refuses(t, r.AuthorizeActor(t.Context(), c.facts), c.reason)
		})
	}
}

func TestZ20_OrganisationBorderHoldsForASwitch(t *testing.T) {
	toGlobex := func(f *tx.Facts) {
		f.Subject.Tenants = []string{"acme", "globex"}
		f.Request.Audience = []string{"https://api.example", "globex"}
	}
	toOwn := func(f *tx.Facts) {
		f.Subject.Tenants, f.Request.Resource = []string{"acme", "globex"}, []string{"acme"}
	}
	require.NoError(t, classes.AuthorizeActor(t.Context(), facts(roles("end-user"), toOwn)))
	require.NoError(t, classes.AuthorizeActor(t.Context(), facts(roles("end-user-any"), toGlobex)))
	refuses(t, classes.AuthorizeActor(t.Context(), facts(roles("end-user"), toGlobex)),
		"target_other_tenant")
}

func TestZ20_CarriedActorNeedsTheRoleToday(t *testing.T) {
	require.NoError(t, classes.AuthorizeActor(t.Context(), facts(carried, roles("end-user"))))
	require.ErrorIs(t, classes.AuthorizeActor(t.Context(), facts(carried, roles())),
		tx.InvalidRequest)
}

func TestZ20_ServerWithoutOrganisations(t *testing.T) {
	none := func(f *tx.Facts) { f.Subject.Tenant, f.Actor.Tenant = "", "" }
	require.NoError(t, classes.AuthorizeActor(t.Context(), facts(none, roles("end-user"))))
}
