package grants_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/grants"
)

// C04: who is named, by scope and by claims, and what is left of the scope.
func TestActAs_Parse(t *testing.T) {
	scope := func(s ...string) tokenexchange.Scope { return append(tokenexchange.Scope{}, s...) }
	claims := func(user string) string { return `{"id_token":{"act_as":{"value":"` + user + `"}}}` }
	for name, row := range map[string]struct {
		scope  tokenexchange.Scope
		claims string
		user   string
		rest   tokenexchange.Scope
		code   tokenexchange.Code // empty: no error
	}{
		"nothing":               {nil, "", "", nil, ""},
		"no name":               {scope("read", "write"), "", "", scope("read", "write"), ""},
		"a scope that is empty": {scope(), "", "", scope(), ""},
		"by scope": {scope("read", "act_as:user123", "write"), "", "user123",
			scope("read", "write"), ""},
		"nothing but the name": {scope("act_as:user123"), "", "user123", scope(), ""},
		"a name with a colon":  {scope("act_as:urn:user:1"), "", "urn:user:1", scope(), ""},
		"the prefix in another case": {scope("ACT_AS:user123"), "", "", scope("ACT_AS:user123"),
			""},
		"the prefix in the middle": {scope("x:act_as:user123"), "", "", scope("x:act_as:user123"),
			""},
		"the prefix without colon": {scope("act_as"), "", "", scope("act_as"), ""},
		"a longer prefix": {scope("act_as_account:1"), "", "", scope("act_as_account:1"),
			""},
		"an empty name": {scope("read", "act_as:"), "", "", nil,
			tokenexchange.InvalidScope},
		"two names": {scope("act_as:a", "act_as:b"), "", "", nil,
			tokenexchange.InvalidScope},
		"the same name twice": {scope("act_as:a", "act_as:a"), "", "", nil,
			tokenexchange.InvalidScope},
		"a name and an empty one": {scope("act_as:a", "act_as:"), "", "", nil,
			tokenexchange.InvalidScope},

		"by claims": {nil, claims("user123"), "user123", nil, ""},
		"by claims, with scope": {scope("read"), claims("user123"), "user123", scope("read"),
			""},
		"by claims for UserInfo": {nil, `{"userinfo":{"act_as":{"value":"user123"}}}`,
			"user123", nil, ""},
		"by claims for both": {nil,
			`{"userinfo":{"act_as":{"value":"a"}},"id_token":{"act_as":{"value":"a"}}}`, "a", nil,
			""},
		"essential": {nil,
			`{"id_token":{"act_as":{"essential":true,"value":"a"}}}`, "a", nil, ""},
		"beside other claims": {nil,
			` {"id_token": {"acr": null, "act_as": {"value": "a"}, "email": {}}, "x": 1} `,
			"a", nil, ""},
		"escaped": {nil, `{"id_token":{"act\u005fas":{"value":"\u0061"}}}`, "a",
			nil, ""},
		"other claims only": {nil, `{"id_token":{"email":null}}`, "", nil, ""},
		"an empty object":   {nil, `{}`, "", nil, ""},
		"somewhere else": {nil,
			`{"access_token":{"act_as":{"value":"a"}},"act_as":{"value":"b"}}`, "", nil, ""},
		"by both, alike": {scope("act_as:a", "read"), claims("a"), "a", scope("read"),
			""},
		"by both, different": {scope("act_as:a"), claims("b"), "", nil,
			tokenexchange.InvalidRequest},
		"claims that disagree": {nil,
			`{"userinfo":{"act_as":{"value":"a"}},"id_token":{"act_as":{"value":"b"}}}`, "", nil,
			tokenexchange.InvalidRequest},
		"null": {nil, `{"id_token":{"act_as":null}}`, "", nil,
			tokenexchange.InvalidRequest},
		"a bare string": {nil, `{"id_token":{"act_as":"a"}}`, "", nil,
			tokenexchange.InvalidRequest},
		"a number": {nil, `{"id_token":{"act_as":{"value":1}}}`, "", nil,
			tokenexchange.InvalidRequest},
		"an empty value": {nil, claims(""), "", nil, tokenexchange.InvalidRequest},
		"no value": {nil, `{"id_token":{"act_as":{"essential":true}}}`, "", nil,
			tokenexchange.InvalidRequest},
		"values": {nil, `{"id_token":{"act_as":{"values":["a"]}}}`, "", nil,
			tokenexchange.InvalidRequest},
		"value and values": {nil, `{"id_token":{"act_as":{"value":"a","values":["b"]}}}`,
			"", nil, tokenexchange.InvalidRequest},
		"a claim twice": {nil,
			`{"id_token":{"act_as":{"value":"a"},"act_as":{"value":"a"}}}`, "", nil,
			tokenexchange.InvalidRequest},
		"a value twice": {nil, `{"id_token":{"act_as":{"value":"a","value":"a"}}}`, "",
			nil, tokenexchange.InvalidRequest},
		"a place twice": {nil, `{"id_token":{},"id_token":{"act_as":{"value":"a"}}}`,
			"", nil, tokenexchange.InvalidRequest},
		"a place that is no object": {nil, `{"id_token":[]}`, "", nil,
			tokenexchange.InvalidRequest},
		"no object":          {nil, `"act_as"`, "", nil, tokenexchange.InvalidRequest},
		"no JSON":            {nil, `{"id_token":`, "", nil, tokenexchange.InvalidRequest},
		"something after it": {nil, `{} {}`, "", nil, tokenexchange.InvalidRequest},
		"not UTF-8": {nil, "{\"id_token\":{\"act_as\":{\"value\":\"\xff\"}}}", "",
			nil, tokenexchange.InvalidRequest},
		"a name of many, with scope": {scope("act_as:a"), `{"id_token":{"act_as":null}}`, "", nil,
			tokenexchange.InvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			asked := slices.Clone(row.scope)
			user, rest, err := grants.ActAs{Named: typeNamed, Prefix: "act_as:"}.Parse(row.scope,
				row.claims)
			require.Equal(t, asked, row.scope, "it is pure")
			if row.code == "" {
				require.NoError(t, err)
				require.Equal(t, row.user, user)
				require.Equal(t, row.rest, rest)
				return
			}
			require.ErrorIs(t, err, row.code)
			require.Equal(t, row.code, tokenexchange.AsError(err).Code)
			require.Empty(t, user)
			require.Nil(t, rest)
			require.NotEmpty(t, tokenexchange.AsError(err).Reason)
			require.Equal(t, tokenexchange.AsError(row.code).Description,
				tokenexchange.AsError(err).Description, "it quotes nothing")
		})
	}
}

