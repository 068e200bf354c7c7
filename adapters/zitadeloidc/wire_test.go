package zitadelexchange_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/go-tokenexchange/tokenexchange"
)

// request returns a valid request of the help desk, in which bob acts for alice, and its form.
func (h *host) request(t testing.TB) (*http.Request, url.Values) {
	f := form("subject_token", h.alice(t), "subject_token_type", "access_token",
		"actor_token", h.bob(t), "actor_token_type", "access_token", "scope", "orders:read")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.web.URL+"/oauth/token",
		strings.NewReader(f.Encode()))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("helpdesk", "secret-of-helpdesk")
	return r, f
}

// TestR01_Query checks that no parameter of the query is used, although the framework reads them,
// and that the refusal is audited.
func TestR01_Query(t *testing.T) {
	h := newHost(t, op.AccessTokenTypeBearer)
	r, f := h.request(t)
	h.send(t, r).granted(t)
	before := len(h.records())
	for name, move := range map[string][]string{
		"all": {"grant_type", "subject_token", "subject_token_type", "actor_token",
			"actor_token_type", "scope"},
		"the tokens": {"subject_token", "subject_token_type", "actor_token",
			"actor_token_type"},
		"the actor token":  {"actor_token", "actor_token_type"},
		"one type":         {"actor_token_type"},
		"scope":            {"scope"},
		"grant_type":       {"grant_type"},
		"a further target": {"audience"},
	} {
		body, query := url.Values{}, url.Values{}
		for parameter, value := range f {
			if slices.Contains(move, parameter) {
				query[parameter] = value
			} else {
				body[parameter] = value
			}
		}
		if name == "a further target" {
			query.Set("audience", "https://orders.example")
		}
		post, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
			h.web.URL+"/oauth/token?"+query.Encode(), strings.NewReader(body.Encode()))
		require.NoError(t, err)
		post.Header = r.Header
		require.Contains(t, h.refused(t, h.send(t, post), tokenexchange.InvalidRequest).Err.Error(),
			"R01", name)
	}
	get, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		h.web.URL+"/oauth/token?"+f.Encode(), nil)
	require.NoError(t, err)
	get.Header = r.Header
	got := h.send(t, get)
	require.Equal(t, http.StatusMethodNotAllowed, got.status)
	require.Equal(t, "invalid_request", got.error())
	require.Equal(t, "no-store", got.header.Get("Cache-Control"), "R12")
	require.Empty(t, got.header.Values("Allow"), "the framework cannot send it")
	require.Len(t, h.records(), before, "no token is issued")
	require.Len(t, h.audit.Events(), 9)

	// Further parameters of the query belong to the host and do not count as repeated.
	r, f = h.request(t)
	f.Set("flavour", "mint")
	post, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		h.web.URL+"/oauth/token?flavour=mint&tenant=7", strings.NewReader(f.Encode()))
	require.NoError(t, err)
	post.Header = r.Header
	h.send(t, post).granted(t)
	for _, ev := range h.audit.Events() {
		require.Equal(t, "helpdesk", ev.Facts.Client.ID, "I07")
	}
}

