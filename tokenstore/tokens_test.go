package tokenstore_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// Only the whole value of a token is accepted, as its own type, until it expires (Z01, Z06).
func TestWholeToken(t *testing.T) {
	w := newWorld(t)
	w.tokens.Opaque = map[tx.TokenType]string{access: "at_", ticket: "tk_"}
	value := w.opaque("alice")
	refreshing := w.minted(refresh)
	good := func(kind tx.TokenType, value string) error {
		_, err := w.tokens.VerifyToken(t.Context(), w.credential(kind, value))
		return err
	}
	require.NoError(t, good(access, value))
	for i := range value {
		flipped := []byte(value)
		flipped[i] ^= 1
		require.ErrorIs(t, good(access, string(flipped)), tx.InvalidRequest)
		require.ErrorIs(t, good(access, value[:i]), tx.InvalidRequest)
	}
	for _, bad := range []string{
		"", value + "A", value + "=", value + "\n", " " + value, value + value,
		strings.ToLower(value), strings.ToUpper(value),
		"tk_" + value[3:], "rt_" + value[3:], value[3:], "AT_" + value[3:],
		refreshing, "at_" + refreshing[3:],
	} {
		require.ErrorIs(t, good(access, bad), tx.InvalidRequest)
	}
	for _, kind := range []tx.TokenType{"", jwt, idToken, refresh, ticket, "urn:example:other"} {
		require.ErrorIs(t, good(kind, value), tx.InvalidRequest, string(kind))
		require.ErrorIs(t, good(kind, refreshing), tx.InvalidRequest, string(kind))
	}
	_, err := w.tokens.VerifyRefreshToken(t.Context(), w.credential(refresh, value))
	require.ErrorIs(t, err, tx.InvalidRequest)
	c := w.credential(access, refreshing)
	_, err = w.tokens.VerifyRefreshToken(t.Context(), c)
	require.ErrorIs(t, err, tx.InvalidRequest)

	tok := w.mustVerify(value)
	want := w.login("alice")
	want.ID = tok.ID
	require.Equal(t, want, tok)
	require.NotContains(t, value, tok.ID)
	w.after(2*time.Hour - time.Second)
	require.NoError(t, good(access, value))
	w.after(time.Second)
	require.ErrorIs(t, good(access, value), tokenstore.ErrUnknown)
}

// All 32 bytes of a value are random.
func TestRandomness(t *testing.T) {
	w := newWorld(t)
	var seen [32]map[byte]bool
	for range 64 {
		raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(w.opaque("alice"), "at_"))
		require.NoError(t, err)
		require.Len(t, raw, len(seen))
		for i, b := range raw {
			if seen[i] == nil {
				seen[i] = map[byte]bool{}
			}
			seen[i][b] = true
		}
	}
	for i := range seen {
		require.Greater(t, len(seen[i]), 32, "byte %d", i)
	}
}

// Two types with the same prefix are told apart by their records.
func TestKindIsRecorded(t *testing.T) {
	w := newWorld(t)
	w.tokens.Opaque = map[tx.TokenType]string{access: "x_", ticket: "x_"}
	value := w.ticket(true)
	_, err := w.tokens.VerifyToken(t.Context(), w.credential(access, value))
	require.Equal(t, "record_other_type", tx.AsError(err).Reason)
	_, err = w.tokens.VerifyToken(t.Context(), w.credential(ticket, value))
	require.NoError(t, err)

	for _, prefix := range []string{"", "a.b", "a b", "ä", "a-"} {
		w.tokens.Opaque = map[tx.TokenType]string{access: prefix}
		_, err := w.tokens.Mint(t.Context(), w.login("alice"))
		require.ErrorContains(t, err, "not opaque", prefix)
	}
	w.tokens.Opaque = map[tx.TokenType]string{jwt: "at_", idToken: "it_"}
	for _, kind := range []tx.TokenType{jwt, idToken} {
		tok := w.login("alice")
		tok.Type = kind
		_, err := w.tokens.Mint(t.Context(), tok)
		require.ErrorContains(t, err, "not opaque")
	}
}

