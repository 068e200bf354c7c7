package tokenstore_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/tokenstore"
	"github.com/go-tokenexchange/tokenexchange/tokenstore/storetest"
)

// These tests see what a Memory has removed by asking for it at an earlier time, as a machine does
// whose clock is behind: an expired record that is still there is live for that machine.

var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func testKey(i int) tokenstore.Key { return tokenstore.KeyOf("test", "", fmt.Sprint(i)) }

func TestMemory(t *testing.T) {
	storetest.Run(t, func(*testing.T) tokenstore.Store { return &tokenstore.Memory{} })
}

// commit commits one batch, which must succeed.
func commit(t *testing.T, m *tokenstore.Memory, now time.Time, b tokenstore.Batch) {
	t.Helper()
	require.NoError(t, m.Commit(t.Context(), now, b))
}

// put commits one record without a mark.
func put(t *testing.T, m *tokenstore.Memory, now time.Time, r tokenstore.Record) {
	t.Helper()
	commit(t, m, now, tokenstore.Batch{Put: []tokenstore.Record{r}})
}

// fill commits n records that expire at the same time and belong to a hundred owners.
func fill(t *testing.T, m *tokenstore.Memory, n int, expires time.Time) {
	for i := range n {
		put(t, m, epoch, tokenstore.Record{Key: testKey(i), Owner: testKey(-1 - i%100),
			Expires: expires, Data: []byte("data")})
	}
}

// sweep calls Get for an unknown key, so that m removes what has expired.
func sweep(t *testing.T, m *tokenstore.Memory, now time.Time, calls int) {
	for range calls {
		_, err := m.Get(t.Context(), now, testKey(-1000))
		require.ErrorIs(t, err, tokenstore.ErrUnknown)
	}
}

// kept counts how many of the first n test keys have a record at the time now.
func kept(t *testing.T, m *tokenstore.Memory, now time.Time, n int) (records int) {
	for i := range n {
		if _, err := m.Get(t.Context(), now, testKey(i)); err == nil {
			records++
		}
	}
	return records
}

// Expired records, marks and tombstones are removed, each in its time and a few with each call.
func TestMemory_RemovesWhatHasExpired(t *testing.T) {
	m, ctx := tokenstore.NewMemory(), t.Context()
	const n, parent, spent, revoked, child = 5000, 0, 1, 2, 5000
	fill(t, m, n, epoch.Add(time.Hour))
	mark := tokenstore.Mark{Key: testKey(spent), Until: epoch.Add(2 * time.Hour)}
	commit(t, m, epoch, tokenstore.Batch{
		Put: []tokenstore.Record{{Key: testKey(child), Ancestors: []tokenstore.Key{testKey(parent)},
			Expires: epoch.Add(3 * time.Hour)}},
		Spend: []tokenstore.Mark{mark},
	})
	get := func(i int) error {
		_, err := m.Get(ctx, epoch, testKey(i))
		return err
	}
	spend := func() error {
		return m.Commit(ctx, epoch, tokenstore.Batch{Spend: []tokenstore.Mark{mark}})
	}

	sweep(t, m, epoch.Add(time.Hour+tokenstore.Linger-time.Second), n)
	require.Equal(t, n, kept(t, m, epoch, n), "no record is removed before its time")
	require.NoError(t, m.Revoke(ctx, epoch, testKey(revoked), epoch.Add(3*time.Hour)))

	now := epoch.Add(time.Hour + tokenstore.Linger)
	sweep(t, m, now, 100)
	require.InDelta(t, n-200, kept(t, m, epoch, n), 1, "a call to Get removes two")
	sweep(t, m, now, n)
	require.Zero(t, kept(t, m, epoch, n))
	for owner := range 100 {
		page, _, err := m.List(ctx, epoch, testKey(-1-owner), tokenstore.Key{}, 10)
		require.NoError(t, err)
		require.Empty(t, page)
	}
	require.NoError(t, get(child))
	require.ErrorIs(t, spend(), tokenstore.ErrSpent)
	require.ErrorIs(t, get(revoked), tokenstore.ErrRevoked)

	sweep(t, m, epoch.Add(2*time.Hour+tokenstore.Linger), 10)
	require.NoError(t, spend(), "the mark is removed")
	require.NoError(t, get(child))
	require.ErrorIs(t, get(revoked), tokenstore.ErrRevoked)

	sweep(t, m, epoch.Add(3*time.Hour+tokenstore.Linger), 10)
	require.ErrorIs(t, get(child), tokenstore.ErrUnknown)
	require.ErrorIs(t, get(revoked), tokenstore.ErrUnknown, "the tombstone is removed")
}

