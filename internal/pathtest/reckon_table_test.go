package pathtest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

func TestReckonedScope(t *testing.T) {
	require.Equal(t, []string{"write"}, without([]string{"read", "write"}, []string{"read"}))
	require.Equal(t, []string{"write"}, without([]string{"read", "write", "admin"},
		[]string{"read"}, []string{"admin"}))
	require.Equal(t, []string{"read"}, without([]string{"read"}, nil),
		"a ceiling of nothing allows nothing")
	require.Empty(t, without(nil, nil))
	require.Equal(t, []string{"read"}, within([]string{"read", "write"}, []string{"read", "x"},
		[]string{"read"}))
	require.Empty(t, within([]string{"read"}, nil))
}

func TestReckonedChain(t *testing.T) {
	for _, c := range []struct {
		name, older, newer string
		bottom             bool
	}{
		{"the same", `{"sub":"bob"}`, `{"sub":"bob"}`, true},
		{"iss is written", `{"sub":"bob"}`, `{"iss":"https://as.example","sub":"bob"}`, true},
		{"another iss is written", `{"sub":"bob"}`, `{"iss":"https://idp.example","sub":"bob"}`,
			false},
		{"somebody new above", `{"sub":"bob"}`, `{"sub":"ann","act":{"sub":"bob"}}`, true},
		{"somebody new below", `{"sub":"bob"}`, `{"sub":"bob","act":{"sub":"ann"}}`, false},
		{"gone", `{"sub":"bob"}`, ``, false},
		{"no chain before", ``, `{"sub":"bob"}`, true},
		{"an unknown member is kept", `{"sub":"bob","n":1.0}`, `{"n":1.0,"sub":"bob"}`, false},
		{"an unknown member is gone", `{"sub":"bob","n":1.0}`, `{"sub":"bob"}`, false},
		{"an unknown member is written anew", `{"sub":"bob","n":1.0}`, `{"sub":"bob","n":1}`,
			false},
		{"a chain of two", `{"sub":"a","act":{"sub":"b"}}`,
			`{"sub":"c","act":{"sub":"a","act":{"sub":"b"}}}`, true},
		{"one of two is gone", `{"sub":"a","act":{"sub":"b"}}`, `{"sub":"c","act":{"sub":"b"}}`,
			false},
	} {
		read := func(s string) []link {
			if s == "" {
				return nil
			}
			chain, err := chainOf([]byte(s), own)
			require.NoError(t, err)
			return chain
		}
		require.Equal(t, c.bottom, isBottomOf(read(c.older), read(c.newer)), c.name)
	}
}

func TestReckonedMayAct(t *testing.T) {
	user := acting{id: tx.Identity{Issuer: own, Kind: tx.KindUser, ID: "bob"}, iss: idp,
		sub:    "p-bob",
		claims: []byte(`{"dept":{"a":[1,2]}}`), hasFile: true}
	token := acting{id: tx.Identity{Issuer: own, Kind: tx.KindClient, ID: "app"}, iss: own,
		sub: "app", hasFile: true}
	alone := acting{id: token.id, iss: own, sub: "app"}
	for _, c := range []struct {
		name, mayAct string
		who          acting
		lift, fits   bool
	}{
		{"sub", `{"sub":"bob"}`, user, false, true},
		{"somebody else", `{"sub":"eve"}`, user, false, false},
		{"the issuer of their token", `{"iss":"https://idp.example","sub":"p-bob"}`, user, false,
			true},
		{"the name of their token under our issuer", `{"sub":"p-bob"}`, user, false, false},
		{"client and sub", `{"client_id":"app","sub":"bob"}`, user, false, true},
		{"another client", `{"client_id":"web","sub":"bob"}`, user, false, false},
		{"a client alone, with a user", `{"client_id":"app"}`, user, false, false},
		{"a client alone, with its token", `{"client_id":"app"}`, token, false, true},
		{"sub alone is no client", `{"sub":"app"}`, token, false, false},
		{"sub and client", `{"sub":"app","client_id":"app"}`, token, false, true},
		{"a client without token, no lift", `{"client_id":"app"}`, alone, false, false},
		{"a client without token", `{"client_id":"app"}`, alone, true, true},
		{"a client without token, by sub alone", `{"sub":"app"}`, alone, true, false},
		{"a client without token, a further member", `{"client_id":"app","dept":1}`, alone, true,
			false},
		{"iss alone", `{"iss":"https://as.example","client_id":"app"}`, token, true, false},
		{"an empty object", `{}`, user, true, false},
		{"a string", `"bob"`, user, true, false},
		{"sub is a number", `{"sub":1}`, user, true, false},
		{"a further member", `{"sub":"bob","dept":{"a":[1,2]}}`, user, false, true},
		{"a further member that differs", `{"sub":"bob","dept":{"a":[2,1]}}`, user, false, false},
		{"a further member that is absent", `{"sub":"bob","group":1}`, user, false, false},
	} {
		require.Equal(t, c.fits, partyOf([]byte(c.mayAct)).fits(own, "app", c.who, c.lift), c.name)
	}
	require.True(t, partyOf([]byte(`{"client_id":"app","sub":"bob"}`)).letsClient("app", true))
	require.False(t, partyOf([]byte(`{"client_id":"app"}`)).letsClient("app", false))
	require.False(t, partyOf([]byte(`{"client_id":"app"}`)).letsClient("web", true))
	require.False(t, partyOf([]byte(`{"client_id":"app","iss":"x"}`)).letsClient("app", true))
	require.Nil(t, partyOf(nil))
}

func TestReckonedEnd(t *testing.T) {
	at := func(minutes int) time.Time { return begin.Add(time.Duration(minutes) * time.Minute) }
	require.Equal(t, at(5), outlived(at(5), at(9), false, false), "no rule says so")
	require.Equal(t, at(9), outlived(at(5), at(9), true, false))
	require.Equal(t, at(3), outlived(at(5), at(3), true, false), "Until may be earlier")
	require.Equal(t, at(5), outlived(at(5), time.Time{}, true, false),
		"without Until the expiry stays")
	require.Equal(t, never, outlived(never, at(3), true, true),
		"evidence has no expiry that counts")
	require.Equal(t, at(5), outlived(at(5), at(3), true, true))
	require.Equal(t, at(9), outlived(at(5), at(9), true, true))
	require.Equal(t, at(3), earlier(at(5), at(3)))
}

func TestReckonedPatterns(t *testing.T) {
	alice := tx.Identity{Issuer: own, Kind: tx.KindUser, Tenant: "acme", ID: "alice"}
	require.True(t, matches([]tx.Identity{{Kind: "*", ID: "*", Tenant: "*"}}, alice))
	require.True(t, matches([]tx.Identity{{ID: "bob"}, {Kind: tx.KindUser, ID: "alice",
		Tenant: "acme"}}, alice))
	require.False(t, matches([]tx.Identity{{Kind: "*", ID: "*"}}, alice),
		"an empty tenant is no wildcard")
	require.False(t, matches([]tx.Identity{{Kind: "*", ID: "*", Tenant: "globex"}}, alice))
	require.False(t, matches(nil, alice))
}
