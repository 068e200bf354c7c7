package tokenstore_test

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// Decode returns the token that Encode has written, and an error for other data.
func TestData(t *testing.T) {
	w := newWorld(t)
	full := w.login("alice")
	full.Actor = &tx.Actor{}
	const chain = `{"iss":"i","sub":"s","x":1,"act":{"sub":"p"}}`
	require.NoError(t, full.Actor.UnmarshalJSON([]byte(chain)))
	full.MayAct, full.AMR = &tx.Actor{}, []string{"pwd", "otp"}
	full.Confirmation = tx.Confirmation{JKT: "j", X5T: "x"}
	full.ID = "not a hash"
	full.Lineage = &tx.Lineage{Scope: tx.Scope{}, Ends: full.Expires,
		Tenant: "globex", Lent: true,
		Begun: full.AuthTime, From: []string{"origin"}}
	for _, tok := range []tx.Token{
		full,
		{Type: ticket, Issuer: issuer, Expires: full.Expires},
		{Issuer: issuer, Expires: full.Expires, Scope: tx.Scope{}},
	} {
		data, err := tokenstore.Encode(tok, nil)
		require.NoError(t, err)
		record := tokenstore.Record{Data: data, Expires: tok.Expires}
		got, g, err := tokenstore.Decode(issuer, record)
		require.NoError(t, err)
		require.Nil(t, g)
		require.Equal(t, tok, got)
		for i := range data {
			_, _, err := tokenstore.Decode(issuer, tokenstore.Record{Data: data[:i]})
			if err == nil { // the data ends between two fields
				continue
			}
			require.Equal(t, tx.ServerError, tx.AsError(err).Code)
		}
	}
	for _, bad := range []string{"", "\x00", "\x02", "\x01?\x01x", "\x01s\xff", "\x01s\x05abc",
		"\x01A\x01x", "\x01G\x01x", "\x01I\x01\xff", "\x01L\x01x", "\x01L\x08{\"a\":1}",
		"\x01o\x03 \x00x",
		"\x01s\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"} {
		_, _, err := tokenstore.Decode(issuer, tokenstore.Record{Data: []byte(bad)})
		require.Error(t, err, "%q", bad)
	}
	// Encode must write every new field of Token, or leave it out on purpose. It leaves out Name
	// and ByClient, because a token with them is never recorded.
	require.Equal(t, 20, reflect.TypeFor[tx.Token]().NumField(),
		"the number of fields of Token has changed: see codec.go")
}

func FuzzDecode(f *testing.F) {
	seed, err := tokenstore.Encode(tx.Token{Type: access, ID: "1", Scope: tx.Scope{"a"},
		Actor: &tx.Actor{Subject: "b"}}, nil)
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
