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

// request is that of helpdesk for bob to act for alice, to be changed.
func (h *host) request(t testing.TB) (*http.Request, url.Values) {
	f := form("subject_token", h.alice(t), "subject_token_type", "access_token",
		"actor_token", h.bob(t), "actor_token_type", "access_token", "scope", "orders:read")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.web.URL+"/oauth/token", strings.NewReader(f.Encode()))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("helpdesk", "secret-of-helpdesk")
	return r, f
}

// The framework reads the query where it reads the form. The engine takes nothing from there, and says so on record.
func TestR01_NothingOfTheQuery(t *testing.T) {
	h := newHost(t, op.AccessTokenTypeBearer)
	r, f := h.request(t)
	h.send(t, r).granted(t)
	before := len(h.live())
	for name, move := range map[string][]string{
		"all":              {"grant_type", "subject_token", "subject_token_type", "actor_token", "actor_token_type", "scope"},
		"the tokens":       {"subject_token", "subject_token_type", "actor_token", "actor_token_type"},
		"the actor token":  {"actor_token", "actor_token_type"},
		"one type":         {"actor_token_type"},
		"scope":            {"scope"},
		"the grant":        {"grant_type"},
		"nothing but more": {"audience"},
	} {
		body, query := url.Values{}, url.Values{}
		for parameter, value := range f {
			if slices.Contains(move, parameter) {
				query[parameter] = value
			} else {
				body[parameter] = value
			}
		}
		if name == "nothing but more" {
			query.Set("audience", "https://orders.example")
		}
		post, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.web.URL+"/oauth/token?"+query.Encode(), strings.NewReader(body.Encode()))
		require.NoError(t, err)
		post.Header = r.Header
		require.Contains(t, h.refused(t, h.send(t, post), tokenexchange.InvalidRequest).Err.Error(), "R01", name)
	}
	get, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.web.URL+"/oauth/token?"+f.Encode(), nil)
	require.NoError(t, err)
	get.Header = r.Header
	got := h.send(t, get)
	require.Equal(t, http.StatusMethodNotAllowed, got.status)
	require.Equal(t, "invalid_request", got.error())
	require.Equal(t, "no-store", got.header.Get("Cache-Control"), "R12")
	require.Empty(t, got.header.Values("Allow"), "the framework has no place for it")
	require.Len(t, h.live(), before, "no token is made")
	require.Len(t, h.audit.Events(), 9)

	// What the query has beside the grant is the host's, and repeats nothing of the body.
	r, f = h.request(t)
	f.Set("flavour", "mint")
	post, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.web.URL+"/oauth/token?flavour=mint&tenant=7", strings.NewReader(f.Encode()))
	require.NoError(t, err)
	post.Header = r.Header
	h.send(t, post).granted(t)
	for _, ev := range h.audit.Events() {
		require.Equal(t, "helpdesk", ev.Facts.Client.ID, "I07")
	}
}

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
		"parameter scope is repeated":       func(_ *http.Request, f url.Values) string { return f.Encode() + "&scope=" },
		"parameter actor_token is repeated": func(_ *http.Request, f url.Values) string { return f.Encode() + "&actor_token=x" },
		"parameter grant_type is repeated":  func(_ *http.Request, f url.Values) string { return f.Encode() + "&grant_type=x" },
		"an unknown parameter is repeated":  func(_ *http.Request, f url.Values) string { return f.Encode() + "&flavour=mint&flavour=mint" },
		"the form is larger than":           func(_ *http.Request, f url.Values) string { return f.Encode() + "&x=" + strings.Repeat("y", 256<<10) },
		"subject_token is too long": func(_ *http.Request, f url.Values) string {
			f.Set("subject_token", strings.Repeat("y", 1<<16+1))
			return f.Encode()
		},
		"subject_token is malformed": func(_ *http.Request, f url.Values) string { f.Set("subject_token", "\x00"); return f.Encode() },
	} {
		r, f := h.request(t)
		body := change(r, f)
		if name == "the Content-Type is not" { // what the framework cannot read must still name the grant
			r.URL.RawQuery = url.Values{"grant_type": {tokenexchange.GrantType}, "subject_token": {"x"}, "subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"}}.Encode()
		}
		again, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.URL.String(), strings.NewReader(body))
		require.NoError(t, err)
		again.Header = r.Header
		require.Contains(t, h.refused(t, h.send(t, again), tokenexchange.InvalidRequest).Err.Error(), name)
	}
}

// R12: the framework sends its own errors without the headers that forbid to store them, unless NoStore has put them there.
func TestR12_NoStore(t *testing.T) {
	with := newHost(t, op.AccessTokenTypeBearer)
	without := newHost(t, op.AccessTokenTypeBearer, func(h *host) { h.storing = true })
	for _, h := range []*host{with, without} {
		got := h.delegate(t).granted(t)
		require.Equal(t, []string{"no-store"}, got.header.Values("Cache-Control"), "a token says so itself")
		require.Equal(t, []string{"no-cache"}, got.header.Values("Pragma"))
	}
	of := func(h *host) (all []reply) {
		before := len(h.audit.Events())
		for _, pairs := range [][]string{{}, {"subject_token", "x"}, {"subject_token", "x", "subject_token_type", "urn:example:x"}} {
			all = append(all, h.exchange(t, "helpdesk", pairs...))
		}
		all = append(all, h.exchange(t, "reports", "subject_token", "x", "subject_token_type", "jwt"), h.exchange(t, "nobody"))
		require.Len(t, h.audit.Events(), before, "the exchange has not been asked")
		get, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.web.URL+"/oauth/token?grant_type=x", nil)
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
	require.Empty(t, without.narrow(t, "x").header.Values("Cache-Control"), "nor does it send those of TokenExchange")

	keys, err := with.web.Client().Get(with.web.URL + "/keys")
	require.NoError(t, err)
	defer keys.Body.Close()
	require.Empty(t, keys.Header.Values("Cache-Control"), "what is no answer to a grant may be stored")
}