func TestActAs_Reasons(t *testing.T) {
	a := grants.ActAs{Named: typeNamed, Prefix: "act_as:"}
	for _, row := range []struct{ scope, claims, reason string }{
		{"act_as:", "", "act_as_without_user"},
		{"act_as:a act_as:b", "", "act_as_two_users"},
		{"act_as:a", `{"id_token":{"act_as":{"value":"b"}}}`, "act_as_two_users"},
		{"read", "{", "act_as_claims_malformed"},
	} {
		_, _, err := a.Parse(strings.Fields(row.scope), row.claims)
		require.Equal(t, row.reason, tokenexchange.AsError(err).Reason, "%v", err)
	}
}

// Another prefix, or none: then only claims name anybody.
func TestActAs_Prefix(t *testing.T) {
	scope := tokenexchange.Scope{"act_as:a", "for=b", "read"}
	user, rest, err := grants.ActAs{Named: typeNamed, Prefix: "for="}.Parse(scope, "")
	require.NoError(t, err)
	require.Equal(t, "b", user)
	require.Equal(t, tokenexchange.Scope{"act_as:a", "read"}, rest)
	user, rest, err = grants.ActAs{Named: typeNamed}.Parse(scope, "")
	require.NoError(t, err)
	require.Empty(t, user)
	require.Equal(t, scope, rest)
	user, _, err = grants.ActAs{Named: typeNamed}.Parse(scope,
		`{"id_token":{"act_as":{"value":"c"}}}`)
	require.NoError(t, err)
	require.Equal(t, "c", user)
}

