package client_test

import (
	"fmt"
	"log/slog"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/client"
)

// A server that embeds the library must not compile an OAuth client.
func TestRootPackageHasNoOAuthClient(t *testing.T) {
	const root = "github.com/go-tokenexchange/tokenexchange"
	list, err := exec.CommandContext(t.Context(), "go", "list", "-deps", root).Output()
	require.NoError(t, err)
	deps := strings.Fields(string(list))
	require.Contains(t, deps, root)
	for _, dep := range deps {
		assert.False(t, strings.HasPrefix(dep, "golang.org/x/oauth2"), dep)
		assert.NotEqual(t, "net/http/cookiejar", dep)
		assert.NotEqual(t, root+"/client", dep)
	}
}

func TestI08_ConfigPrintsNoSecret(t *testing.T) {
	config := newConfig("https://as.example/token")
	config.Server.EndpointParams = url.Values{"client_assertion": {"an.assertion"}}
	config.Request.SubjectToken = subjectToken
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("config", "pointer", config, "value", *config,
		"in a list", []client.Config{*config}, "in a struct", struct{ C *client.Config }{config})
	for _, text := range []string{
		fmt.Sprint(config),
		fmt.Sprintf("%v %+v %#v %s %d %x", config, *config, *config, config, config, config),
		log.String(),
	} {
		assert.Contains(t, text, "web app")
		for _, secret := range []string{clientSecret, subjectToken, "assertion"} {
			assert.NotContains(t, text, secret)
		}
	}
}
