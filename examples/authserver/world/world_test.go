package world

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// An unknown member, a wrong type and a name that does not exist are errors.
func TestWorldIsReadStrictly(t *testing.T) {
	demo, err := os.ReadFile("../world.json")
	require.NoError(t, err)
	_, err = Parse(demo)
	require.NoError(t, err)
	for _, c := range []struct{ old, new, want string }{
		{`"allow_impersonation": true`, `"allow_impersonation": 1`,
			"json: cannot unmarshal number into"},
		{`"allow_impersonation": true`,
			`"allow_impersonation": true, "issuer": "https://as.example/"`, "issuer:"},
		{`"allow_impersonation": true`, `"allow_impersonation": true, "issuer": "as.example"`,
			"issuer:"},
		{`"allow_impersonation": true`, `"allow_impersonation": true, "claim_shape": "acting"`,
			"claim_shape:"},
		{`"session": "12h"`, `"session": "12 hours"`, `"12 hours" is not a duration`},
		{`"session": "12h"`, `"session": "-12h"`, `"-12h" is not a duration`},
		{`, "session": "12h"`, ``, "lifetimes:"},
		{`"scope": "users:read"}`, `"scope": "users read"}`, "management_api:"},
		{`urn:zitadel:params`, `urn:ietf:params`, "user_id_token_type:"},
		{`"id": "globex", "name"`, `"id": "acme", "name"`, "organizations[1].id:"},
		{`"org-admin": {"administrator": true}`, `"org-admin": {"administrater": true}`,
			`json: unknown field "administrater"`},
		{`"global-admin": {"administrator": true},`, ``,
			"roles.global-admin-impersonator.impersonates.administrators:"},
		{`"id": "bob"`, `"id": "alice"`, "users[1].id:"},
		{`"id": "bob"`, `"id": "portal"`, `clients[0].id: "portal" is the name of users[1].id too`},
		{`"id": "bob"`, `"id": ""`, "users[1].id is missing"},
		{`"org": "globex", "roles": ["member"]`, `"org": "globe", "roles": ["member"]`,
			"users[2] (carol).org:"},
		{`"organizations": ["globex"]`, `"organizations": ["globe"]`,
			"users[1] (bob).organizations:"},
		{`"roles": ["org-user-impersonator"]`, `"roles": ["org-impersonator"]`,
			"users[5] (ines).roles:"},
		{`"roles": ["org-user-impersonator"]`, `"roles": "org-user-impersonator"`,
			"json: cannot unmarshal string into"},
		{`"status": "locked"`, `"status": "lockd"`, `"lockd" is not enabled`},
		{`"scope": ["openid", "read"], "status": "locked"`,
			`"scope": ["openid read"], "status": "locked"`, "users[10] (lola).scope:"},
		{`"scope": ["openid", "read"], "status": "locked"`,
			`"scope": ["openid", 7], "status": "locked"`, "json: cannot unmarshal number into"},
		{`"auth_methods": ["private_key_jwt"]`, `"auth_methods": ["private_key"]`,
			"clients[3] (robot).auth_methods:"},
		{`"auth_methods": ["private_key_jwt"]`, `"auth_methods": ["client_secret_basic"]`,
			"clients[3] (robot): a secret"},
		{`"auth_methods": ["private_key_jwt"]`, `"auth_methods": []`, "clients[3] (robot).grants:"},
		{`"secret": "settings-demo-secret", "auth_methods": ["client_secret_basic"]`,
			`"auth_methods": ["private_key_jwt"]`,
			"clients[2] (settings-api): private_key_jwt without jwks"},
		{`"secret": "settings-demo-secret"`, `"secret": "x", "secret_bcrypt": "y"`,
			"clients[2] (settings-api): secret together"},
		{`"may_act": {"client_id": "service", "sub": "sam"}`, `"may_act": {}`,
			"clients[4] (customer).may_act names no user"},
		{`"may_act": {"client_id": "service", "sub": "sam"}`, `"may_act": {"client": "service"}`,
			`json: unknown field "client"`},
		{`"grants": ["refresh_token"]`, `"grants": ["refresh"]`, "clients[4] (customer).grants:"},
		{`"scope": ["read"], "audiences": ["https://aggregates.example"], "token_audience": ` +
			`["https://ledger.example"]`, `"scope": ["read"]`,
			"clients[1] (aggregates-api).token_audience:"},
		{`"issuer": "https://idp.partner.example"`, `"issuer": "portal"`,
			"foreign_issuers[0].issuer:"},
		{`{"p-4711": "bob"}`, `{"p-4711": "bobby"}`,
			"foreign_issuers[0] (https://idp.partner.example).links.p-4711:"},
		{`"end_user": {"user": "alice"`, `"end_user": {"user": "alicia"`, "logins.end_user.user:"},
		{`"user": "alice", "client": "customer"`, `"user": "alice", "client": "costumer"`,
			"logins.customer.client:"},
		{`"user": "alice", "client": "customer"`, `"user": "alice", "client": "bank-api"`,
			"logins.customer.client:"},
		{`"policy": {"rules"`, `"policies": {"rules"`, `json: unknown field "policies"`},
		{`"subject_token_lifetime": "3m"`, `"post_logout_redirect_uris": []`,
			"clients[11] (helpdesk): subject_token_lifetime and a response type"},
		{`"response_types": ["code", "subject_token", "id_token subject_token"], `, ``,
			"clients[11] (helpdesk): subject_token_lifetime and a response type"},
		{`"code", "subject_token", "id_token subject_token"`, `"code", "subject_token", "token"`,
			"clients[11] (helpdesk).response_types:"},
		{`"subject_token_lifetime": "3m"`, `"subject_token_lifetime": 180`,
			"json: cannot unmarshal number into"},
		{`"name": "Acme Mobile",`, `"name": "Acme Mobile", "preapproved": true,`,
			"clients[7] (mobile).preapproved:"},
		{`"name": "Acme Mobile",`,
			`"name": "Acme Mobile", "response_types": ["code", "subject_token"],` +
				`"subject_token_lifetime": "3m",`,
			"clients[7] (mobile).response_types:"},
		{`"acts_for": ["alice"]`, `"acts_for": ["alicia"]`, "clients[3] (robot).acts_for:"},
		{`"assertions": {}`, `"assertions": {"aud": "x"}`, `json: unknown field "aud"`},
		{`"rules": {"portal-orders"`, `"rules": {"portal-order"`, "embedded.rules.portal-order:"},
		{`"claim": "stock_token", `, ``, "embedded.claim is"},
		{`["urn:example:token-type:act-as"]`, `["urn:example:token-type:act_as"]`, "policy.rules["},
		{`"access_token": "1h"`, `"access_token": 3600`, "json: cannot unmarshal number into"},
		{`"secret": "settings-demo-secret"`, `"secret_bcrypt": "settings-demo-secret"`,
			"clients[2] (settings-api).secret_bcrypt:"},
		{`"audiences": ["https://aggregates.example"]`, `"audiences": [""]`,
			"clients[1] (aggregates-api): an empty name"},
		{`"scopes": {"orders.read": ["read"]}`, `"scopes": {"orders.read": ["read all"]}`,
			"foreign_issuers[0] (https://idp.partner.example).scopes.orders.read.scope:"},
		{`"may_act": {"client_id": "service", "sub": "sam"}`,
			`"may_act": {"client_id": "servise", "sub": "sam"}`,
			"clients[4] (customer).may_act.client_id:"},
		{`"may_act": {"client_id": "service", "sub": "sam"}`,
			`"may_act": {"client_id": "service", "sub": "samm"}`,
			"clients[4] (customer).may_act.sub:"},
		{`"may_act": {"client_id": "service", "sub": "sam"}`,
			`"may_act": {"client_id": "service", "iss": "https://idp.partner.example"}`,
			"clients[4] (customer).may_act.iss without"},
		{`"service-delegate": {"client_id"`, `"service-delegation": {"client_id"`,
			"may_act.service-delegation: there is no rule"},
		{`"service-delegate": {"client_id": "service"`,
			`"service-delegate": {"client_id": "servise"`, "may_act.service-delegate.client_id:"},
		{`"name": "portal-narrow", "clients": ["portal"]`,
			`"name": "portal-narrow", "clients": ["portall"]`,
			"policy.rules[0] (portal-narrow).clients:"},
		{`"issuers": ["https://idp.partner.example"]`, `"issuers": ["https://idp.partner.exmple"]`,
			"policy.rules[7] (portal-partner).issuers:"},
		{`"subjects": [{"kind": "user", "tenant": "*", "id": "*"}]`,
			`"subjects": [{"kind": "user", "id": "*"}]`,
			"policy.rules[0] (portal-narrow).subjects or actors: every user"},
		{`"subjects": [{"kind": "user", "tenant": "*", "id": "*"}]`,
			`"subjects": [{"kind": "user", "tenant": "acmee", "id": "*"}]`,
			"policy.rules[0] (portal-narrow).subjects or actors: there is no organization"},
		{`"subjects": [{"kind": "user", "tenant": "*", "id": "*"}]`,
			`"subjects": [{"kind": "user", "tenant": "*", "id": "robot"}]`,
			"policy.rules[0] (portal-narrow).subjects or actors: there is no user"},
		{`"kind": "client", "id": "robot"`, `"kind": "client", "id": "alice"`,
			"policy.rules[9] (robot-agent).subjects or actors: there is no client"},
		{`"kind": "client", "id": "robot"`, `"kind": "client", "tenant": "acme", "id": "robot"`,
			"policy.rules[9] (robot-agent).subjects or actors: clients have no"},
		{`"user_id_token_type": "urn:zitadel:params:oauth:token-type:user_id"`,
			`"user_id_token_type": "urn:zitadel:params:oauth:token-type:userid"`,
			"policy.rules[4] (portal-delegate-by-name).subject_types or actor_types:"},
		{"\n\t\"organizations\"", "\n\torganizations", "line 7:"},
	} {
		require.Contains(t, string(demo), c.old)
		_, err := Parse(bytes.Replace(demo, []byte(c.old), []byte(c.new), 1))
		require.ErrorContains(t, err, "world: "+c.want, "%s", c.new)
	}
	_, err = Parse(append(bytes.Clone(demo), '{', '}'))
	require.ErrorContains(t, err, "after the document")
	for text, want := range map[string]string{"": "EOF", `{"issuer": `: "EOF",
		"[]": "json: cannot unmarshal array", "null": "lifetimes:",
		"7": "json: cannot unmarshal number", "{}": "lifetimes:"} {
		_, err = Parse([]byte(text))
		require.ErrorContains(t, err, want, text)
	}
}
