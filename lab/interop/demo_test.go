package interop_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/go-tokenexchange/tokenexchange"
)

// The targets of the demo world that the tests ask for.
const (
	aggregates = "https://aggregates.example"
	settings   = "https://settings.example"
	ledger     = "https://ledger.example"
	management = "https://management.example"
	payroll    = "https://payroll.example" // no API has it
)

// The token types, as the clients write them.
const (
	accessToken = string(tokenexchange.TypeAccessToken)
	jwt         = string(tokenexchange.TypeJWT)
	idToken     = string(tokenexchange.TypeIDToken)
)

// demo is the line that authserver -demo prints.
var demo struct {
	Issuer                string
	TokenEndpoint         string `json:"token_endpoint"`
	IntrospectionEndpoint string `json:"introspection_endpoint"`
	RevocationEndpoint    string `json:"revocation_endpoint"`
	JWKSURI               string `json:"jwks_uri"`
	Clients               []struct{ ID, Secret string }
	Tokens                map[string]struct {
		AccessToken  string `json:"access_token"`
		JWT          string
		IDToken      string `json:"id_token"`
		RefreshToken string `json:"refresh_token"`
	}
}

// TestMain reads the line from the file that TOKENEXCHANGE_DEMO names. Without a server nothing has
// been tested, so that is a failure.
func TestMain(m *testing.M) {
	line, err := os.ReadFile(os.Getenv("TOKENEXCHANGE_DEMO"))
	if err == nil {
		err = json.Unmarshal(line, &demo)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr,
			"TOKENEXCHANGE_DEMO names no line of authserver -demo; use the script run:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// secret returns the secret of a client of the demo world.
func secret(t *testing.T, client string) string {
	t.Helper()
	for _, c := range demo.Clients {
		if c.ID == client && c.Secret != "" {
			return c.Secret
		}
	}
	t.Fatalf("the demo world has no client %q with a secret", client)
	return ""
}

// introspect introspects a token as a resource server does.
func introspect(t *testing.T, client, token string) map[string]any {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, demo.IntrospectionEndpoint,
		strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(client, secret(t, client))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil ||
		resp.StatusCode != http.StatusOK {
		t.Fatalf("introspection by %s: %s, %v", client, resp.Status, err)
	}
	return answer
}

// claims verifies the signature, issuer, audience and expiry of a JWT with go-oidc and returns its
// claims.
func claims(t *testing.T, audience, token string) map[string]any {
	t.Helper()
	all := map[string]any{}
	if err := verified(t, audience, token).Claims(&all); err != nil {
		t.Fatal(err)
	}
	return all
}

// has checks members of an object. The wanted value nil means that the member must not be there.
func has(t *testing.T, object, want map[string]any) {
	t.Helper()
	for name, value := range want {
		got, there := object[name]
		if value == nil && there || value != nil && !reflect.DeepEqual(got, value) {
			t.Errorf("%s is %v, want %v", name, got, value)
		}
	}
}

// actor is an act claim about a party of our issuer. prior is the previous actor, or nil.
func actor(sub, client string, prior map[string]any) map[string]any {
	act := map[string]any{"iss": demo.Issuer, "sub": sub, "client_id": client}
	if prior != nil {
		act["act"] = prior
	}
	return act
}

// expiresWithin checks that a token lives, and not longer than its rule allows.
func expiresWithin(t *testing.T, expiry time.Time, rule time.Duration) {
	t.Helper()
	if left := time.Until(expiry); left <= 0 || left > rule+time.Second {
		t.Errorf("the token expires in %v, the rule says %v", left, rule)
	}
}

// provider is the server as go-oidc discovers it.
func provider(t *testing.T) *oidc.Provider {
	t.Helper()
	// the key set outlives the test's context
	p, err := oidc.NewProvider(context.Background(), demo.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func verified(t *testing.T, audience, token string) *oidc.IDToken {
	t.Helper()
	tok, err := provider(t).VerifierContext(t.Context(),
		&oidc.Config{ClientID: audience}).Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}
