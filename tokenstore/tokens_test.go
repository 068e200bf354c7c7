package tokenstore_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// A token is known as a whole, under its own kind, until it expires (Z01, Z06).
func TestWholeToken(t *testing.T) {
	w := newWorld(t)
	w.tokens.Opaque = map[tokenexchange.TokenType]string{access: "at_", ticket: "tk_"}
	value := w.opaque("alice")
	refreshing := w.minted(refresh)
	good := func(kind tokenexchange.TokenType, value string) error {
		_, err := w.tokens.VerifyToken(t.Context(), w.credential(kind, value))
		return err
	}
	require.NoError(t, good(access, value))
	for i := range value {
		flipped := []byte(value)
		flipped[i] ^= 1
		require.ErrorIs(t, good(access, string(flipped)), tokenexchange.InvalidRequest)
		require.ErrorIs(t, good(access, value[:i]), tokenexchange.InvalidRequest)
	}
	for _, bad := range []string{"", value + "A", value + "=", value + "\n", " " + value, value + value, strings.ToLower(value), strings.ToUpper(value),
		"tk_" + value[3:], "rt_" + value[3:], value[3:], "AT_" + value[3:], refreshing, "at_" + refreshing[3:]} {
		require.ErrorIs(t, good(access, bad), tokenexchange.InvalidRequest)
	}
	for _, kind := range []tokenexchange.TokenType{"", jwt, idToken, refresh, ticket, "urn:example:other"} {
		require.ErrorIs(t, good(kind, value), tokenexchange.InvalidRequest, string(kind))
		require.ErrorIs(t, good(kind, refreshing), tokenexchange.InvalidRequest, string(kind))
	}
	_, err := w.tokens.VerifyRefreshToken(t.Context(), w.credential(refresh, value))
	require.ErrorIs(t, err, tokenexchange.InvalidRequest)
	c := w.credential(access, refreshing)
	_, err = w.tokens.VerifyRefreshToken(t.Context(), c)
	require.ErrorIs(t, err, tokenexchange.InvalidRequest)

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

// Every one of 32 bytes is random.
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

// Two types with one prefix are still two types: the record says which it is.
func TestKindIsRecorded(t *testing.T) {
	w := newWorld(t)
	w.tokens.Opaque = map[tokenexchange.TokenType]string{access: "x_", ticket: "x_"}
	value := w.ticket(true)
	_, err := w.tokens.VerifyToken(t.Context(), w.credential(access, value))
	require.ErrorContains(t, err, "another type")
	_, err = w.tokens.VerifyToken(t.Context(), w.credential(ticket, value))
	require.NoError(t, err)

	for _, prefix := range []string{"", "a.b", "a b", "ä", "a-"} {
		w.tokens.Opaque = map[tokenexchange.TokenType]string{access: prefix}
		_, err := w.tokens.Mint(t.Context(), w.login("alice"))
		require.ErrorContains(t, err, "not opaque", prefix)
	}
	w.tokens.Opaque = map[tokenexchange.TokenType]string{jwt: "at_", idToken: "it_"}
	for _, kind := range []tokenexchange.TokenType{jwt, idToken} {
		tok := w.login("alice")
		tok.Type = kind
		_, err := w.tokens.Mint(t.Context(), tok)
		require.ErrorContains(t, err, "not opaque")
	}
}

// An own JWT is live while it has a record of its kind and nothing that it was made from is revoked (Z02, D29).
func TestLive(t *testing.T) {
	w := newWorld(t)
	good := func(kind tokenexchange.TokenType, value string) (tokenexchange.Token, error) {
		return w.tokens.VerifyToken(t.Context(), w.credential(kind, value))
	}
	session := tokenstore.KeyOf("session", issuer, "s")
	login, signed := w.signed("alice", idToken, session), w.signed("alice", access, session)
	tok, err := good(idToken, login)
	require.NoError(t, err)
	require.Equal(t, tokenexchange.KindUser, tok.Kind, "what the record knows and the JWT does not say")
	_, err = good(jwt, signed)
	require.NoError(t, err)

	unrecorded := w.minter.AccessToken(tokenexchangetest.Claims{Subject: "alice", Client: "webapp", Audience: []string{api}, Now: w.clock()})
	_, err = good(access, unrecorded)
	require.ErrorIs(t, err, tokenstore.ErrUnknown)
	wrong := tok
	wrong.Type = access
	require.ErrorIs(t, w.tokens.Live(t.Context(), wrong), tokenexchange.InvalidRequest)
	require.ErrorIs(t, w.tokens.Live(t.Context(), tokenexchange.Token{}), tokenexchange.InvalidRequest)

	w.store.fail = errBroken
	_, err = good(access, signed)
	require.Equal(t, tokenexchange.ServerError, tokenexchange.AsError(err).Code)
	_, err = good(access, w.opaqueShape())
	require.Equal(t, tokenexchange.ServerError, tokenexchange.AsError(err).Code)
	w.store.fail = nil

	require.NoError(t, w.store.Revoke(t.Context(), w.clock(), session, w.clock().Add(time.Hour)))
	for _, value := range []string{login, signed} {
		_, err = good(jwt, value)
		require.ErrorIs(t, err, tokenstore.ErrRevoked)
	}
	verify := w.tokens.Verify
	w.tokens.Verify = nil
	_, err = good(jwt, signed)
	require.ErrorIs(t, err, tokenexchange.InvalidRequest)
	w.tokens.Verify = verify
	none := &tokenstore.Tokens{}
	for _, err := range []error{none.Live(t.Context(), tok), none.Record(t.Context(), tok), none.Revoke(t.Context(), tok), none.Once(t.Context(), w.clock(), "k", "i", "j", w.clock())} {
		require.Equal(t, tokenexchange.ServerError, tokenexchange.AsError(err).Code)
	}
}

func (w *world) opaqueShape() string { return "at_" + strings.Repeat("A", 43) }

// Issuers are held to their contract: the zero decision, expiries, discarding, what is read back.
func TestIssuerContract(t *testing.T) {
	for _, kind := range []tokenexchange.TokenType{access, jwt} {
		w := newWorld(t)
		w.delegated("requested_token_type", string(kind))
		d := w.audit.Last().Decision
		d.Facts.Subject.Token.ID, d.Facts.Actor.Token.ID = "", "" // so that it may be asked for often
		require.NoError(t, tokenexchangetest.CheckIssuer(t.Context(), w.tokens, d))
		require.NoError(t, tokenexchangetest.CheckRoundTrip(t.Context(), w.tokens, w.x.Verify, d))
		_, err := w.tokens.IssueToken(t.Context(), tokenexchange.Decision{})
		require.ErrorContains(t, err, "without mode")
		_, err = w.tokens.IssueToken(t.Context(), tokenexchange.Decision{Type: access, Audience: []string{api}, Issued: w.clock(), Expires: w.clock().Add(time.Hour)})
		require.ErrorContains(t, err, "without mode")
		asked := d
		asked.Type = refresh
		_, err = w.tokens.IssueToken(t.Context(), asked)
		require.ErrorContains(t, err, "D28")
		d.Facts.Grant = "refresh_token"
		_, err = w.tokens.IssueToken(t.Context(), d)
		require.ErrorContains(t, err, "outside of Refresh")
		d.Facts.Grant, d.Type = tokenexchange.GrantType, jwt
		w.tokens.JWT = nil
		_, err = w.tokens.IssueToken(t.Context(), d)
		require.ErrorContains(t, err, "no issuer of JWTs")
		_, err = (&tokenstore.Tokens{}).IssueToken(t.Context(), d)
		require.ErrorContains(t, err, "without a Store")
	}
}

// A hook that fails issues nothing, for opaque tokens and JWTs alike.
func TestMayActFails(t *testing.T) {
	for _, kind := range []tokenexchange.TokenType{access, jwt} {
		w := newWorld(t)
		w.tokens.MayAct = func(context.Context, tokenexchange.Decision) (*tokenexchange.Actor, error) { return nil, errBroken }
		w.refused(w.exchange("gateway", w.opaque("alice"), access, "scope", "read", "requested_token_type", string(kind)), tokenexchange.ServerError, "broken")
		w.tokens.MayAct = func(context.Context, tokenexchange.Decision) (*tokenexchange.Actor, error) { return nil, nil }
		a := w.granted(w.exchange("gateway", w.opaque("alice"), access, "scope", "read", "requested_token_type", string(kind)))
		require.NotContains(t, w.introspect("api", a.text("access_token")), "may_act")
	}
}

// No token and no part of one is in the store, nor in what a failure says (I08).
func TestStoreHoldsNoToken(t *testing.T) {
	w := newWorld(t)
	values := []string{w.opaque("alice"), w.signed("alice", access), w.ticket(false), w.minted(refresh)}
	for _, kind := range []tokenexchange.TokenType{access, jwt} {
		a := w.delegated("requested_token_type", string(kind))
		b := w.granted(w.refresh("helpdesk", a.text("refresh_token")))
		for _, x := range []answer{a, b} {
			values = append(values, x.text("access_token"), x.text("refresh_token"), x.text("id_token"))
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

// What is minted can be discarded, listed are the delegations of a person alone, and each can be ended.
func TestListAndRevoke(t *testing.T) {
	w := newWorld(t)
	a := w.delegated()
	w.granted(w.exchange("gateway", w.opaque("bob"), access, "scope", "read"))
	list := w.list(alice, 100)
	found := map[tokenexchange.TokenType]tokenexchange.Token{}
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
	require.Len(t, list, 5, "two access and two ID tokens, and the refresh token that is not used up")
	require.NoError(t, w.tokens.Revoke(t.Context(), found[refresh]))
	list = w.list(alice, 100)
	require.Empty(t, list, "a refresh token ends with its grant")

	tok, err := w.tokens.Mint(t.Context(), w.login("alice"))
	require.NoError(t, err)
	require.True(t, w.active(tok.Value))
	require.NoError(t, tok.Discard(t.Context()))
	require.False(t, w.active(tok.Value))
	require.Error(t, w.tokens.Revoke(t.Context(), tokenexchange.Token{}))
	for _, bad := range []tokenexchange.Token{{}, {Issuer: issuer, ID: "1"}, {Type: access, ID: "1"}, {Type: access, Issuer: issuer}, {Type: jwt, Issuer: issuer, ID: "1"}} {
		bad.Expires = w.clock().Add(time.Hour)
		require.Error(t, w.tokens.Record(t.Context(), bad))
	}
}

// A token of another issuer can be revoked before it is exchanged, and after.
func TestForeignParents(t *testing.T) {
	w := newWorld(t)
	foreign := tokenexchange.Token{Type: jwt, Issuer: "https://elsewhere.example", ID: "sha256:abc", Subject: "a", Expires: w.clock().Add(time.Hour)}
	before, err := w.tokens.Mint(t.Context(), w.login("alice"), tokenstore.TokenKey(foreign))
	require.NoError(t, err)
	namesake := foreign
	namesake.Issuer = issuer
	require.NoError(t, w.tokens.Revoke(t.Context(), namesake))
	require.True(t, w.active(before.Value), "a token of the same name, of another issuer")
	require.NoError(t, w.tokens.Revoke(t.Context(), foreign))
	require.False(t, w.active(before.Value))
	_, err = w.tokens.Mint(t.Context(), w.login("alice"), tokenstore.TokenKey(foreign))
	require.ErrorIs(t, err, tokenstore.ErrRevoked)
	require.Equal(t, tokenexchange.InvalidRequest, tokenexchange.AsError(err).Code)
}

// Of all who say an id, one is the first; kinds and issuers are name spaces.
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
	for _, other := range [][3]string{{"assertion", "a", "2"}, {"assertion", "b", "1"}, {"proof", "a", "1"}, {"assertion", "a1", ""}, {"assertiona", "", "1"}, {"", "assertiona", "1"}} {
		require.NoError(t, once(other[0], other[1], other[2]), other)
	}
	require.NotEqual(t, tokenstore.KeyOf("k", "i", "ab", "c"), tokenstore.KeyOf("k", "i", "a", "bc"))
	require.NotEqual(t, tokenstore.KeyOf("k", "i", "ab"), tokenstore.KeyOf("k", "i", "a", "b"))
	require.NotEqual(t, tokenstore.KeyOf("k", "i"), tokenstore.KeyOf("k", "i", ""))
	require.Equal(t, tokenexchange.ServerError, tokenexchange.AsError(tokenstore.ErrExists).Code)
	require.Equal(t, tokenexchange.InvalidRequest, tokenexchange.AsError(tokenstore.ErrTooMany).Code)
}

// Data is read back as it was written, and nothing else is read at all.
func TestData(t *testing.T) {
	w := newWorld(t)
	full := w.login("alice")
	full.Actor = &tokenexchange.Actor{}
	require.NoError(t, full.Actor.UnmarshalJSON([]byte(`{"iss":"i","sub":"s","x":1,"act":{"sub":"p"}}`)))
	full.MayAct, full.AMR, full.Confirmation = &tokenexchange.Actor{}, []string{"pwd", "otp"}, tokenexchange.Confirmation{JKT: "j", X5T: "x"}
	full.ID = "not a hash"
	full.Lineage = &tokenexchange.Lineage{Scope: tokenexchange.Scope{}, Ends: full.Expires,
		Tenant: "globex", Lent: true,
		Begun: full.AuthTime, From: []string{"origin"}}
	for _, tok := range []tokenexchange.Token{full, {Type: ticket, Issuer: issuer, Expires: full.Expires}, {Issuer: issuer, Expires: full.Expires, Scope: tokenexchange.Scope{}}} {
		data, err := tokenstore.Encode(tok, nil)
		require.NoError(t, err)
		got, g, err := tokenstore.Decode(issuer, tokenstore.Record{Data: data, Expires: tok.Expires})
		require.NoError(t, err)
		require.Nil(t, g)
		require.Equal(t, tok, got)
		for i := range data {
			_, _, err := tokenstore.Decode(issuer, tokenstore.Record{Data: data[:i]})
			if err == nil { // it was cut between two fields
				continue
			}
			require.Equal(t, tokenexchange.ServerError, tokenexchange.AsError(err).Code)
		}
	}
	for _, bad := range []string{"", "\x00", "\x02", "\x01?\x01x", "\x01s\xff", "\x01s\x05abc",
		"\x01A\x01x", "\x01G\x01x", "\x01I\x01\xff", "\x01L\x01x", "\x01L\x08{\"a\":1}",
		"\x01o\x03 \x00x",
		"\x01s\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"} {
		_, _, err := tokenstore.Decode(issuer, tokenstore.Record{Data: []byte(bad)})
		require.Error(t, err, "%q", bad)
	}
	// A field that Token is given must be kept, or left out on purpose.
	// Name and ByClient are left out: no record is made of such a token.
	require.Equal(t, 20, reflect.TypeFor[tokenexchange.Token]().NumField(),
		"Token has another number of fields: see codec.go")
}

func FuzzDecode(f *testing.F) {
	seed, err := tokenstore.Encode(tokenexchange.Token{Type: access, ID: "1", Scope: tokenexchange.Scope{"a"}, Actor: &tokenexchange.Actor{Subject: "b"}}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		tok, g, err := tokenstore.Decode("i", tokenstore.Record{Data: data})
		if err != nil {
			return
		}
		again, err := tokenstore.Encode(tok, g)
		if err != nil {
			t.Fatal(err)
		}
		back, g, err := tokenstore.Decode("i", tokenstore.Record{Data: again})
		if err != nil {
			t.Fatal(err)
		}
		if third, err := tokenstore.Encode(back, g); err != nil || !bytes.Equal(again, third) {
			t.Fatalf("%v: %q became %q", err, again, third)
		}
	})
}

// A record of a token that the host has made elsewhere is not found by a value whose hash is that token's name: what is looked
// up must have the form of an opaque token of the recorded type.
func TestR08_NoNameIsAToken(t *testing.T) {
	w := newWorld(t)
	const value = "a session id of the host"
	hash := sha256.Sum256([]byte(value))
	tok := w.login("alice")
	tok.ID = base64.RawURLEncoding.EncodeToString(hash[:])
	require.NoError(t, w.tokens.Record(t.Context(), tok))
	require.False(t, w.active(value))
	w.granted(w.post("/revoke", "webapp", url.Values{"token": {value}}))
	require.NoError(t, w.tokens.Live(t.Context(), tok), "nothing has ended it")
}