// R09: who authenticated how is the framework's to say, and what a client is registered for the host's.
func TestR09_Clients(t *testing.T) {
	h := newHost(t, op.AccessTokenTypeBearer, func(h *host) {
		h.grant.Client = func(_ context.Context, _ *op.ClientRequest[oidc.TokenExchangeRequest], c *tokenexchange.Client) error {
			*c = tokenexchange.Client{ID: "helpdesk", Scope: tokenexchange.Scope{"orders:read", "offline_access"}}
			return nil
		}
	})
	token := h.logIn(t, login{subject: "alice", client: "phone", audience: []string{"https://orders.example"}, scope: []string{"orders:read"}})
	got := h.exchange(t, "phone", "client_id", "phone", "subject_token", token, "subject_token_type", "access_token")
	ev := h.refused(t, got, tokenexchange.UnauthorizedClient)
	require.Equal(t, tokenexchange.Client{ID: "phone", Public: true, Scope: tokenexchange.Scope{"orders:read"}}, ev.Facts.Client)

	h = newHost(t, op.AccessTokenTypeBearer, func(h *host) { h.grant.Client = nil })
	h.refused(t, h.delegate(t), tokenexchange.InvalidScope)
	require.Empty(t, h.audit.Last().Facts.Client.Scope, "registered for no scope")
}

// R07: a type that the framework does not know never comes to the exchange. Once its list has it, the host's verifier does.
func TestR07_FurtherTypes(t *testing.T) {
	const userID = "urn:example:user-id"
	h := newHost(t, op.AccessTokenTypeBearer, func(h *host) {
		policy, err := tokenexchange.NewPolicy(tokenexchange.Rule{Name: "by name",
			Delegate: &tokenexchange.Delegation{
				Actors:      []tokenexchange.Identity{{Kind: tokenexchange.KindUser, ID: "*"}},
				ActorTypes:  []tokenexchange.TokenType{tokenexchange.TypeAccessToken},
				OtherTokens: true,
			},
			Clients:  []string{"helpdesk"},
			Subjects: []tokenexchange.Identity{{Kind: tokenexchange.KindUser, ID: "*"}}, SubjectTypes: []tokenexchange.TokenType{userID},
			Types: []tokenexchange.TokenType{tokenexchange.TypeAccessToken}, Targets: []string{"https://orders.example"}, DefaultTargets: []string{"https://orders.example"},
			Scope: tokenexchange.Scope{"*"}, Lifetime: time.Minute})
		require.NoError(t, err)
		h.grant.Exchanger.Decide = policy.Decide
		h.grant.Exchanger.Verify = h.grant.Verifiers()
		h.grant.Exchanger.Verify[userID] = func(_ context.Context, c tokenexchange.Credential) (tokenexchange.Token, error) {
			if c.Token != "alice" {
				return tokenexchange.Token{}, fmt.Errorf("%w: no such user", tokenexchange.InvalidRequest)
			}
			return tokenexchange.Token{Type: userID, Name: true, Issuer: c.Issuer, Subject: c.Token,
				Expires: c.Now.Add(time.Hour)}, nil
		}
	})
	ask := func() reply {
		return h.exchange(t, "helpdesk", "subject_token", "alice", "subject_token_type", userID, "actor_token", h.bob(t), "actor_token_type", "access_token", "scope", "orders:read")
	}
	got := ask()
	require.Equal(t, "invalid_request", got.error())
	require.Empty(t, h.audit.Events(), "the exchange has not been asked")

	known := oidc.AllTokenTypes
	oidc.AllTokenTypes = append(slices.Clone(known), userID)
	defer func() { oidc.AllTokenTypes = known }()
	issued := h.read(t, ask().granted(t).token())
	require.Equal(t, "alice", issued["sub"])
	require.Equal(t, map[string]any{"iss": issuer, "sub": "bob", "client_id": "helpdesk"}, issued["act"])
}

// Discovery tells of the grant only where the storage has the methods of the framework's own exchange. Nobody calls them.
func TestDiscovery(t *testing.T) {
	for _, bare := range []bool{false, true} {
		h := newHost(t, op.AccessTokenTypeBearer, func(h *host) {
			if bare {
				h.storage = struct{ op.Storage }{h.ledger}
			}
		})
		h.delegate(t).granted(t)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.web.URL+"/.well-known/openid-configuration", nil)
		require.NoError(t, err)
		grants := h.send(t, r).body["grant_types_supported"]
		if bare {
			require.NotContains(t, grants, tokenexchange.GrantType)
		} else {
			require.Contains(t, grants, tokenexchange.GrantType)
		}
	}
}
