package tokenexchange_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// TestR05_TargetsOfARequest checks that targets are the audiences and then the resources, each
// once.
func TestR05_TargetsOfARequest(t *testing.T) {
	r := tx.Request{
		Audience: []string{"b", "a", "b"}, Resource: []string{"urn:c", "a", "urn:b"},
	}
	require.Equal(t, []string{"b", "a", "urn:c", "urn:b"}, r.Targets())
	require.Nil(t, tx.Request{}.Targets())
}

// TestI11_RequestRoundTrip checks that ParseRequest(r.Values()) is r for drawn requests.
func TestI11_RequestRoundTrip(t *testing.T) {
	accepted := 0
	throws(t, 20000, func(d *dice) {
		form := url.Values{
			"grant_type": {tx.GrantType}, "subject_token": {"s"},
			"subject_token_type": {string(tx.TypeJWT)},
		}
		for _, name := range []string{
			"subject_token", "actor_token", "actor_token_type", "requested_token_type", "audience",
			"resource", "scope", "x",
		} {
			if d.flag() {
				form[name] = few(d, "", "a b", "https://api.example/x?y=z", "urn:x:y", "read",
					"a  b", "é", "\x00", "a%zz", " ")
			}
		}
		r, err := tx.ParseRequest(form)
		if err != nil {
			require.Equal(t, tx.Request{}, r)
			return
		}
		accepted++
		again, err := tx.ParseRequest(r.Values())
		require.NoError(t, err)
		require.Equal(t, r, again)
	})
	require.Greater(t, accepted, 200)
}

// FuzzParseRequest parses any form. A refusal has a code and quotes no value (R03), and a request
// survives Values and ParseRequest (I11).
func FuzzParseRequest(f *testing.F) {
	for _, v := range readRequests(f) {
		f.Add(v.body)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		form, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		r, err := tx.ParseRequest(form)
		if err != nil {
			require.Equal(t, tx.Request{}, r)
			e := tx.AsError(err)
			require.Equal(t, 400, e.Code.Status())
			// A refusal may name the grant type that it expects.
			text := strings.ReplaceAll(err.Error(), tx.GrantType, "")
			for _, values := range form {
				for _, value := range values {
					require.False(t, len(value) > 30 && strings.Contains(text, value),
						"the value %q is quoted: %s", value, text)
				}
			}
			return
		}
		again, err := tx.ParseRequest(r.Values())
		require.NoError(t, err)
		require.Equal(t, r, again)
	})
}

// TestScope_Within checks that unknown is not empty, and that only a rule has patterns.
func TestScope_Within(t *testing.T) {
	scope := tx.Scope{"write", "read"}
	require.Nil(t, tx.Scope(nil).Within(scope))
	for _, ceiling := range []tx.Scope{nil, {}, {"*"}, {"Read"}} {
		require.Equal(t, tx.Scope{}, scope.Within(ceiling), "%q", ceiling)
	}
	ceiling := tx.Scope{"read", "admin", "write"}
	require.Equal(t, scope, scope.Within(ceiling), "the order of scope")
}