// One of our JWTs is live if it has a record of its type and nothing that it was made from is
// revoked (Z02, D29).
func TestLive(t *testing.T) {
	w := newWorld(t)
	good := func(kind tx.TokenType, value string) (tx.Token, error) {
		return w.tokens.VerifyToken(t.Context(), w.credential(kind, value))
	}
	session := tokenstore.KeyOf("session", issuer, "s")
	login, signed := w.signed("alice", idToken, session), w.signed("alice", access, session)
	tok, err := good(idToken, login)
	require.NoError(t, err)
	require.Equal(t, tx.KindUser, tok.Kind, "from the record")
	_, err = good(jwt, signed)
	require.NoError(t, err)

	unrecorded := w.minter.AccessToken(tokenexchangetest.Claims{Subject: "alice",
		Client: "webapp", Audience: []string{api}, Now: w.clock()})
	_, err = good(access, unrecorded)
	require.ErrorIs(t, err, tokenstore.ErrUnknown)
	wrong := tok
	wrong.Type = access
	require.ErrorIs(t, w.tokens.Live(t.Context(), wrong), tx.InvalidRequest)
	require.ErrorIs(t, w.tokens.Live(t.Context(), tx.Token{}), tx.InvalidRequest)

	w.store.fail = errBroken
	_, err = good(access, signed)
	require.Equal(t, tx.ServerError, tx.AsError(err).Code)
	_, err = good(access, w.opaqueShape())
	require.Equal(t, tx.ServerError, tx.AsError(err).Code)
	w.store.fail = nil

	require.NoError(t, w.store.Revoke(t.Context(), w.clock(), session, w.clock().Add(time.Hour)))
	for _, value := range []string{login, signed} {
		_, err = good(jwt, value)
		require.ErrorIs(t, err, tokenstore.ErrRevoked)
	}
	verify := w.tokens.Verify
	w.tokens.Verify = nil
	_, err = good(jwt, signed)
	require.ErrorIs(t, err, tx.InvalidRequest)
	w.tokens.Verify = verify
	none := &tokenstore.Tokens{}
	for _, err := range []error{
		none.Live(t.Context(), tok), none.Record(t.Context(), tok), none.Revoke(t.Context(), tok),
		none.Once(t.Context(), w.clock(), "k", "i", "j", w.clock()),
	} {
		require.Equal(t, tx.ServerError, tx.AsError(err).Code)
	}
}

func (w *world) opaqueShape() string { return "at_" + strings.Repeat("A", 43) }

// Tokens keeps the contract of a TokenIssuer.
func TestIssuerContract(t *testing.T) {
	for _, kind := range []tx.TokenType{access, jwt} {
		w := newWorld(t)
		w.delegated("requested_token_type", string(kind))
		d := w.audit.Last().Decision
		d.Facts.Subject.Token.ID, d.Facts.Actor.Token.ID = "", "" // so that d can be used often
		require.NoError(t, tokenexchangetest.CheckIssuer(t.Context(), w.tokens, d))
		require.NoError(t, tokenexchangetest.CheckRoundTrip(t.Context(), w.tokens, w.x.Verify, d))
		_, err := w.tokens.IssueToken(t.Context(), tx.Decision{})
		require.ErrorContains(t, err, "without mode")
		_, err = w.tokens.IssueToken(t.Context(), tx.Decision{Type: access,
			Audience: []string{api}, Issued: w.clock(), Expires: w.clock().Add(time.Hour)})
		require.ErrorContains(t, err, "without mode")
		asked := d
		asked.Type = refresh
		_, err = w.tokens.IssueToken(t.Context(), asked)
		require.ErrorContains(t, err, "D28")
		d.Facts.Grant = "refresh_token"
		_, err = w.tokens.IssueToken(t.Context(), d)
		require.ErrorContains(t, err, "needs Tokens.Refresh")
		d.Facts.Grant, d.Type = tx.GrantType, jwt
		w.tokens.JWT = nil
		_, err = w.tokens.IssueToken(t.Context(), d)
		require.ErrorContains(t, err, "needs Tokens.JWT")
		_, err = (&tokenstore.Tokens{}).IssueToken(t.Context(), d)
		require.ErrorContains(t, err, "has no Store")
	}
}

// If the MayAct hook fails, nothing is issued, neither an opaque token nor a JWT.
func TestMayActFails(t *testing.T) {
	for _, kind := range []tx.TokenType{access, jwt} {
		w := newWorld(t)
		var hookErr error
		w.tokens.MayAct = func(context.Context, tx.Decision) (*tx.Actor, error) {
			return nil, hookErr
		}
		exchange := func() answer {
			return w.exchange("gateway", w.opaque("alice"), access,
				"scope", "read", "requested_token_type", string(kind))
		}
		hookErr = errBroken
		w.failed(exchange(), errBroken)
		hookErr = nil
		a := w.granted(exchange())
		require.NotContains(t, w.introspect("api", a.text("access_token")), "may_act")
	}
}

// The store and the audit trail hold no token and no part of a token (I08).
func TestStoreHoldsNoToken(t *testing.T) {
	w := newWorld(t)
	values := []string{
		w.opaque("alice"), w.signed("alice", access), w.ticket(false), w.minted(refresh)}
	for _, kind := range []tx.TokenType{access, jwt} {
		a := w.delegated("requested_token_type", string(kind))
		b := w.granted(w.refresh("helpdesk", a.text("refresh_token")))
		for _, x := range []answer{a, b} {
			for _, name := range []string{"access_token", "refresh_token", "id_token"} {
				values = append(values, x.text(name))
			}
		}
	}
	all := w.store.committed()
	require.Contains(t, all, "alice")
	for _, value := range values {
		require.NotEmpty(t, value)
		for part := range strings.SplitSeq(value, ".") {
			require.NotContains(t, all, part)
			require.NotContains(t, all, strings.TrimPrefix(strings.TrimPrefix(part, "at_"), "rt_"))
		}
	}
	for _, ev := range w.audit.Events() {
		for _, value := range values {
			require.NotContains(t, fmt.Sprintf("%+v", ev), value)
		}
	}
}