// TestR01_R04_R10_MalformedRequests checks that malformed requests are refused and audited. The
// names of the cases are a part of the detail.
func TestR01_R04_R10_MalformedRequests(t *testing.T) {
	h := newHost(t, op.AccessTokenTypeBearer)
	for name, change := range map[string]func(r *http.Request, f url.Values) string{
		"the Content-Type is not": func(r *http.Request, f url.Values) string {
			r.Header.Set("Content-Type", "text/plain")
			return f.Encode()
		},
		"2 Authorization headers": func(r *http.Request, f url.Values) string {
			r.Header.Add("Authorization", "Basic x")
			return f.Encode()
		},
		"parameter scope is repeated": func(_ *http.Request, f url.Values) string {
			return f.Encode() + "&scope="
		},
		"parameter actor_token is repeated": func(_ *http.Request, f url.Values) string {
			return f.Encode() + "&actor_token=x"
		},
		"parameter grant_type is repeated": func(_ *http.Request, f url.Values) string {
			return f.Encode() + "&grant_type=x"
		},
		"an unknown parameter is repeated": func(_ *http.Request, f url.Values) string {
			return f.Encode() + "&flavour=mint&flavour=mint"
		},
		"the form is larger than": func(_ *http.Request, f url.Values) string {
			return f.Encode() + "&x=" + strings.Repeat("y", 256<<10)
		},
		"subject_token is too long": func(_ *http.Request, f url.Values) string {
			f.Set("subject_token", strings.Repeat("y", 1<<16+1))
			return f.Encode()
		},
		"subject_token is malformed": func(_ *http.Request, f url.Values) string {
			f.Set("subject_token", "\x00")
			return f.Encode()
		},
	} {
		r, f := h.request(t)
		body := change(r, f)
		if name == "the Content-Type is not" { // the framework reads the grant from the query
			r.URL.RawQuery = url.Values{"grant_type": {tokenexchange.GrantType},
				"subject_token":      {"x"},
				"subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"}}.Encode()
		}
		again, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.URL.String(),
			strings.NewReader(body))
		require.NoError(t, err)
		again.Header = r.Header
		require.Contains(t,
			h.refused(t, h.send(t, again), tokenexchange.InvalidRequest).Err.Error(), name)
	}
}

// TestR12_NoStore checks that NoStore adds the headers to the framework's own errors.
func TestR12_NoStore(t *testing.T) {
	with := newHost(t, op.AccessTokenTypeBearer)
	without := newHost(t, op.AccessTokenTypeBearer, func(h *host) { h.withoutNoStore = true })
	for _, h := range []*host{with, without} {
		got := h.delegate(t).granted(t)
		require.Equal(t, []string{"no-store"}, got.header.Values("Cache-Control"),
			"a granted exchange has the header anyway")
		require.Equal(t, []string{"no-cache"}, got.header.Values("Pragma"))
	}
	of := func(h *host) (all []reply) {
		before := len(h.audit.Events())
		for _, pairs := range [][]string{{}, {"subject_token", "x"},
			{"subject_token", "x", "subject_token_type", "urn:example:x"}} {
			all = append(all, h.exchange(t, "helpdesk", pairs...))
		}
		all = append(all,
			h.exchange(t, "reports", "subject_token", "x", "subject_token_type", "jwt"),
			h.exchange(t, "unknown"))
		require.Len(t, h.audit.Events(), before, "the exchange must not be called")
		get, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
			h.web.URL+"/oauth/token?grant_type=x", nil)
		require.NoError(t, err)
		return append(all, h.send(t, get))
	}
	for i, got := range of(with) {
		require.Equal(t, "no-store", got.header.Get("Cache-Control"), "%d %s", i, got.text)
		require.Equal(t, "no-cache", got.header.Get("Pragma"))
		require.Equal(t, http.StatusBadRequest, got.status)
	}
	for i, got := range of(without) {
		require.Empty(t, got.header.Values("Cache-Control"), "%d %s", i, got.text)
	}
	require.Empty(t, without.narrow(t, "x").header.Values("Cache-Control"),
		"the framework drops the headers of an error")

	keys, err := with.web.Client().Get(with.web.URL + "/keys")
	require.NoError(t, err)
	defer keys.Body.Close()
	require.Empty(t, keys.Header.Values("Cache-Control"), "other responses may be stored")
}

// TestR09_Clients checks that Grant.Client cannot change the ID and Public of an authenticated
// client, and that no scope is registered without it.
func TestR09_Clients(t *testing.T) {
	h := newHost(t, op.AccessTokenTypeBearer, func(h *host) {
		h.grant.Client = func(_ context.Context, _ *op.ClientRequest[oidc.TokenExchangeRequest],
			c *tokenexchange.Client) error {
			*c = tokenexchange.Client{ID: "helpdesk",
				Scope: tokenexchange.Scope{"orders:read", "offline_access"}}
			return nil
		}
	})
	token := h.logIn(t,
		login{subject: "alice", client: "phone", audience: []string{"https://orders.example"},
			scope: []string{"orders:read"}})
	got := h.exchange(t, "phone", "client_id", "phone", "subject_token", token,
		"subject_token_type", "access_token")
	ev := h.refused(t, got, tokenexchange.UnauthorizedClient)
	require.Equal(t,
		tokenexchange.Client{ID: "phone", Public: true, Scope: tokenexchange.Scope{"orders:read"}},
		ev.Facts.Client)

	h = newHost(t, op.AccessTokenTypeBearer, func(h *host) { h.grant.Client = nil })
	h.refused(t, h.delegate(t), tokenexchange.InvalidScope)
	require.Empty(t, h.audit.Last().Facts.Client.Scope, "no scope is registered")
}

