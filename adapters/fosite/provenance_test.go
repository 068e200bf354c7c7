package fositeexchange_test

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/storage"
	"github.com/ory/fosite/token/jwt"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
)

// loginSession is a session for all flows, with claims for an access token and an ID token.
type loginSession struct {
	*oauth2.JWTSession
	IDToken *openid.DefaultSession
}

func newLoginSession(user string) fosite.Session {
	return &loginSession{
		JWTSession: &oauth2.JWTSession{Subject: user, JWTClaims: &jwt.JWTClaims{Subject: user}},
		IDToken: &openid.DefaultSession{Subject: user,
			Claims: &jwt.IDTokenClaims{Subject: user}},
	}
}

func (s *loginSession) IDTokenClaims() *jwt.IDTokenClaims { return s.IDToken.IDTokenClaims() }
func (s *loginSession) IDTokenHeaders() *jwt.Headers      { return s.IDToken.IDTokenHeaders() }

func (s *loginSession) Clone() fosite.Session {
	return &loginSession{s.JWTSession.Clone().(*oauth2.JWTSession),
		s.IDToken.Clone().(*openid.DefaultSession)}
}

// stores runs a test on servers of both formats, with fosite's memory store and with a store that
// encodes JSON.
func stores(t *testing.T, test func(t *testing.T, h *host), set ...func(*host)) {
	formats(t, func(t *testing.T, format string) {
		for _, kind := range []string{"memory", "JSON"} {
			t.Run(kind, func(t *testing.T) {
				test(t, newHost(t, format, append(set, func(h *host) {
					h.sessions = newLoginSession
					h.exchange.NewSession = func() fosite.Session { return newLoginSession("") }
					if kind == "JSON" {
						h.store.decode = h.exchange.NewSession
					}
				})...))
			})
		}
	})
}

// trick changes the parameters that a browser sends to the authorization endpoint and a client to
// the token endpoint.
type trick struct {
	name             string
	authorize, token func(url.Values)
}

// tricks returns changes that add, repeat or contradict the parameters of a flow.
func tricks() []trick {
	unchanged := func(url.Values) {}
	list := []trick{{"none", unchanged, unchanged}}
	for _, grant := range []string{"client_credentials", " client_credentials",
		"client_credentials ",
		"client_credentials x", "authorization_code", tokenexchange.GrantType, ""} {
		list = append(list, trick{"authorize with grant_type=" + grant,
			func(f url.Values) { f.Set("grant_type", grant) }, unchanged})
	}
	for _, kind := range []string{"client", "user", "workload"} {
		own := func(f url.Values) {
			f.Set("exchange_subject_kind",
				kind)
			f.Set("exchange_id_token", "x")
		}
		list = append(list, trick{"the adapter's own parameters for a " + kind,
			func(f url.Values) { own(f); f.Set("grant_type", tokenexchange.GrantType) }, own})
	}
	list = append(list, trick{"authorize with two grants", func(f url.Values) {
		f["grant_type"] = []string{"client_credentials", "authorization_code"}
	}, unchanged})
	for _, blank := range []string{" ", "\t", "\u00a0"} {
		list = append(list,
			trick{"token with grant_type and " + url.QueryEscape(blank), unchanged,
				func(f url.Values) {
					f.Set("grant_type", f.Get("grant_type")+blank)
				}},
			trick{"token with " + url.QueryEscape(blank) + " and grant_type", unchanged,
				func(f url.Values) {
					f.Set("grant_type", blank+f.Get("grant_type"))
				}})
	}
	for _, second := range []string{"client_credentials", "authorization_code",
		tokenexchange.GrantType, ""} {
		list = append(list,
			trick{"token with a second grant " + second, unchanged,
				func(f url.Values) { f.Add("grant_type", second) }},
			trick{"token with grants together " + second, unchanged, func(f url.Values) {
				f.Set("grant_type", f.Get("grant_type")+" "+second)
			}})
	}
	for _, response := range []string{"token", "code", " ", ""} {
		list = append(list,
			trick{"token with response_type=" + response, unchanged, func(f url.Values) {
				f.Set("response_type", response)
			}})
	}
	return list
}