// I01: without a type of its own, nothing is named and nothing goes on.
func TestActAs_Zero(t *testing.T) {
	self := tokenexchange.Token{Type: typeClient}
	for name, a := range map[string]grants.ActAs{"zero": {}, "prefix alone": {Prefix: "act_as:"},
		"a known type":   {Named: tokenexchange.TypeJWT, Prefix: "act_as:"},
		"refresh tokens": {Named: tokenexchange.TypeRefreshToken},
		"SAML":           {Named: tokenexchange.TypeSAML2}} {
		_, _, err := a.Parse(tokenexchange.Scope{"act_as:a"}, "")
		require.ErrorIs(t, err, tokenexchange.ServerError, name)
		_, _, _, err = a.Open(tokenexchange.Request{}, "", self)
		require.ErrorIs(t, err, tokenexchange.ServerError, name)
	}
}

// D04: the one who is named is a name of this server's, who brings it is the actor, with all that
// their token says.
func TestActAs_Open(t *testing.T) {
	a := grants.ActAs{Named: typeNamed, Prefix: "act_as:"}
	self := tokenexchange.Token{Type: typeClient, Kind: tokenexchange.KindClient, ID: "1",
		Issuer: issuer, Subject: "robot", ClientID: "robot",
		Scope: tokenexchange.Scope{"read"}, Expires: time.Unix(1e9, 0)}
	req := tokenexchange.Request{Scope: tokenexchange.Scope{"act_as:alice", "read"},
		Audience: []string{api}}
	got, subject, actor, err := a.Open(req, "", self)
	require.NoError(t, err)
	require.Equal(t,
		tokenexchange.Request{Scope: tokenexchange.Scope{"read"}, Audience: []string{api}}, got)
	require.Equal(t, tokenexchange.Token{Type: typeNamed, Kind: tokenexchange.KindUser, Name: true,
		Issuer: issuer, Subject: "alice", Expires: self.Expires}, subject)
	require.Equal(t, &self, actor)

	req.Scope = tokenexchange.Scope{"read"}
	got, subject, actor, err = a.Open(req, "", self)
	require.NoError(t, err)
	require.Equal(t, req, got)
	require.Equal(t, self, subject)
	require.Nil(t, actor)
	_, subject, actor, err = a.Open(req, "x", self)
	require.ErrorIs(t, err, tokenexchange.InvalidRequest)
	require.Equal(t, self, subject, "the event says who has asked")
	require.Nil(t, actor)
}

// own runs a grant that brings self, as a host does.
func (w *world) own(at string, self tokenexchange.Token, claims string,
	scope ...string) (tokenexchange.Response, error) {
	return w.x.Run(w.Context(), "client_credentials", client(at), func(context.Context, time.Time) (
		tokenexchange.Request, tokenexchange.Token, *tokenexchange.Token, error) {
		return w.actAs.Open(tokenexchange.Request{Scope: scope}, claims, self)
	})
}