// List has the tokens of exchanges about one user, and Revoke revokes one of them. Minted tokens
// are not in it, and can be discarded.
func TestListAndRevoke(t *testing.T) {
	w := newWorld(t)
	a := w.delegated()
	w.granted(w.exchange("gateway", w.opaque("bob"), access, "scope", "read"))
	list := w.list(alice, 100)
	found := map[tx.TokenType]tx.Token{}
	for _, tok := range list {
		require.Equal(t, "alice", tok.Subject)
		require.Equal(t, "bob", tok.Actor.Subject)
		require.Equal(t, issuer, tok.Issuer)
		found[tok.Type] = tok
	}
	require.Len(t, list, 3)
	require.Len(t, found, 3)
	require.Equal(t, w.audit.Events()[0].TokenID, found[access].ID)
	w.granted(w.refresh("helpdesk", a.text("refresh_token")))
	list = w.list(alice, 100)
	require.Len(t, list, 5, "two access tokens, two ID tokens and the new refresh token")
	require.NoError(t, w.tokens.Revoke(t.Context(), found[refresh]))
	list = w.list(alice, 100)
	require.Empty(t, list, "a refresh token ends with its grant")

	tok, err := w.tokens.Mint(t.Context(), w.login("alice"))
	require.NoError(t, err)
	require.True(t, w.active(tok.Value))
	require.NoError(t, tok.Discard(t.Context()))
	require.False(t, w.active(tok.Value))
	require.Error(t, w.tokens.Revoke(t.Context(), tx.Token{}))
	for _, bad := range []tx.Token{
		{}, {Issuer: issuer, ID: "1"}, {Type: access, ID: "1"}, {Type: access, Issuer: issuer},
		{Type: jwt, Issuer: issuer, ID: "1"},
	} {
		bad.Expires = w.clock().Add(time.Hour)
		require.Error(t, w.tokens.Record(t.Context(), bad))
	}
}

// A token of another issuer can be revoked before it is exchanged, and after.
func TestForeignParents(t *testing.T) {
	w := newWorld(t)
	foreign := tx.Token{Type: jwt, Issuer: "https://elsewhere.example", ID: "sha256:abc",
		Subject: "a", Expires: w.clock().Add(time.Hour)}
	before, err := w.tokens.Mint(t.Context(), w.login("alice"), tokenstore.TokenKey(foreign))
	require.NoError(t, err)
	namesake := foreign
	namesake.Issuer = issuer
	require.NoError(t, w.tokens.Revoke(t.Context(), namesake))
	require.True(t, w.active(before.Value), "the same ID of another issuer")
	require.NoError(t, w.tokens.Revoke(t.Context(), foreign))
	require.False(t, w.active(before.Value))
	_, err = w.tokens.Mint(t.Context(), w.login("alice"), tokenstore.TokenKey(foreign))
	require.ErrorIs(t, err, tokenstore.ErrRevoked)
	require.Equal(t, tx.InvalidRequest, tx.AsError(err).Code)
}

// Only the first of many calls with the same ID succeeds. Kinds and issuers are name spaces.
func TestOnce(t *testing.T) {
	w := newWorld(t)
	once := func(kind, issuer, id string) error {
		return w.tokens.Once(t.Context(), w.clock(), kind, issuer, id, w.clock().Add(time.Minute))
	}
	var won atomic.Int32
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			if err := once("assertion", "a", "1"); err == nil {
				won.Add(1)
			} else if !errors.Is(err, tokenstore.ErrSpent) {
				t.Error(err)
			}
		})
	}
	group.Wait()
	require.EqualValues(t, 1, won.Load())
	for _, other := range [][3]string{
		{"assertion", "a", "2"}, {"assertion", "b", "1"}, {"proof", "a", "1"},
		{"assertion", "a1", ""}, {"assertiona", "", "1"}, {"", "assertiona", "1"},
	} {
		require.NoError(t, once(other[0], other[1], other[2]), other)
	}
	key := func(name ...string) tokenstore.Key { return tokenstore.KeyOf("k", "i", name...) }
	require.NotEqual(t, key("ab", "c"), key("a", "bc"))
	require.NotEqual(t, key("ab"), key("a", "b"))
	require.NotEqual(t, key(), key(""))
	require.Equal(t, tx.ServerError, tx.AsError(tokenstore.ErrExists).Code)
	require.Equal(t, tx.InvalidRequest, tx.AsError(tokenstore.ErrTooMany).Code)
}

// A value is not accepted because its hash is the ID of a recorded token: it must have the form of
// the recorded type.
func TestR08_ValueOfARecordedID(t *testing.T) {
	w := newWorld(t)
	const value = "a session ID of the host"
	hash := sha256.Sum256([]byte(value))
	tok := w.login("alice")
	tok.ID = base64.RawURLEncoding.EncodeToString(hash[:])
	require.NoError(t, w.tokens.Record(t.Context(), tok))
	require.False(t, w.active(value))
	w.granted(w.post("/revoke", "webapp", url.Values{"token": {value}}))
	require.NoError(t, w.tokens.Live(t.Context(), tok), "the token is not revoked")
}