// flow gets tokens by the means of fosite, over HTTP. The tokens are about the user who has logged
// in or, if client is set, about the client; the session of the host then names the user all the
// same. No tokens means that fosite refused.
type flow struct {
	name   string
	client bool
	tokens func(t testing.TB, h *host, user string, trick trick) []string
}

func flows() []flow {
	return []flow{
		{"implicit", false, func(t testing.TB, h *host, user string, trick trick) []string {
			return some(h.authorization(t, user, "token", trick).Get("access_token"))
		}},
		{"hybrid", false, func(t testing.TB, h *host, user string, trick trick) []string {
			got := h.authorization(t, user, "code token", trick)
			access, _ := h.redeem(t, got.Get("code"), trick)
			return some(got.Get("access_token"), access)
		}},
		{"code", false, func(t testing.TB, h *host, user string, trick trick) []string {
			access, _ := h.redeem(t, h.authorization(t, user, "code", trick).Get("code"), trick)
			return some(access)
		}},
		{"refresh", false, func(t testing.TB, h *host, user string, trick trick) []string {
			_, refresh := h.redeem(t, h.authorization(t, user, "code", trick).Get("code"), trick)
			return some(h.grant(t, user, trick, "grant_type", "refresh_token", "refresh_token",
				refresh).token())
		}},
		{"pushed", false, func(t testing.TB, h *host, user string, trick trick) []string {
			return some(h.pushed(t, user, trick))
		}},
		{"pushed, to a storage that drops the form", false, func(t testing.TB, h *host,
			user string, trick trick) []string {
			h.store.bare = true
			defer func() { h.store.bare = false }()
			return some(h.pushed(t, user, trick))
		}},
		{"password", false, func(t testing.TB, h *host, user string, trick trick) []string {
			return some(h.grant(t, user, trick, "grant_type", "password", "username", user,
				"password", "any").token())
		}},
		{"jwt-bearer", false, func(t testing.TB, h *host, user string, trick trick) []string {
			return some(h.grant(t, user, trick, "grant_type", string(fosite.GrantTypeJWTBearer),
				"assertion", h.assertion(t, user)).token())
		}},
		{"client_credentials", true, func(t testing.TB, h *host, user string,
			trick trick) []string {
			return some(h.grant(t, user, trick, "grant_type", "client_credentials").token())
		}},
	}
}

func some(tokens ...string) (list []string) {
	for _, token := range tokens {
		if token != "" && token != "<nil>" {
			list = append(list, token)
		}
	}
	return list
}

// authorization sends a request to the authorization endpoint and returns the parameters of the
// response.
func (h *host) authorization(t testing.TB, user, responseType string, trick trick,
	more ...string) url.Values {
	f := url.Values{"client_id": {"webapp"}, "redirect_uri": {"https://app.example/callback"},
		"state": {"long enough"},
		"scope": {"orders:read offline"}, "audience": {"https://orders.example"}, "login": {user}}
	if responseType != "" {
		f.Set("response_type", responseType)
	}
	for i := 0; i < len(more); i += 2 {
		f.Set(more[i], more[i+1])
	}
	trick.authorize(f)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		h.web.URL+"/authorize?"+f.Encode(), nil)
	require.NoError(t, err)
	resp, err := h.web.Client().Transport.RoundTrip(r) // does not follow redirects
	require.NoError(t, err)
	defer resp.Body.Close()
	to, err := resp.Location()
	if err != nil {
		return nil
	}
	if to.Fragment == "" {
		return to.Query()
	}
	got, err := url.ParseQuery(to.Fragment)
	require.NoError(t, err)
	return got
}

// pushed gets a token by the implicit flow with pushed parameters.
func (h *host) pushed(t testing.TB, user string, trick trick) string {
	f := url.Values{"response_type": {"token"}, "redirect_uri": {"https://app.example/callback"},
		"state": {"long enough"},
		"scope": {"orders:read"}, "audience": {"https://orders.example"}}
	trick.authorize(f)
	uri, _ := h.post(t, "/par", "webapp", f).body["request_uri"].(string)
	if uri == "" {
		return ""
	}
	return h.authorization(t, user, "", trick, "request_uri", uri).Get("access_token")
}

func (h *host) redeem(t testing.TB, code string, trick trick) (access, refresh string) {
	got := h.grant(t, "mallory", trick, "grant_type", "authorization_code", "code", code,
		"redirect_uri", "https://app.example/callback")
	refresh, _ = got.body["refresh_token"].(string)
	return got.token(), refresh
}

