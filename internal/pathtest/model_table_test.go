package pathtest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

func TestModelScope(t *testing.T) {
	require.Equal(t, []string{"write"}, without([]string{"read", "write"}, []string{"read"}))
	require.Equal(t, []string{"write"}, without([]string{"read", "write", "admin"},
		[]string{"read"}, []string{"admin"}))
	require.Equal(t, []string{"read"}, without([]string{"read"}, nil),
		"an empty ceiling allows nothing")
	require.Empty(t, without(nil, nil))
	require.Equal(t, []string{"read"}, within([]string{"read", "write"}, []string{"read", "x"},
		[]string{"read"}))
	require.Empty(t, within([]string{"read"}, nil))
}

func TestModelChain(t *testing.T) {
	for _, c := range []struct {
		name, older, newer string
		bottom             bool
	}{
		{"the same", `{"sub":"bob"}`, `{"sub":"bob"}`, true},
		{"iss is written", `{"sub":"bob"}`, `{"iss":"https://as.example","sub":"bob"}`, true},
		{"another iss is written", `{"sub":"bob"}`, `{"iss":"https://idp.example","sub":"bob"}`,
			false},
		{"a new current actor", `{"sub":"bob"}`, `{"sub":"ann","act":{"sub":"bob"}}`, true},
		{"a new earliest actor", `{"sub":"bob"}`, `{"sub":"bob","act":{"sub":"ann"}}`, false},
		{"the chain is missing", `{"sub":"bob"}`, ``, false},
		{"no chain before", ``, `{"sub":"bob"}`, true},
		{"an unknown member in another order", `{"sub":"bob","n":1.0}`, `{"n":1.0,"sub":"bob"}`,
			false},
		{"an unknown member is missing", `{"sub":"bob","n":1.0}`, `{"sub":"bob"}`, false},
		{"an unknown member is written differently", `{"sub":"bob","n":1.0}`, `{"sub":"bob","n":1}`,
			false},
		{"a chain of two", `{"sub":"a","act":{"sub":"b"}}`,
			`{"sub":"c","act":{"sub":"a","act":{"sub":"b"}}}`, true},
		{"one of two is missing", `{"sub":"a","act":{"sub":"b"}}`, `{"sub":"c","act":{"sub":"b"}}`,
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
		require.Equal(t, c.bottom, isSuffix(read(c.older), read(c.newer)), c.name)
	}
}

func TestModelMayAct(t *testing.T) {
	user := actingParty{id: tx.Identity{Issuer: own, Kind: tx.KindUser, ID: "bob"}, iss: idp,
		sub:    "p-bob",
		claims: []byte(`{"dept":{"a":[1,2]}}`), hasToken: true}
	token := actingParty{id: tx.Identity{Issuer: own, Kind: tx.KindClient, ID: "app"}, iss: own,
		sub: "app", hasToken: true}
	alone := actingParty{id: token.id, iss: own, sub: "app"}
	for _, c := range []struct {
		name, mayAct string
		actor        actingParty
		lift, fits   bool
	}{
		{"sub", `{"sub":"bob"}`, user, false, true},
		{"another sub", `{"sub":"eve"}`, user, false, false},
		{"iss and sub of the token", `{"iss":"https://idp.example","sub":"p-bob"}`, user, false,
			true},
		{"sub of the token with our issuer", `{"sub":"p-bob"}`, user, false, false},
		{"client and sub", `{"client_id":"app","sub":"bob"}`, user, false, true},
		{"another client", `{"client_id":"web","sub":"bob"}`, user, false, false},
		{"client_id only, for a user", `{"client_id":"app"}`, user, false, false},
		{"client_id only, for the client with its token", `{"client_id":"app"}`, token, false,
			true},
		{"sub only, for a client", `{"sub":"app"}`, token, false, false},
		{"sub and client", `{"sub":"app","client_id":"app"}`, token, false, true},
		{"a client without token and without may_act_client", `{"client_id":"app"}`, alone, false,
			false},
		{"a client without token", `{"client_id":"app"}`, alone, true, true},
		{"sub only, for a client without token", `{"sub":"app"}`, alone, true, false},
		{"a client without token, a further member", `{"client_id":"app","dept":1}`, alone, true,
			false},
		{"iss without sub", `{"iss":"https://as.example","client_id":"app"}`, token, true, false},
		{"an empty object", `{}`, user, true, false},
		{"a string", `"bob"`, user, true, false},
		{"sub is a number", `{"sub":1}`, user, true, false},
		{"a further member", `{"sub":"bob","dept":{"a":[1,2]}}`, user, false, true},
		{"a further member that differs", `{"sub":"bob","dept":{"a":[2,1]}}`, user, false, false},
		{"a further member that is absent", `{"sub":"bob","group":1}`, user, false, false},
	} {
		require.Equal(t, c.fits, partyOf([]byte(c.mayAct)).fits(own, "app", c.actor, c.lift),
			c.name)
	}
	require.True(t, partyOf([]byte(`{"client_id":"app","sub":"bob"}`)).namesClient("app", true))
	require.False(t, partyOf([]byte(`{"client_id":"app"}`)).namesClient("app", false))
	require.False(t, partyOf([]byte(`{"client_id":"app"}`)).namesClient("web", true))
	require.False(t, partyOf([]byte(`{"client_id":"app","iss":"x"}`)).namesClient("app", true))
	require.Nil(t, partyOf(nil))
}

func TestModelEnd(t *testing.T) {
	at := func(minutes int) time.Time { return begin.Add(time.Duration(minutes) * time.Minute) }
	require.Equal(t, at(5), extendedEnd(at(5), at(9), false, false), "no rule allows it")
	require.Equal(t, at(9), extendedEnd(at(5), at(9), true, false))
	require.Equal(t, at(3), extendedEnd(at(5), at(3), true, false), "Until may be earlier")
	require.Equal(t, at(5), extendedEnd(at(5), time.Time{}, true, false),
		"without Until the expiry stays")
	require.Equal(t, noEnd, extendedEnd(noEnd, at(3), true, true),
		"the expiry of evidence is no limit")
	require.Equal(t, at(5), extendedEnd(at(5), at(3), true, true))
	require.Equal(t, at(9), extendedEnd(at(5), at(9), true, true))
	require.Equal(t, at(3), earlier(at(5), at(3)))
}

func TestModelPatterns(t *testing.T) {
	alice := tx.Identity{Issuer: own, Kind: tx.KindUser, Tenant: "acme", ID: "alice"}
	require.True(t, matches([]tx.Identity{{Kind: "*", ID: "*", Tenant: "*"}}, alice))
	require.True(t, matches([]tx.Identity{{ID: "bob"}, {Kind: tx.KindUser, ID: "alice",
		Tenant: "acme"}}, alice))
	require.False(t, matches([]tx.Identity{{Kind: "*", ID: "*"}}, alice),
		"an empty tenant is not a wildcard")
	require.False(t, matches([]tx.Identity{{Kind: "*", ID: "*", Tenant: "globex"}}, alice))
	require.False(t, matches(nil, alice))
}
