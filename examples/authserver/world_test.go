package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A world that says too little, too much or something else than it means is an error that names the place.
func TestWorldIsReadStrictly(t *testing.T) {
	_, err := parseWorld(demoWorld)
	require.NoError(t, err)
	for _, c := range []struct{ old, new, want string }{
		{`"allow_impersonation": true`, `"allow_impersonation": 1`, "allow_impersonation: a number where a bool is needed"},
		{`"allow_impersonation": true`, `"allow_impersonation": null`, "allow_impersonation: null"},
		{`"allow_impersonation": true`, `"Allow_Impersonation": true`, "Allow_Impersonation: unknown member"},
		{`"allow_impersonation": true`, `"allow_impersonation": true, "allow_impersonation": false`, "allow_impersonation: occurs twice"},
		{`"allow_impersonation": true`, `"allow_impersonation": true, "allow_impersonatio\u006e": false`, "allow_impersonation: occurs twice"},
		{`"allow_impersonation": true`, `"allow_impersonation": true, "issuer": "https://as.example/"`, "issuer:"},
		{`"allow_impersonation": true`, `"allow_impersonation": true, "issuer": "as.example"`, "issuer:"},
		{`"allow_impersonation": true`, `"allow_impersonation": true, "claim_shape": "acting"`, "claim_shape:"},
		{`"session": "12h"`, `"session": "12 hours"`, "lifetimes.session:"},
		{`"session": "12h"`, `"session": "-12h"`, "lifetimes.session:"},
		{`, "session": "12h"`, ``, "lifetimes:"},
		{`"scope": "users:read"}`, `"scope": "users read"}`, "management_api:"},
		{`urn:zitadel:params`, `urn:ietf:params`, "user_id_token_type:"},
		{`"id": "globex", "name"`, `"id": "acme", "name"`, "organizations[1].id:"},
		{`"org-admin": {"administrator": true}`, `"org-admin": {"administrater": true}`, "roles.org-admin.administrater: unknown member"},
		{`"org-admin": {"administrator": true}`, `"org-admin": {}, "org-admin": {"administrator": true}`, "roles.org-admin: occurs twice"},
		{`"global-admin": {"administrator": true},`, ``, "roles.global-admin-impersonator.impersonates.administrators:"},
		{`"id": "bob"`, `"id": "alice"`, "users[1].id:"},
		{`"id": "bob"`, `"id": "portal"`, `clients[0].id: "portal" is the name of users[1].id too`},
		{`"id": "bob"`, `"id": ""`, "users[1].id: it is missing"},
		{`"org": "globex", "roles": ["member"]`, `"org": "globe", "roles": ["member"]`, "users[2] (carol).org:"},
		{`"organizations": ["globex"]`, `"organizations": ["globe"]`, "users[1] (bob).organizations:"},
		{`"roles": ["org-user-impersonator"]`, `"roles": ["org-impersonator"]`, "users[5] (ines).roles:"},
		{`"roles": ["org-user-impersonator"]`, `"roles": "org-user-impersonator"`, "users[5].roles: not an array"},
		{`"status": "locked"`, `"status": "lockd"`, "users[10].status:"},
		{`"scope": ["openid", "read"], "status": "locked"`, `"scope": ["openid read"], "status": "locked"`, "users[10] (lola).scope:"},
		{`"scope": ["openid", "read"], "status": "locked"`, `"scope": ["openid", 7], "status": "locked"`, "users[10].scope[1]:"},
		{`"auth_methods": ["private_key_jwt"]`, `"auth_methods": ["private_key"]`, "clients[3] (robot).auth_methods:"},
		{`"auth_methods": ["private_key_jwt"]`, `"auth_methods": ["client_secret_basic"]`, "clients[3] (robot): a secret"},
		{`"auth_methods": ["private_key_jwt"]`, `"auth_methods": []`, "clients[3] (robot).grants:"},
		{`"secret": "settings-demo-secret", "auth_methods": ["client_secret_basic"]`, `"auth_methods": ["private_key_jwt"]`, "clients[2] (settings-api): private_key_jwt without jwks"},
		{`"secret": "settings-demo-secret"`, `"secret": "x", "secret_bcrypt": "y"`, "clients[2] (settings-api): secret beside"},
		{`"may_act": {"client_id": "service", "sub": "sam"}`, `"may_act": {}`, "clients[4] (customer).may_act: it names nobody"},
		{`"may_act": {"client_id": "service", "sub": "sam"}`, `"may_act": {"client": "service"}`, "clients[4].may_act.client: unknown member"},
		{`"grants": ["refresh_token"]`, `"grants": ["refresh"]`, "clients[4] (customer).grants:"},
		{`"scope": ["read"], "audiences": ["https://aggregates.example"], "token_audience": ["https://ledger.example"]`, `"scope": ["read"]`, "clients[1] (aggregates-api).token_audience:"},
		{`"issuer": "https://idp.partner.example"`, `"issuer": "portal"`, "foreign_issuers[0].issuer:"},
		{`{"p-4711": "bob"}`, `{"p-4711": "bobby"}`, "foreign_issuers[0] (https://idp.partner.example).links.p-4711:"},
		{`"end_user": {"user": "alice"`, `"end_user": {"user": "alicia"`, "logins.end_user.user:"},
		{`"user": "alice", "client": "customer"`, `"user": "alice", "client": "costumer"`, "logins.customer.client:"},
		{`"user": "alice", "client": "customer"`, `"user": "alice", "client": "bank-api"`, "logins.customer.client:"},
		{`"policy": {"rules"`, `"policies": {"rules"`, "policies: unknown member"},
		{`"subject_token_lifetime": "3m"`, `"post_logout_redirect_uris": []`, "clients[11] (helpdesk): subject_token_lifetime and a response type"},
		{`"response_types": ["code", "subject_token", "id_token subject_token"], `, ``, "clients[11] (helpdesk): subject_token_lifetime and a response type"},
		{`"code", "subject_token", "id_token subject_token"`, `"code", "subject_token", "token"`, "clients[11] (helpdesk).response_types:"},
		{`"subject_token_lifetime": "3m"`, `"subject_token_lifetime": 180`, "clients[11].subject_token_lifetime: a number"},
		{`"name": "Acme Mobile",`, `"name": "Acme Mobile", "preapproved": true,`, "clients[7] (mobile).preapproved:"},
		{`"name": "Acme Mobile",`, `"name": "Acme Mobile", "response_types": ["code", "subject_token"], "subject_token_lifetime": "3m",`, "clients[7] (mobile).response_types:"},
		{`"acts_for": ["alice"]`, `"acts_for": ["alicia"]`, "clients[3] (robot).acts_for:"},
		{`"assertions": {}`, `"assertions": {"aud": "x"}`, "foreign_issuers[0].assertions.aud: unknown member"},
		{`"rules": {"portal-orders"`, `"rules": {"portal-order"`, "embedded.rules.portal-order:"},
		{`"claim": "stock_token", `, ``, "embedded.claim:"},
		{`["urn:example:token-type:act-as"]`, `["urn:example:token-type:act_as"]`, "policy.rules["},
		{`"access_token": "1h"`, `"access_token": 3600`, "lifetimes.access_token: a number where a string is needed"},
		{`"secret": "settings-demo-secret"`, `"secret_bcrypt": "settings-demo-secret"`, "clients[2] (settings-api).secret_bcrypt:"},
		{`"audiences": ["https://aggregates.example"]`, `"audiences": [""]`, "clients[1] (aggregates-api): an empty name"},
		{`"scopes": {"orders.read": ["read"]}`, `"scopes": {"orders.read": ["read all"]}`, "foreign_issuers[0] (https://idp.partner.example).scopes.orders.read.scope:"},
		{`"may_act": {"client_id": "service", "sub": "sam"}`, `"may_act": {"client_id": "servise", "sub": "sam"}`, "clients[4] (customer).may_act.client_id:"},
		{`"may_act": {"client_id": "service", "sub": "sam"}`, `"may_act": {"client_id": "service", "sub": "samm"}`, "clients[4] (customer).may_act.sub:"},
		{`"may_act": {"client_id": "service", "sub": "sam"}`, `"may_act": {"client_id": "service", "iss": "https://idp.partner.example"}`, "clients[4] (customer).may_act.iss:"},
		{`"service-delegate": {"client_id"`, `"service-delegation": {"client_id"`, "may_act.service-delegation: there is no rule"},
		{`"service-delegate": {"client_id": "service"`, `"service-delegate": {"client_id": "servise"`, "may_act.service-delegate.client_id:"},
		{`"mode": "narrow", "clients": ["portal"]`, `"mode": "narrow", "clients": ["portall"]`, "policy.rules[0] (portal-narrow).clients:"},
		{`"issuers": ["https://idp.partner.example"]`, `"issuers": ["https://idp.partner.exmple"]`, "policy.rules[7] (portal-partner).issuers:"},
		{`"subjects": [{"kind": "user", "tenant": "*", "id": "*"}]`, `"subjects": [{"kind": "user", "id": "*"}]`, "policy.rules[0] (portal-narrow).subjects or actors: every user"},
		{`"subjects": [{"kind": "user", "tenant": "*", "id": "*"}]`, `"subjects": [{"kind": "user", "tenant": "acmee", "id": "*"}]`, "policy.rules[0] (portal-narrow).subjects or actors: there is no organization"},
		{`"subjects": [{"kind": "user", "tenant": "*", "id": "*"}]`, `"subjects": [{"kind": "user", "tenant": "*", "id": "robot"}]`, "policy.rules[0] (portal-narrow).subjects or actors: there is no user"},
		{`"kind": "client", "id": "robot"`, `"kind": "client", "id": "alice"`, "policy.rules[9] (robot-agent).subjects or actors: there is no client"},
		{`"kind": "client", "id": "robot"`, `"kind": "client", "tenant": "acme", "id": "robot"`, "policy.rules[9] (robot-agent).subjects or actors: no client is of"},
		{`"user_id_token_type": "urn:zitadel:params:oauth:token-type:user_id"`, `"user_id_token_type": "urn:zitadel:params:oauth:token-type:userid"`, "policy.rules[4] (portal-delegate-by-name).subject_types or actor_types:"},
		{"\n\t\"organizations\"", "\n\torganizations", "line 7:"},
	} {
		require.Contains(t, string(demoWorld), c.old)
		_, err := parseWorld(bytes.Replace(demoWorld, []byte(c.old), []byte(c.new), 1))
		require.ErrorContains(t, err, "world: "+c.want, "%s", c.new)
	}
	_, err = parseWorld(append(bytes.Clone(demoWorld), '{', '}'))
	require.ErrorContains(t, err, "after the document")
	for text, want := range map[string]string{"": "ends before", `{"issuer": `: "ends before", "[]": "not an object", "null": "not an object", "7": "not an object", "{}": "lifetimes:"} {
		_, err = parseWorld([]byte(text))
		require.ErrorContains(t, err, want, text)
	}
}

