package tokenstore_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func numbered(i int) tokenstore.Key { return tokenstore.KeyOf("test", "", fmt.Sprint(i)) }

// fill commits n records that expire together.
func fill(t testing.TB, m *tokenstore.Memory, n int, expires time.Time) {
	for i := range n {
		r := tokenstore.Record{Key: numbered(i), Owner: numbered(-1 - i%100), Expires: expires, Data: []byte("data")}
		require.NoError(t, m.Commit(t.Context(), epoch, tokenstore.Batch{Put: []tokenstore.Record{r}}))
	}
}

// What is over is forgotten, all of it, and little by little.
func TestSweepForgets(t *testing.T) {
	m, ctx := tokenstore.NewMemory(), t.Context()
	const n = 5000
	fill(t, m, n, epoch.Add(time.Hour))
	parent, late := numbered(0), epoch.Add(3*time.Hour)
	require.NoError(t, m.Commit(ctx, epoch, tokenstore.Batch{Put: []tokenstore.Record{{Key: numbered(n), Ancestors: []tokenstore.Key{parent}, Expires: late}},
		Spend: []tokenstore.Mark{{Key: numbered(1), Until: epoch.Add(2 * time.Hour)}}}))
	require.NoError(t, m.Revoke(ctx, epoch, numbered(2), late))
	require.Equal(t, n+1, m.Entries())
	require.Equal(t, 100, m.Owners())

	churn := func(now time.Time, calls int) {
		for range calls {
			_, err := m.Get(ctx, now, numbered(-1000))
			require.ErrorIs(t, err, tokenstore.ErrUnknown)
		}
	}
	churn(epoch.Add(time.Hour+tokenstore.Linger-time.Second), n)
	require.Equal(t, n+1, m.Entries(), "nothing goes before its time")
	now := epoch.Add(time.Hour + 3*time.Minute)
	churn(now, 100)
	require.Equal(t, n+1-200, m.Entries(), "a call forgets so much and no more")
	churn(now, n)
	require.Equal(t, 4, m.Entries(), "a parent, a mark, a tombstone and what is live")
	require.Zero(t, m.Owners(), "the data is gone although the key is kept")
	require.NotContains(t, strings.Join(m.Dump(), ""), "data")
	churn(epoch.Add(2*time.Hour+3*time.Minute), 100)
	require.Equal(t, 3, m.Entries())
	require.Zero(t, m.Marks())
	churn(epoch.Add(4*time.Hour), 100)
	require.Zero(t, m.Entries())
	require.Zero(t, m.Buckets())
}

// No data stays behind where a record goes and its key is still known: not in the row, and not where they had no room in it.
func TestNoDataStays(t *testing.T) {
	m, ctx := tokenstore.NewMemory(), t.Context()
	for _, size := range []int{8, tokenstore.Room - 8, tokenstore.Room, tokenstore.Room + 8, 10 * tokenstore.Room} {
		discarded := tokenstore.Record{Key: numbered(2 * size), Expires: epoch.Add(time.Hour), Data: []byte(strings.Repeat("a secret", size/8))}
		expired := discarded
		expired.Key = numbered(2*size + 1)
		require.NoError(t, m.Commit(ctx, epoch, tokenstore.Batch{Put: []tokenstore.Record{discarded, expired}}))
		child := tokenstore.Record{Key: numbered(-size), Ancestors: []tokenstore.Key{discarded.Key, expired.Key}, Expires: epoch.Add(9 * time.Hour)}
		require.NoError(t, m.Commit(ctx, epoch, tokenstore.Batch{Put: []tokenstore.Record{child}}))
		require.True(t, strings.Contains(strings.Join(m.Dump(), ""), "a secret"))
		require.NoError(t, m.Discard(ctx, tokenstore.Batch{Put: []tokenstore.Record{discarded}}))
	}
	for range 20 {
		_, err := m.Get(ctx, epoch.Add(2*time.Hour), numbered(0))
		require.ErrorIs(t, err, tokenstore.ErrUnknown)
	}
	require.Equal(t, 15, m.Entries())
	require.False(t, strings.Contains(strings.Join(m.Dump(), ""), "a secret"))
}

// A key that was made from before it got a record leaves nothing behind either.
func TestLateRecord(t *testing.T) {
	m, ctx := tokenstore.NewMemory(), t.Context()
	child := tokenstore.Record{Key: numbered(1), Ancestors: []tokenstore.Key{numbered(0)}, Expires: epoch.Add(time.Hour)}
	require.NoError(t, m.Commit(ctx, epoch, tokenstore.Batch{Put: []tokenstore.Record{child},
		Spend: []tokenstore.Mark{{Key: numbered(0), Until: epoch.Add(time.Hour)}}}))
	late := tokenstore.Record{Key: numbered(0), Expires: epoch.Add(time.Minute)}
	require.NoError(t, m.Commit(ctx, epoch, tokenstore.Batch{Put: []tokenstore.Record{late}}))
	require.Equal(t, 1, m.Marks())
	for range 20 {
		_, err := m.Get(ctx, epoch.Add(3*time.Hour), numbered(2))
		require.ErrorIs(t, err, tokenstore.ErrUnknown)
	}
	require.Zero(t, m.Entries()+m.Marks()+m.Buckets())
}

