package scenarios

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/examples/authserver/server"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

// Errors that only the library finds are errors of server.New.
func TestWorldIsBuiltStrictly(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{`"narrow": {}`, `"narow": {}`, `rule "portal-narrow" (number 1)`},
		{`"subject_audience": true, "scope": ["*"], "lifetime": "1h"`,
			`"subject_audience": true, "scope": ["*"], "lifetime": "1h", "lifetime": "2h"`,
			"policy"},
		{`"subject_audience": true, "scope": ["*"], "lifetime": "1h"`,
			`"subject_audience": true, "scopes": ["*"], "lifetime": "1h"`, `"scopes"`},
		{`"audience": ["https://as.acme.example"],`, ``, "https://idp.partner.example"},
		{`"kid": "robot-1"`, `"kid": "robot-1", "d": "AAAA"`, `"robot"`},
	} {
		require.Contains(t, string(demoWorld), c.old)
		w, err := world.Parse(bytes.Replace(demoWorld, []byte(c.old), []byte(c.new), 1))
		// an error in the policy is found by world.Parse, an error in a key or an issuer by
		// server.New
		if err == nil {
			_, err = server.New(w, server.Options{Issuer: "http://as.example"})
		}
		require.ErrorContains(t, err, c.want, "%s", c.new)
	}
	_, err := server.New(demo(t), server.Options{})
	require.ErrorContains(t, err, "issuer is set")
	w := demo(t)
	w.Issuer = "https://as.example"
	s, err := server.New(w, server.Options{Issuer: "http://127.0.0.1:1"})
	require.NoError(t, err)
	require.Equal(t, "https://as.example", s.Issuer, "the world's word is the last")
}

// The keys in testdata are those of the demo world, and there is no other private key.
func TestKeys(t *testing.T) {
	files, err := filepath.Glob(authserver + "testdata/*")
	require.NoError(t, err)
	require.Equal(t,
		[]string{authserver + "testdata/partner.pem", authserver + "testdata/robot.pem"}, files)
	for _, name := range []string{"robot", "partner"} {
		require.NotEmpty(t, server.KeyID(testKey(t, name)))
	}
	s, err := server.New(demo(t),
		server.Options{Issuer: "http://as.example", Key: testKey(t, "robot")})
	require.NoError(t, err)
	again, err := server.New(demo(t),
		server.Options{Issuer: "http://as.example", Key: testKey(t, "robot")})
	require.NoError(t, err)
	require.Equal(t, string(s.JWKS), string(again.JWKS), "the same key has the same kid")

	dir := t.TempDir()
	for name, text := range map[string]string{"empty": "", "text": "a key",
		"public": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"} {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		_, err := server.ReadKey(file)
		require.Error(t, err, name)
	}
	_, err = server.ReadKey(filepath.Join(dir, "missing"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NotContains(t, strings.ToLower(string(demoWorld)), "private key")
}
