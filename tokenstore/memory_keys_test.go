package tokenstore_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// The pages of one owner are compared with a sorted slice, while records come and go by thousands.
func TestMemory_ListOfOwnerThatGrowsAndShrinks(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	m, owner, want := tokenstore.NewMemory(), testKey(-1), []tokenstore.Key{}
	compare := func(a, b tokenstore.Key) int { return bytes.Compare(a[:], b[:]) }
	check := func() {
		for range 10 {
			after, limit := testKey(random.IntN(1e6)), 1+random.IntN(tokenstore.MaxPage)
			if len(want) > 0 && random.IntN(2) == 0 {
				after = want[random.IntN(len(want))]
			}
			page, next, err := m.List(t.Context(), epoch, owner, after, limit)
			require.NoError(t, err)
			keys := []tokenstore.Key{}
			for _, r := range page {
				keys = append(keys, r.Key)
			}
			begin, found := slices.BinarySearchFunc(want, after, compare)
			if found {
				begin++
			}
			end := min(begin+limit, len(want))
			require.Equal(t, want[begin:end], keys)
			require.Equal(t, end < len(want), next != tokenstore.Key{})
		}
	}
	for _, grow := range []int{90, 50, 10, 90, 0} { // percent of the changes that add a record
		for i := 0; i < 4000 || grow == 0 && len(want) > 0; i++ {
			if random.IntN(100) < grow {
				k := testKey(random.IntN(1e9))
				at, found := slices.BinarySearchFunc(want, k, compare)
				if found {
					continue
				}
				put(t, m, epoch, tokenstore.Record{Key: k, Owner: owner,
					Expires: epoch.Add(time.Hour)})
				want = slices.Insert(want, at, k)
			} else if len(want) > 0 {
				at := random.IntN(len(want))
				b := tokenstore.Batch{Put: []tokenstore.Record{{Key: want[at]}}}
				require.NoError(t, m.Discard(t.Context(), b))
				want = slices.Delete(want, at, at+1)
			}
			if i%500 == 0 {
				check()
			}
		}
	}
	check()
	require.Empty(t, want)
}

func TestMemory_ListOfLargeOwner(t *testing.T) {
	const n = 100_000
	m, large, small := tokenstore.NewMemory(), testKey(-1), testKey(-2)
	for i := range n + 20 {
		owner := large
		if i >= n {
			owner = small
		}
		put(t, m, epoch, tokenstore.Record{Key: testKey(i), Owner: owner,
			Expires: epoch.Add(time.Hour), Data: make([]byte, 135)})
	}
	t.Run("other calls go on", func(t *testing.T) { otherCallsGoOn(t, m, large, n) })
	t.Run("a page in the middle", func(t *testing.T) { pageInTheMiddle(t, m, large, small) })
}

// Reading all pages of a large owner does not hold up other calls: the longest call is a small part
// of the time that all pages take. It is nearly all of that time where one call reads the whole
// list under the lock. The best of several rounds counts, since the machine may be busy.
func otherCallsGoOn(t *testing.T, m *tokenstore.Memory, owner tokenstore.Key, want int) {
	best := 1.0
	for range 5 {
		done := make(chan time.Duration)
		go func() {
			begin, n, after := time.Now(), 0, tokenstore.Key{}
			for {
				page, next, err := m.List(t.Context(), epoch, owner, after, tokenstore.MaxPage)
				n += len(page)
				if err != nil || next == (tokenstore.Key{}) {
					break
				}
				after = next
			}
			if n != want {
				t.Errorf("%d records are listed, the owner has %d", n, want)
			}
			done <- time.Since(begin)
		}()
		var longest, all time.Duration
		for all == 0 {
			begin := time.Now()
			_, err := m.Get(t.Context(), epoch, testKey(-3))
			longest = max(longest, time.Since(begin))
			require.ErrorIs(t, err, tokenstore.ErrUnknown)
			select {
			case all = <-done:
			default:
			}
		}
		best = min(best, float64(longest)/float64(all))
	}
	t.Logf("the longest call was %.3f of the time of all pages", best)
	require.Less(t, best, 0.25)
}

// A page in the middle of a large owner takes about as long as a page of a small owner. It takes
// hundreds of times as long where List walks through the records before the page.
func pageInTheMiddle(t *testing.T, m *tokenstore.Memory, large, small tokenstore.Key) {
	median := func(owner tokenstore.Key, after func() tokenstore.Key) float64 {
		var times []time.Duration
		for range 301 {
			k := after()
			begin := time.Now()
			page, _, err := m.List(t.Context(), epoch, owner, k, 20)
			times = append(times, time.Since(begin))
			require.NoError(t, err)
			require.NotEmpty(t, page)
		}
		slices.Sort(times)
		return float64(times[len(times)/2])
	}
	ratio := median(large, func() tokenstore.Key { return testKey(rand.Int()) }) /
		median(small, func() tokenstore.Key { return tokenstore.Key{} })
	t.Logf("a page of the large owner takes %.1f times as long", ratio)
	require.Less(t, ratio, 30.0)
}