// However many tokens come and go, the memory keeps about those that are live: writes forget faster than they add.
func TestMemoryIsBounded(t *testing.T) {
	m, now, most := tokenstore.NewMemory(), epoch, 0
	for i := range 40000 {
		now = now.Add(time.Second)
		parents := []tokenstore.Key{numbered(1e6 + i), numbered(2e6 + i)}
		r := tokenstore.Record{Key: numbered(i), Ancestors: parents, Owner: numbered(3e6 + i), Expires: now.Add(10 * time.Minute)}
		require.NoError(t, m.Commit(t.Context(), now, tokenstore.Batch{Put: []tokenstore.Record{r}, Spend: []tokenstore.Mark{{Key: parents[0], Until: now.Add(time.Minute)}}}))
		if i%1000 == 0 {
			most = max(most, m.Entries(), m.Owners()*3, m.Marks()*3)
		}
	}
	live := 3 * 600
	require.Less(t, most, live+3*200, "live ones, and those that linger in a bucket")
}

// No call takes long because everything else has expired at once: each does a small, fixed amount of work, and yet all of
// it gets done. The clock says nothing here, where other things happen on the machine; BenchmarkPause asks it.
func TestNoPauseFromSweeping(t *testing.T) {
	const n = 50_000
	m, ctx := tokenstore.NewMemory(), t.Context()
	fill(t, m, n, epoch.Add(time.Hour))
	now, calls := epoch.Add(2*time.Hour), 0
	for i := 0; m.Entries() > i; i++ {
		had := m.Entries()
		r := tokenstore.Record{Key: numbered(n + i), Expires: now.Add(time.Hour)}
		require.NoError(t, m.Commit(ctx, now, tokenstore.Batch{Put: []tokenstore.Record{r}}))
		between := m.Entries()
		_, err := m.Get(ctx, now, r.Key)
		require.NoError(t, err)
		require.LessOrEqual(t, had-between, 10)
		require.LessOrEqual(t, between-m.Entries(), 2)
		calls++
	}
	require.Less(t, calls, n/8)
	for i := range calls {
		_, err := m.Get(ctx, now, numbered(n+i))
		require.NoError(t, err, "what is live stays")
	}
}

// What must be remembered until a fraction of a second is remembered until the whole one.
func TestFractionOfAMark(t *testing.T) {
	m, ctx := tokenstore.NewMemory(), t.Context()
	mark := tokenstore.Mark{Key: numbered(1), Until: epoch.Add(time.Millisecond)}
	spend := func(now time.Time) error {
		mark.Until = now.Add(time.Millisecond)
		return m.Commit(ctx, now, tokenstore.Batch{Spend: []tokenstore.Mark{mark}})
	}
	require.NoError(t, spend(epoch))
	require.ErrorIs(t, spend(epoch.Add(tokenstore.Linger)), tokenstore.ErrSpent)
	require.NoError(t, spend(epoch.Add(tokenstore.Linger+time.Second)))
}

// Entries that share a hash, by somebody's long search, are still entries of their own.
func TestSharedHash(t *testing.T) {
	m, ctx := tokenstore.NewMemory(), t.Context()
	var keys []tokenstore.Key
	for i := range 6 {
		k := numbered(0)
		k[31] = byte(i)
		keys = append(keys, k)
		r := tokenstore.Record{Key: k, Owner: k, Expires: epoch.Add(time.Duration(1+(i*5)%6) * time.Hour), Data: []byte{byte(i)}}
		require.NoError(t, m.Commit(ctx, epoch, tokenstore.Batch{Put: []tokenstore.Record{r}}))
	}
	for hours := range 8 {
		now := epoch.Add(time.Duration(hours) * time.Hour)
		live := 0
		for i, k := range keys {
			r, err := m.Get(ctx, now.Add(-time.Second), k)
			list, _, failed := m.List(ctx, now.Add(-time.Second), k, tokenstore.Key{}, 10)
			require.NoError(t, failed)
			if (i*5)%6+1 >= hours {
				require.NoError(t, err)
				require.Equal(t, []byte{byte(i)}, r.Data)
				require.Len(t, list, 1)
				live++
			} else {
				require.ErrorIs(t, err, tokenstore.ErrUnknown)
				require.Empty(t, list)
			}
		}
		later := now.Add(3 * time.Minute)
		for range 20 {
			_, _ = m.Get(ctx, later, numbered(1))
		}
		require.LessOrEqual(t, m.Entries(), live)
	}
	slices.Reverse(keys)
	require.Zero(t, m.Entries()+m.Owners())
}

// What is known of a key is small, and where it never had a record it is smaller. A row is four cache lines.
func TestEntrySize(t *testing.T) {
	require.EqualValues(t, 56, tokenstore.EntrySize)
	require.EqualValues(t, 256, tokenstore.RowSize)
}