// grant sends a token request. The session names a user before the grant is checked.
func (h *host) grant(t testing.TB, user string, trick trick, pairs ...string) reply {
	f := url.Values{"scope": {"orders:read"}, "audience": {"https://orders.example"}}
	for i := 0; i < len(pairs); i += 2 {
		f.Set(pairs[i], pairs[i+1])
	}
	trick.token(f)
	r := h.request(t, "/token", "webapp", f.Encode())
	r.Header.Set("Session-Of", user)
	return h.send(t, r)
}

// assertion returns an assertion (RFC 7523) about a user, of an issuer that the store trusts.
func (h *host) assertion(t testing.TB, user string) string {
	jwks, err := h.exchange.IDTokens.JWKS()
	require.NoError(t, err)
	var set struct{ Keys []json.RawMessage }
	require.NoError(t, json.Unmarshal(jwks, &set))
	var trusted storage.PublicKeyScopes
	require.NoError(t, json.Unmarshal(mustMarshal(t, map[string]any{"Key": set.Keys[0],
		"Scopes": []string{"orders:read"}}), &trusted))
	const partner = "https://partner.example"
	h.store.IssuerPublicKeys[partner] = storage.IssuerPublicKeys{Issuer: partner,
		KeysBySub: map[string]storage.SubjectPublicKeys{
			user: {Subject: user, Keys: map[string]storage.PublicKeyScopes{"": trusted}}}}
	text, _, err := h.strategy.Signer.Generate(t.Context(), jwt.MapClaims{"iss": partner,
		"sub": user, "aud": []string{"https://as.example/token", "https://orders.example"},
		"jti": rand.Text(), "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix()},
		&jwt.Headers{})
	require.NoError(t, err)
	return text
}

// directory returns the directory behind Exchanger.Resolver.
func (h *host) directory() directory { return h.exchange.Exchanger.Resolver.(directory) }

type directory interface {
	Add(entries ...tokenexchange.Subject)
	Disable(id tokenexchange.Identity)
}

var webapp = tokenexchange.Identity{Issuer: issuer, Kind: tokenexchange.KindClient, ID: "webapp"}

// TestD19_SubjectOfAToken checks that no parameter of a form makes the token of a user one of the
// client, or the reverse. The test does not know how the adapter tells them apart: a token of a
// flow is about the right party, or it is refused.
func TestD19_SubjectOfAToken(t *testing.T) {
	for _, flow := range flows() {
		t.Run(flow.name, func(t *testing.T) {
			stores(t, func(t *testing.T, h *host) {
				given := 0
				for _, trick := range tricks() {
					given += h.tryTrick(t, flow, trick)
				}
				require.Greater(t, given, 10, "tricks with which a token was issued")
			})
		})
	}
}

// tryTrick runs a flow with a trick, checks its tokens and returns how many there are.
func (h *host) tryTrick(t testing.TB, flow flow, trick trick) int {
	h.directory().Add(tokenexchange.Subject{Identity: webapp})
	// No party may act for a locked user.
	for _, token := range flow.tokens(t, h, "mallory", trick) {
		if !flow.client {
			h.refused(t, h.ask(t, "webapp", "subject_token", token), tokenexchange.InvalidRequest,
				"")
			require.Nil(t, h.active(t, token), "%s: introspection of a locked user's token",
				trick.name)
		}
	}
	tokens := flow.tokens(t, h, "alice", trick)
	for _, token := range tokens {
		got := h.ask(t, "webapp", "subject_token", token)
		if trick.name == "none" {
			h.granted(t, got)
		}
		subject := h.last(t).Facts.Subject
		switch {
		case got.status != http.StatusOK:
			h.refused(t, got, tokenexchange.InvalidRequest, "")
			require.Empty(t, subject.ID, "%s: the resolver must not be called", trick.name)
		case flow.client:
			require.Equal(t, webapp, subject.Identity, trick.name)
			require.Equal(t, tokenexchange.KindClient, subject.Token.Kind, trick.name)
		default:
			require.Equal(t, "alice", subject.ID, trick.name)
			require.NotEqual(t, tokenexchange.KindClient, subject.Token.Kind, trick.name)
		}
	}
	if flow.client {
		h.directory().Disable(webapp)
		for _, token := range tokens {
			h.refused(t, h.ask(t, "webapp", "subject_token", token), tokenexchange.InvalidRequest,
				"")
			require.Nil(t, h.active(t, token), "%s: introspection of a disabled client's token",
				trick.name)
		}
	}
	return len(tokens)
}

// TestD19_AmbiguousRecords checks records that no flow of fosite stores, and records that a token
// endpoint without the adapter may have stored.
func TestD19_AmbiguousRecords(t *testing.T) {
	stores(t, func(t *testing.T, h *host) {
		const grant, response = "grant_type", "response_type"
		const ambiguous, kind = "record_grant_ambiguous", "record_kind_mismatch"
		for _, test := range []struct {
			user    string
			form    url.Values
			subject string // empty: refused
			reason  string
		}{
			{"", url.Values{grant: {"client_credentials"}}, "webapp", ""},
			{"webapp", url.Values{grant: {"client_credentials"}}, "webapp", ""},
			{"alice", url.Values{grant: {"client_credentials"}}, "", "record_other_subject"},
			{"alice", url.Values{grant: {"authorization_code"}}, "alice", ""},
			{"alice", url.Values{grant: {"urn:example:grant"}}, "alice", ""},
			{"alice", url.Values{response: {"token"}}, "alice", ""},
			{"alice", url.Values{response: {"token"}, grant: {""}}, "", ambiguous},
			{"alice", nil, "alice", ""}, // a storage that drops the form
			{"", nil, "", "record_malformed"},
			{"", url.Values{response: {"token"}}, "", "record_malformed"},
			{"", url.Values{response: {"token"}, grant: {"client_credentials"}}, "", ambiguous},
			{"", url.Values{response: {"", "token"}, grant: {"client_credentials"}}, "", ambiguous},
			{"alice", url.Values{response: {"code"}, grant: {"authorization_code"}}, "", ambiguous},
			{"alice", url.Values{grant: {"authorization_code", "client_credentials"}}, "",
				ambiguous},
			{"", url.Values{grant: {"client_credentials", "client_credentials"}}, "", ambiguous},
			{"alice", url.Values{grant: {"client_credentials "}}, "", ambiguous},
			{"", url.Values{grant: {"\u00a0client_credentials"}}, "", ambiguous},
			{"", url.Values{grant: {"client_credentials authorization_code"}}, "", ambiguous},
			{"alice", url.Values{grant: {tokenexchange.GrantType}}, "", kind},
			{"alice", url.Values{grant: {tokenexchange.GrantType},
				"exchange_subject_kind": {"user", "client"}}, "", kind},
			{"alice", url.Values{grant: {tokenexchange.GrantType},
				"exchange_subject_kind": {"user"}}, "alice", ""},
			{"alice", url.Values{grant: {"password"}, "exchange_subject_kind": {"client"}}, "",
				kind},
		} {
			name := test.user + " " + test.form.Encode()
			token := h.logIn(t, login{user: test.user, client: "webapp",
				audience: []string{"https://orders.example"}})
			signature := h.strategy.AccessTokenSignature(t.Context(), token)
			stored := *h.store.AccessTokens[signature].(*fosite.Request)
			stored.Form = test.form
			h.store.AccessTokens[signature] = &stored
			got := h.ask(t, "webapp", "subject_token", token)
			if test.subject == "" {
				h.refused(t, got, tokenexchange.InvalidRequest, test.reason)
				require.Nil(t, h.active(t, token), name)
				continue
			}
			h.granted(t, got)
			require.Equal(t, test.subject, h.last(t).Facts.Subject.ID, name)
		}
	})
}

// TestD19_TheMarkIsNotShown checks that neither introspection nor a JWT shows the mark of a
// session.
func TestD19_TheMarkIsNotShown(t *testing.T) {
	stores(t, func(t *testing.T, h *host) {
		none := func(url.Values) {}
		token := h.grant(t, "", trick{"", none, none}, "grant_type", "client_credentials").token()
		require.Contains(t, string(mustMarshal(t, h.stored(token))), "exchange_client_credentials")
		require.NotContains(t, string(mustMarshal(t, h.active(t, token))), "exchange")
		if h.format == jwtForm {
			require.NotContains(t, string(h.payload(t, token)), "exchange")
		}
	})
}