// No call removes many entries, even where all expire at once, and after some calls none is left.
func TestMemory_NoCallRemovesMany(t *testing.T) {
	const n = 20_000
	m := tokenstore.NewMemory()
	fill(t, m, n, epoch.Add(time.Hour))
	now := epoch.Add(2 * time.Hour)
	left := n
	for i := range n / 8 {
		put(t, m, now, tokenstore.Record{Key: testKey(n + i), Expires: now.Add(time.Hour)})
		if i%100 == 99 {
			before := left
			left = kept(t, m, epoch, n)
			require.LessOrEqual(t, before-left, 100*10)
		}
	}
	require.Zero(t, left)
	for i := range n / 8 {
		_, err := m.Get(t.Context(), now, testKey(n+i))
		require.NoError(t, err, "a live record is not removed")
	}
}

// However many tokens come and go, a Memory keeps about as many as are live at one time, even where
// batches are large.
func TestMemory_Bounded(t *testing.T) {
	m, ctx := tokenstore.NewMemory(), t.Context()
	const batches, records, lifetime = 4000, 5, 10 * time.Minute
	record := func(i int) tokenstore.Record {
		return tokenstore.Record{Key: testKey(i), Owner: testKey(3e6 + i),
			Ancestors: []tokenstore.Key{testKey(1e6 + i), testKey(2e6 + i)},
			Expires:   epoch.Add(time.Duration(i/records)*time.Second + lifetime)}
	}
	mark := func(i int, now time.Time) tokenstore.Mark {
		return tokenstore.Mark{Key: testKey(1e6 + i), Until: now.Add(time.Minute)}
	}
	for batch := range batches {
		var b tokenstore.Batch
		now := epoch.Add(time.Duration(batch) * time.Second)
		for i := range records {
			b.Put = append(b.Put, record(batch*records+i))
			b.Spend = append(b.Spend, mark(batch*records+i, now))
		}
		commit(t, m, now, b)
	}
	var kept, listed, marks int
	for i := range batches * records {
		r := record(i)
		live := r.Expires.Add(-time.Second)
		if _, err := m.Get(ctx, live, r.Key); err == nil {
			kept++
		}
		page, _, err := m.List(ctx, live, r.Owner, tokenstore.Key{}, 1)
		require.NoError(t, err)
		listed += len(page)
		b := tokenstore.Batch{Spend: []tokenstore.Mark{mark(i, live)}}
		if m.Commit(ctx, live, b) != nil {
			marks++
		}
	}
	want := records * int((lifetime+tokenstore.Linger)/time.Second)
	require.InDelta(t, want, kept, 2*records)
	require.InDelta(t, want, listed, 2*records)
	require.InDelta(t, want, marks, 2*records)
}