// What only the library knows about a world is an error of newServer.
func TestWorldIsBuiltStrictly(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{`"mode": "narrow"`, `"mode": "narow"`, `rule "portal-narrow" (number 1)`},
		{`"subject_audience": true, "scope": ["*"], "lifetime": "1h"`, `"subject_audience": true, "scope": ["*"], "lifetime": "1h", "lifetime": "2h"`, "policy"},
		{`"subject_audience": true, "scope": ["*"], "lifetime": "1h"`, `"subject_audience": true, "scopes": ["*"], "lifetime": "1h"`, `"scopes"`},
		{`"audience": ["https://as.acme.example"],`, ``, "https://idp.partner.example"},
		{`"kid": "robot-1"`, `"kid": "robot-1", "d": "AAAA"`, `"robot"`},
	} {
		require.Contains(t, string(demoWorld), c.old)
		w, err := parseWorld(bytes.Replace(demoWorld, []byte(c.old), []byte(c.new), 1))
		if err == nil { // what the policy says is known before, what keys and issuers do not allow when they are put to use
			_, err = newServer(w, options{Issuer: "http://as.example"})
		}
		require.ErrorContains(t, err, c.want, "%s", c.new)
	}
	_, err := newServer(demo(t), options{})
	require.ErrorContains(t, err, "issuer")
	w := demo(t)
	w.Issuer = "https://as.example"
	s, err := newServer(w, options{Issuer: "http://127.0.0.1:1"})
	require.NoError(t, err)
	require.Equal(t, "https://as.example", s.issuer, "the world's word is the last")
}

// The keys in testdata are those of the demo world, and no other private key is anywhere near.
func TestKeys(t *testing.T) {
	files, err := filepath.Glob("testdata/*")
	require.NoError(t, err)
	require.Equal(t, []string{"testdata/partner.pem", "testdata/robot.pem"}, files)
	for _, name := range []string{"robot", "partner"} {
		require.NotEmpty(t, keyID(testKey(t, name)))
	}
	s, err := newServer(demo(t), options{Issuer: "http://as.example", Key: testKey(t, "robot")})
	require.NoError(t, err)
	again, err := newServer(demo(t), options{Issuer: "http://as.example", Key: testKey(t, "robot")})
	require.NoError(t, err)
	require.Equal(t, string(s.jwks), string(again.jwks), "the same key has the same kid")

	dir := t.TempDir()
	for name, text := range map[string]string{"empty": "", "text": "a key", "public": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"} {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		_, err := readKey(file)
		require.Error(t, err, name)
	}
	_, err = readKey(filepath.Join(dir, "missing"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NotContains(t, strings.ToLower(string(demoWorld)), "private key")
}