// C04, D11, D23: the whole way, for a client and for a user who act.
func TestActAs_Run(t *testing.T) {
	robot := func(w *world) tokenexchange.Token {
		return tokenexchange.Token{Type: typeClient, Kind: tokenexchange.KindClient, ID: "run",
			Issuer: issuer, Subject: "robot", ClientID: "robot",
			Scope: tokenexchange.Scope{"read"}, Expires: w.now.Add(time.Minute)}
	}
	t.Run("a client", func(t *testing.T) {
		w := newWorld(t)
		got, err := w.own("robot", robot(w), "", "act_as:alice", "read")
		require.NoError(t, err)
		tok := w.tokenOf(got)
		require.Equal(t, []string{"alice", "robot", "read"},
			[]string{tok.Subject, tok.Actor.Subject, tok.Scope.String()})
		require.Len(t, w.audit.Events(), 1)
		require.Equal(t, "act-as", w.audit.Last().Decision.Rule)
		require.Len(t, w.actors.Asked(), 1, "D11")
	})
	t.Run("a user", func(t *testing.T) {
		w := newWorld(t)
		got, err := w.own("portal", w.session("ines", "portal"),
			`{"id_token":{"act_as":{"value":"alice"}}}`, "write")
		require.NoError(t, err)
		tok := w.tokenOf(got)
		require.Equal(t, []string{"alice", "ines", "write"},
			[]string{tok.Subject, tok.Actor.Subject, tok.Scope.String()})
	})
	t.Run("nobody is named", func(t *testing.T) {
		w := newWorld(t)
		got, err := w.own("robot", robot(w), "", "read")
		require.NoError(t, err)
		tok := w.tokenOf(got)
		require.Equal(t, "robot", tok.Subject)
		require.Nil(t, tok.Actor)
	})
	t.Run("nothing but the name", func(t *testing.T) {
		w := newWorld(t)
		got, err := w.own("robot", robot(w), "", "act_as:alice")
		require.NoError(t, err)
		require.Equal(t, tokenexchange.Scope{}, w.tokenOf(got).Scope,
			"none is asked for, none is granted")
	})
	for name, row := range map[string]struct {
		scope  string
		claims string
		change func(*world)
		code   tokenexchange.Code
		reason string
	}{
		"unknown": {"act_as:zoe read", "", nil, tokenexchange.InvalidRequest,
			"subject_not_resolved"},
		"disabled": {"act_as:alice read", "",
			func(w *world) { w.people.Disable(user("alice")) }, tokenexchange.InvalidRequest,
			"subject_not_resolved"},
		"not their actor": {"act_as:alice read", "", func(w *world) { w.actors.Func = nil },
			tokenexchange.InvalidRequest, "actor_not_authorized"},
		"more than theirs": {"act_as:bob write", "", nil, tokenexchange.InvalidScope,
			"scope_not_allowed"},
		"malformed": {"act_as:alice read", "{", nil, tokenexchange.InvalidRequest,
			"act_as_claims_malformed"},
		"two": {"act_as:alice act_as:bob", "", nil, tokenexchange.InvalidScope,
			"act_as_two_users"},
		"not configured": {"act_as:alice", "", func(w *world) { w.actAs = grants.ActAs{} },
			tokenexchange.ServerError, "act_as_incomplete"},
	} {
		t.Run("refused: "+name, func(t *testing.T) {
			w := newWorld(t)
			if row.change != nil {
				row.change(w)
			}
			_, err := w.own("robot", robot(w), row.claims, strings.Fields(row.scope)...)
			w.refused(err, row.code, row.reason)
			require.Len(t, w.audit.Events(), 1, "I07")
			require.Zero(t, w.live())
		})
	}
}

// FuzzActAs: whatever is sent, a name that is found is one that was sent, it is not in what is left
// of the scope, and the same words give the same answer.
func FuzzActAs(f *testing.F) {
	for _, seed := range [][2]string{
		{"", ""}, {"read act_as:user123", ""}, {"act_as:", ""}, {"act_as:a act_as:b", ""},
		{"read", `{"id_token":{"act_as":{"value":"user123"}}}`},
		{"act_as:a", `{"userinfo":{"act_as":{"value":"a"}}}`},
		{"", `{"id_token":{"act_as":{"values":["a"]}}}`}, {"", `{"id_token":null}`}, {"", `[`},
	} {
		f.Add(seed[0], seed[1])
	}
	a := grants.ActAs{Named: typeNamed, Prefix: "act_as:"}
	f.Fuzz(func(t *testing.T, text, claims string) {
		scope, err := tokenexchange.ParseScope(text)
		if err != nil {
			return
		}
		user, rest, err := a.Parse(scope, claims)
		if err != nil {
			code := tokenexchange.AsError(err).Code
			require.Contains(t,
				[]tokenexchange.Code{tokenexchange.InvalidScope, tokenexchange.InvalidRequest},
				code)
			require.Empty(t, user)
			return
		}
		for _, token := range rest {
			require.False(t, strings.HasPrefix(token, "act_as:"), token)
			require.Contains(t, scope, token)
		}
		named := slices.Contains(scope, "act_as:"+user)
		if user == "" {
			require.Equal(t, len(scope), len(rest))
		} else {
			require.True(t, named || claims != "")
			again, _, err := a.Parse(tokenexchange.Scope{"act_as:" + user}, "")
			require.NoError(t, err)
			require.Equal(t, user, again)
		}
		if named && user != "" {
			require.Equal(t, len(scope)-1, len(rest))
		}
		twice, left, err := a.Parse(scope, claims)
		require.NoError(t, err)
		require.Equal(t, []any{user, rest}, []any{twice, left})
	})
}