// The memory of records that have expired or are discarded is freed, even where their keys must
// still be known because other records were made from them.
func TestMemory_FreesMemory(t *testing.T) {
	heap := func() int {
		runtime.GC()
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return int(stats.HeapAlloc)
	}
	for name, c := range map[string]struct {
		records, data int
		children      bool
		end           func(*tokenstore.Memory, tokenstore.Record)
	}{
		"many records expire": {records: 100_000},
		"large records with children expire": {records: 200, data: 64 << 10,
			children: true},
		"large records with children are discarded": {records: 200, data: 64 << 10, children: true,
			end: func(m *tokenstore.Memory, r tokenstore.Record) {
				b := tokenstore.Batch{Put: []tokenstore.Record{{Key: r.Key}}}
				require.NoError(t, m.Discard(t.Context(), b))
			}},
	} {
		t.Run(name, func(t *testing.T) {
			m := tokenstore.NewMemory()
			before := heap()
			for i := range c.records {
				r := tokenstore.Record{Key: testKey(i), Owner: testKey(-i),
					Expires: epoch.Add(time.Hour), Data: make([]byte, c.data)}
				put(t, m, epoch, r)
				if c.children {
					put(t, m, epoch, tokenstore.Record{Key: testKey(1e6 + i),
						Ancestors: []tokenstore.Key{r.Key}, Expires: epoch.Add(9 * time.Hour)})
				}
			}
			full := heap() - before
			if c.end != nil {
				for i := range c.records {
					c.end(m, tokenstore.Record{Key: testKey(i)})
				}
			} else {
				sweep(t, m, epoch.Add(2*time.Hour), c.records)
			}
			left := heap() - before
			t.Logf("%d of %d bytes are left", left, full)
			require.Less(t, left, full*2/5)
			runtime.KeepAlive(m)
		})
	}
}

// A record that is put under a key that is known already expires like any other.
func TestMemory_LateRecord(t *testing.T) {
	m, ctx := tokenstore.NewMemory(), t.Context()
	key, child := testKey(0), testKey(1)
	spend := tokenstore.Batch{Spend: []tokenstore.Mark{{Key: key, Until: epoch.Add(time.Hour)}}}
	put(t, m, epoch, tokenstore.Record{Key: child, Ancestors: []tokenstore.Key{key},
		Expires: epoch.Add(time.Hour)})
	commit(t, m, epoch, spend)
	put(t, m, epoch, tokenstore.Record{Key: key, Expires: epoch.Add(time.Minute)})

	sweep(t, m, epoch.Add(30*time.Minute), 5)
	_, err := m.Get(ctx, epoch, key)
	require.ErrorIs(t, err, tokenstore.ErrUnknown, "the record is removed")
	require.ErrorIs(t, m.Commit(ctx, epoch, spend), tokenstore.ErrSpent)

	sweep(t, m, epoch.Add(2*time.Hour), 5)
	_, err = m.Get(ctx, epoch, child)
	require.ErrorIs(t, err, tokenstore.ErrUnknown)
	commit(t, m, epoch, spend)
}

// A mark with a fraction of a second in Until is kept to the end of that second.
func TestMemory_FractionOfAMark(t *testing.T) {
	m := tokenstore.NewMemory()
	spend := func(now time.Time) error {
		mark := tokenstore.Mark{Key: testKey(1), Until: now.Add(time.Millisecond)}
		return m.Commit(t.Context(), now, tokenstore.Batch{Spend: []tokenstore.Mark{mark}})
	}
	require.NoError(t, spend(epoch))
	require.ErrorIs(t, spend(epoch.Add(tokenstore.Linger)), tokenstore.ErrSpent)
	require.NoError(t, spend(epoch.Add(tokenstore.Linger+time.Second)))
}

// A key can be put again once its record has expired, before the expired record is removed.
func TestMemory_KeyIsPutAgain(t *testing.T) {
	m, ctx := tokenstore.NewMemory(), t.Context()
	const n = 1000
	fill(t, m, n, epoch.Add(time.Hour))
	now := epoch.Add(2 * time.Hour)
	for i := n - 1; i >= n-10; i-- {
		put(t, m, now, tokenstore.Record{Key: testKey(i), Owner: testKey(-1000),
			Expires: now.Add(time.Hour)})
		old, _, err := m.List(ctx, now, testKey(-1-i%100), tokenstore.Key{}, 100)
		require.NoError(t, err)
		require.Empty(t, old, "the key has another owner now")
	}
	sweep(t, m, now, n)
	page, _, err := m.List(ctx, now, testKey(-1000), tokenstore.Key{}, 100)
	require.NoError(t, err)
	require.Len(t, page, 10)
}
