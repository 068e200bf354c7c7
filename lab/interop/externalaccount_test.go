package interop_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google/externalaccount"
)

// supplier returns one subject token and keeps the options of each call.
type supplier struct {
	token string
	asked *externalaccount.SupplierOptions
}

func (s supplier) SubjectToken(_ context.Context, o externalaccount.SupplierOptions) (
	string, error) {
	*s.asked = o
	return s.token, nil
}

// TestExternalAccount uses workload identity federation with this server. The package always
// requests an access token, sends scope= without a scope, and authenticates by HTTP Basic without
// form-encoding, or not at all.
func TestExternalAccount(t *testing.T) {
	user := demo.Tokens["end_user"]
	tests := map[string]struct{ typ, token, scope string }{
		"opaque":                   {accessToken, user.AccessToken, "read"},
		"access token as a JWT":    {accessToken, user.JWT, "read"},
		"declared as a JWT":        {jwt, user.JWT, "read"},
		"ID token":                 {idToken, user.IDToken, "read"},
		"without scope, so scope=": {accessToken, user.AccessToken, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var asked externalaccount.SupplierOptions
			config := externalaccount.Config{Audience: aggregates, SubjectTokenType: test.typ,
				TokenURL: demo.TokenEndpoint,
				ClientID: "portal", ClientSecret: secret(t, "portal"),
				Scopes:               strings.Fields(test.scope),
				SubjectTokenSupplier: supplier{test.token, &asked}}
			tok := tokenOf(t, t.Context(), config)
			if asked.Audience != aggregates || asked.SubjectTokenType != test.typ {
				t.Errorf("the supplier was asked for %+v", asked)
			}
			want := map[string]any{"active": true, "sub": "alice", "client_id": "portal",
				"aud": aggregates, "act": nil}
			if test.scope != "" {
				want["scope"] = test.scope
			}
			got := introspect(t, "aggregates-api", tok.AccessToken)
			has(t, got, want)
			if scope, _ := got["scope"].(string); !strings.Contains(scope, "read") {
				t.Errorf("scope %q", scope)
			}
		})
	}
}

func tokenOf(t *testing.T, ctx context.Context, config externalaccount.Config) *oauth2.Token {
	t.Helper()
	source, err := externalaccount.NewTokenSource(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := source.Token()
	if err != nil {
		t.Fatal(err)
	}
	if tok.TokenType != "Bearer" {
		t.Errorf("token_type %q", tok.TokenType)
	}
	expiresWithin(t, tok.Expiry, time.Hour)
	return tok
}

// TestExternalAccountFile reads the subject token from a file, as it is mounted into a container.
func TestExternalAccountFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token.json")
	data, err := json.Marshal(map[string]string{"access_token": demo.Tokens["end_user"].JWT})
	if err == nil {
		err = os.WriteFile(file, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	tok := tokenOf(t, t.Context(), externalaccount.Config{Audience: aggregates,
		SubjectTokenType: jwt, TokenURL: demo.TokenEndpoint,
		ClientID: "portal", ClientSecret: secret(t, "portal"), Scopes: []string{"read", "write"},
		CredentialSource: &externalaccount.CredentialSource{File: file,
			Format: externalaccount.Format{Type: "json", SubjectTokenFieldName: "access_token"}}})
	has(t, introspect(t, "aggregates-api", tok.AccessToken),
		map[string]any{"active": true, "sub": "alice", "scope": "read write"})
}

// TestExternalAccountRefused looks for status and code in the string that the package makes of a
// refusal.
func TestExternalAccountRefused(t *testing.T) {
	good := externalaccount.Config{Audience: aggregates, SubjectTokenType: accessToken,
		TokenURL: demo.TokenEndpoint,
		ClientID: "portal", ClientSecret: secret(t, "portal"), Scopes: []string{"read"},
		SubjectTokenSupplier: supplier{demo.Tokens["end_user"].AccessToken,
			&externalaccount.SupplierOptions{}}}
	tests := map[string]struct {
		change       func(*externalaccount.Config)
		status, code string
	}{
		"unknown target": {func(c *externalaccount.Config) {
			c.Audience = payroll
		}, "400", "invalid_target"},
		"an unknown scope": {func(c *externalaccount.Config) {
			c.Scopes = []string{"admin"}
		}, "400", "invalid_scope"},
		"another type": {func(c *externalaccount.Config) {
			c.SubjectTokenType = idToken
		}, "400", "invalid_request"},
		"no credentials": {func(c *externalaccount.Config) {
			c.ClientID, c.ClientSecret = "", ""
		}, "401", "invalid_client"},
		"wrong credentials": {func(c *externalaccount.Config) {
			c.ClientSecret = "wrong"
		}, "401", "invalid_client"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			config := good
			test.change(&config)
			externalAccountRefused(t, t.Context(), config, test.status, test.code)
		})
	}
}

func externalAccountRefused(t *testing.T, ctx context.Context, config externalaccount.Config,
	status, code string) {
	t.Helper()
	source, err := externalaccount.NewTokenSource(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	_, err = source.Token()
	if err == nil || !strings.Contains(err.Error(), "status code "+status+":") ||
		!strings.Contains(err.Error(), `"error":"`+code+`"`) {
		t.Errorf("%v, want %s %s", err, status, code)
	}
}

// TestExternalAccountOptions makes the package send its parameter options, a JSON object of no RFC.
// It does so only for an audience of Google's and without client credentials, so a transport adds
// both.
func TestExternalAccountOptions(t *testing.T) {
	var sent url.Values
	client := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		if err := r.ParseForm(); err != nil {
			return nil, err
		}
		sent = maps.Clone(r.PostForm)
		r.PostForm.Set("audience", aggregates)
		next, err := http.NewRequestWithContext(r.Context(), r.Method, r.URL.String(),
			strings.NewReader(r.PostForm.Encode()))
		if err != nil {
			return nil, err
		}
		next.Header.Set("Content-Type", r.Header.Get("Content-Type"))
		next.SetBasicAuth("portal", secret(t, "portal"))
		return http.DefaultTransport.RoundTrip(next)
	})}
	tok := tokenOf(t, context.WithValue(t.Context(), oauth2.HTTPClient, client),
		externalaccount.Config{
			Audience: "//iam.googleapis.com/locations/global/" +
				"workforcePools/pool/providers/provider",
			WorkforcePoolUserProject: "4711", SubjectTokenType: accessToken,
			TokenURL: demo.TokenEndpoint,
			SubjectTokenSupplier: supplier{demo.Tokens["end_user"].AccessToken,
				&externalaccount.SupplierOptions{}}})
	if sent.Get("options") != `{"userProject":"4711"}` || !sent.Has("scope") ||
		sent.Get("scope") != "" {
		t.Errorf("the package sends options=%q scope=%q", sent.Get("options"), sent["scope"])
	}
	has(t, introspect(t, "aggregates-api", tok.AccessToken),
		map[string]any{"active": true, "sub": "alice", "aud": aggregates})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
