package zitadelexchange_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/go-tokenexchange/tokenexchange"
)

const base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// variants returns other texts with the bytes of a token, and its JSON serializations.
func variants(token string) map[string]string {
	texts := map[string]string{}
	segments := strings.Split(token, ".")
	for i, segment := range segments {
		add := func(what, other string) {
			all := slices.Clone(segments)
			all[i] = other
			texts[fmt.Sprintf("segment %d: %s", i, what)] = strings.Join(all, ".")
		}
		same := func(other string) bool {
			a, errA := base64.RawURLEncoding.DecodeString(segment)
			b, errB := base64.RawURLEncoding.DecodeString(other)
			return errA == nil && errB == nil && string(a) == string(b)
		}
		for _, last := range base64url {
			other := segment[:len(segment)-1] + string(last)
			if other != segment && same(other) {
				add("trailing bits "+string(last), other)
			}
		}
		for len(segment)%4 != 0 && strings.Count(segment, "=") < 2 {
			segment += "="
			add("padding "+segment[len(segment)-2:], segment)
		}
		segment = segments[i]
		for _, blank := range []string{"\n", "\r", "\r\n", " ", "\t", "\u00a0", "\u2028"} {
			for _, at := range []int{0, 1, len(segment) / 2, len(segment)} {
				add(fmt.Sprintf("%q at %d", blank, at), segment[:at]+blank+segment[at:])
			}
		}
		standard := strings.NewReplacer("-", "+", "_", "/").Replace(segment)
		if standard != segment {
			add("the standard alphabet", standard)
		}
	}
	object := func(members map[string]any) string {
		text, err := json.Marshal(members)
		if err != nil {
			panic(err)
		}
		return string(text)
	}
	switch len(segments) {
	case 3:
		// The framework splits a token at its dots before it parses JSON.
		dots := "." + segments[1] + "."
		flat := map[string]any{"protected": segments[0], "payload": segments[1],
			"signature": segments[2], "x": dots}
		texts["flattened JSON"] = object(flat)
		signature := map[string]any{"protected": segments[0], "signature": segments[2]}
		texts["general JSON"] = object(map[string]any{"payload": segments[1], "x": dots,
			"signatures": []any{signature}})
		flat["header"] = map[string]any{"x": "y"}
		texts["an unprotected header"] = object(flat)
	case 5:
		texts["JSON"] = object(map[string]any{"protected": segments[0],
			"encrypted_key": segments[1], "iv": segments[2], "ciphertext": segments[3],
			"tag": segments[4]})
	}
	texts["a dot at the end"], texts["a dot in front"] = token+".", "."+token
	return texts
}

// TestR08_OneTextOfAToken checks that only one text of a token is accepted. A deny list would not
// have the ID of another text.
func TestR08_OneTextOfAToken(t *testing.T) {
	cfb := func(h *host) { h.options = []op.Option{op.WithCrypto(op.NewAESCrypto([32]byte{7}))} }
	opaque := newHost(t, op.AccessTokenTypeBearer)
	old := newHost(t, op.AccessTokenTypeBearer, cfb)
	jwt := newHost(t, op.AccessTokenTypeJWT)
	names := map[string]bool{}
	jwt.grant.Session = func(_ context.Context, tok tokenexchange.Token) error {
		names[tok.ID] = true
		return nil
	}
	// Whether there are trailing bits depends on the length of the claims.
	id := jwt.idToken(t, login{subject: "alice", client: "helpdesk"})
	for len(strings.Split(id, ".")[1])%4 == 0 {
		id = jwt.idToken(t, login{subject: "alice", client: "helpdesk", acr: id[len(id)-5:]})
	}
	actor := jwt.bob(t)
	for name, c := range map[string]struct {
		h        *host
		token    string
		declared tokenexchange.TokenType
		ask      func(token string) reply
	}{
		"opaque, GCM": {opaque, opaque.alice(t), tokenexchange.TypeAccessToken,
			func(s string) reply { return opaque.narrow(t, s) }},
		"opaque, CFB": {old, old.alice(t), tokenexchange.TypeAccessToken,
			func(s string) reply { return old.narrow(t, s) }},
		"a JWT": {jwt, jwt.alice(t), tokenexchange.TypeJWT,
			func(s string) reply { return jwt.narrow(t, s) }},
		"an ID token": {jwt, id, tokenexchange.TypeIDToken,
			func(s string) reply { return jwt.exchangeAll(t, s, actor) }},
		"an actor token": {jwt, actor, tokenexchange.TypeAccessToken,
			func(s string) reply { return jwt.exchangeAll(t, id, s) }},
	} {
		t.Run(name, func(t *testing.T) {
			verify := func(text string) error {
				_, err := c.h.grant.Verifiers()[c.declared](c.h.ctx(t), tokenexchange.Credential{
					Token: text, Type: c.declared, Issuer: issuer, Now: time.Now()})
				return err
			}
			c.ask(c.token).granted(t)
			require.NoError(t, verify(c.token))
			texts := variants(c.token)
			require.Greater(t, len(texts), 30)
			for what, text := range texts {
				got := c.ask(text)
				require.Equal(t, "invalid_request", got.error(), what)
				c.h.refused(t, got, tokenexchange.InvalidRequest)
				err := verify(text) // HTTP does not transport control characters
				require.ErrorIs(t, err, tokenexchange.InvalidRequest, what)
				require.Contains(t, []string{"token_not_canonical", "not_a_jwt"},
					tokenexchange.AsError(err).Reason, what)
			}
			c.ask(c.token).granted(t)
		})
	}
	require.Len(t, names, 1, "an ID token has one ID")
}