// TestR07_FurtherTypes checks that the framework refuses an unknown token type, and that the host's
// verifier is called once oidc.AllTokenTypes has the type.
func TestR07_FurtherTypes(t *testing.T) {
	const userID = "urn:example:user-id"
	h := newHost(t, op.AccessTokenTypeBearer, func(h *host) {
		policy, err := tokenexchange.NewPolicy(tokenexchange.Rule{Name: "by name",
			Delegate: &tokenexchange.Delegation{
				Actors:      []tokenexchange.Identity{{Kind: tokenexchange.KindUser, ID: "*"}},
				ActorTypes:  []tokenexchange.TokenType{tokenexchange.TypeAccessToken},
				OtherTokens: true,
			},
			Clients:        []string{"helpdesk"},
			Subjects:       []tokenexchange.Identity{{Kind: tokenexchange.KindUser, ID: "*"}},
			SubjectTypes:   []tokenexchange.TokenType{userID},
			Types:          []tokenexchange.TokenType{tokenexchange.TypeAccessToken},
			Targets:        []string{"https://orders.example"},
			DefaultTargets: []string{"https://orders.example"},
			Scope:          tokenexchange.Scope{"*"}, Lifetime: time.Minute})
		require.NoError(t, err)
		h.grant.Exchanger.Decide = policy.Decide
		h.grant.Exchanger.Verify = h.grant.Verifiers()
		h.grant.Exchanger.Verify[userID] = func(_ context.Context,
			c tokenexchange.Credential) (tokenexchange.Token, error) {
			if c.Token != "alice" {
				return tokenexchange.Token{}, fmt.Errorf("%w: no such user",
					tokenexchange.InvalidRequest)
			}
			return tokenexchange.Token{Type: userID, Name: true, Issuer: c.Issuer, Subject: c.Token,
				Expires: c.Now.Add(time.Hour)}, nil
		}
	})
	ask := func() reply {
		return h.exchange(t, "helpdesk", "subject_token", "alice", "subject_token_type", userID,
			"actor_token", h.bob(t), "actor_token_type", "access_token", "scope", "orders:read")
	}
	got := ask()
	require.Equal(t, "invalid_request", got.error())
	require.Empty(t, h.audit.Events(), "the exchange must not be called")

	previous := oidc.AllTokenTypes
	oidc.AllTokenTypes = append(slices.Clone(previous), userID)
	defer func() { oidc.AllTokenTypes = previous }()
	issued := h.read(t, ask().granted(t).token())
	require.Equal(t, "alice", issued["sub"])
	require.Equal(t, map[string]any{"iss": issuer, "sub": "bob", "client_id": "helpdesk"},
		issued["act"])
}

// TestDiscovery checks that discovery lists the grant only if the storage has the methods of the
// framework's exchange.
func TestDiscovery(t *testing.T) {
	for _, bare := range []bool{false, true} {
		h := newHost(t, op.AccessTokenTypeBearer, func(h *host) {
			if bare {
				h.storage = struct{ op.Storage }{h.testStorage}
			}
		})
		h.delegate(t).granted(t)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
			h.web.URL+"/.well-known/openid-configuration", nil)
		require.NoError(t, err)
		grants := h.send(t, r).body["grant_types_supported"]
		if bare {
			require.NotContains(t, grants, tokenexchange.GrantType)
		} else {
			require.Contains(t, grants, tokenexchange.GrantType)
		}
	}
}
