package tokenstore_test

import (
	"context"
	"encoding/base64"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// A list has the same tokens, each once, whatever the length of its pages.
func TestListInPages(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		a := w.delegated()
		w.granted(w.refresh("helpdesk", a.text("refresh_token"))) // leaves a spent record
	}
	ids := func(list []tx.Token) (ids []string) {
		for _, tok := range list {
			ids = append(ids, tok.ID)
		}
		return slices.Sorted(slices.Values(ids))
	}
	want := ids(w.list(alice, 100))
	require.Len(t, want, 15)
	require.Len(t, slices.Compact(slices.Clone(want)), 15)
	for _, limit := range []int{1, 2, 7, 15, tokenstore.MaxPage + 1} {
		require.Equal(t, want, ids(w.list(alice, limit)))
	}
	for _, after := range []string{"x", "!", "AAAA"} {
		_, _, err := w.tokens.List(t.Context(), alice, after, 10)
		require.ErrorContains(t, err, "after is not a position in a list")
	}
	for _, limit := range []int{0, -1} {
		_, _, err := w.tokens.List(t.Context(), alice, "", limit)
		require.Error(t, err)
	}
	_, _, err := (&tokenstore.Tokens{}).List(t.Context(), alice, "", 10)
	require.ErrorContains(t, err, "has no Store")
}

// A delegation may have more tokens than a page, and all of them end with it.
func TestC07_DelegationOfSeveralPages(t *testing.T) {
	w := newWorld(t)
	form := url.Values{"grant_type": {tx.GrantType}, "scope": {"read"},
		"subject_token": {w.opaque("alice")}, "subject_token_type": {string(access)},
		"actor_token": {w.opaque("bob")}, "actor_token_type": {string(access)}}
	const n = 2*tokenstore.MaxPage + 1
	for range n {
		_, err := w.x.Exchange(t.Context(), w.client["helpdesk"], form)
		require.NoError(t, err)
	}
	list := w.delegations()
	require.Len(t, list, 1)
	require.Len(t, list[0].Tokens, n)
	require.NoError(t, w.end(list[0].ID))
	require.Empty(t, w.delegations())
	require.ErrorIs(t, w.end(list[0].ID), tokenstore.ErrUnknown)
}

// late is a Store that calls between after the first page of a list. Records that are put then are
// on no page.
type late struct {
	tokenstore.Store
	owner   tokenstore.Key // the owner of the list
	between func()
	known   map[tokenstore.Key]bool
}

func (s *late) List(ctx context.Context, now time.Time, owner, after tokenstore.Key, limit int) (
	[]tokenstore.Record, tokenstore.Key, error) {
	if s.owner == (tokenstore.Key{}) {
		s.owner = owner
	}
	if owner != s.owner {
		return s.Store.List(ctx, now, owner, after, limit)
	}
	if after == (tokenstore.Key{}) {
		first, _, err := s.Store.List(ctx, now, owner, after, limit)
		s.known = map[tokenstore.Key]bool{}
		for _, r := range first {
			s.known[r.Key] = true
		}
		after[31] = 1
		s.between()
		return nil, after, err
	}
	page, next, err := s.Store.List(ctx, now, owner, after, limit)
	isLate := func(r tokenstore.Record) bool { return !s.known[r.Key] }
	return slices.DeleteFunc(page, isLate), next, err
}

// A refresh while EndDelegation reads the records does not keep the delegation alive.
func TestC07_RefreshDuringEndDelegation(t *testing.T) {
	w := newWorld(t)
	a := w.granted(w.actFor(w.opaque("alice"), w.opaque("bob"), "scope", "read offline_access"))
	id := w.delegations()[0].ID
	w.after(61 * time.Minute) // now only the refresh token is live
	require.Len(t, w.list(alice, 100), 1)
	var renewed answer
	w.store.Store = &late{Store: w.store.memory, between: func() {
		renewed = w.granted(w.refresh("helpdesk", a.text("refresh_token")))
	}}
	require.NoError(t, w.end(id))
	w.store.Store = w.store.memory
	require.False(t, w.active(renewed.text("access_token")))
	again := w.refresh("helpdesk", renewed.text("refresh_token"))
	w.refused(again, tx.InvalidGrant, "token_revoked")
	require.Empty(t, w.delegations())
}

// endless is a Store that returns its first page again and again.
type endless struct{ tokenstore.Store }

func (s endless) List(ctx context.Context, now time.Time, owner, _ tokenstore.Key, _ int) (
	[]tokenstore.Record, tokenstore.Key, error) {
	return s.Store.List(ctx, now, owner, tokenstore.Key{}, 1)
}

// A driver whose pages do not advance causes an error instead of an endless loop.
func TestListOfEndlessPages(t *testing.T) {
	w := newWorld(t)
	w.delegated()
	w.store.Store = endless{w.store.memory}
	_, err := w.tokens.Delegations(t.Context(), alice)
	require.ErrorContains(t, err, "not greater than after")
	unknown := base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	require.ErrorContains(t, w.end(unknown), "not greater than after")
}
