package tokenstore_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// The set is compared with a sorted slice, while it grows and shrinks by several blocks.
func TestOrdered(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	o, want := tokenstore.NewOrdered(), []tokenstore.Key(nil)
	compare := func(a, b tokenstore.Key) int { return bytes.Compare(a[:], b[:]) }
	check := func() {
		require.LessOrEqual(t, o.Longest(), tokenstore.MaxBlock)
		require.Positive(t, o.Shortest())
		for range 10 {
			k, n := numbered(random.IntN(1e6)), 1+random.IntN(700)
			if len(want) > 0 && random.IntN(2) == 0 {
				k = want[random.IntN(len(want))]
			}
			begin, found := slices.BinarySearchFunc(want, k, compare)
			if found {
				begin++
			}
			end := min(begin+n, len(want))
			keys, more := o.After(k, n)
			require.Equal(t, want[begin:end], append([]tokenstore.Key{}, keys...))
			require.Equal(t, end < len(want), more)
		}
	}
	for _, grow := range []int{90, 50, 10, 90, 0} { // percent
		for i := 0; i < 6000 && (grow > 0 || len(want) > 0); i++ {
			if random.IntN(100) < grow || len(want) == 0 {
				k := numbered(random.IntN(1e9))
				at, there := slices.BinarySearchFunc(want, k, compare)
				if there {
					continue
				}
				o.Add(k)
				want = slices.Insert(want, at, k)
			} else {
				at := random.IntN(len(want))
				o.Remove(want[at])
				want = slices.Delete(want, at, at+1)
			}
			if i%500 == 0 {
				check()
			}
		}
	}
	for len(want) > 0 {
		o.Remove(want[0])
		want = want[1:]
	}
	require.Zero(t, o.Blocks())
	keys, more := o.After(tokenstore.Key{}, 1)
	require.Empty(t, keys)
	require.False(t, more)
}

// owners is a Memory with an owner who has so many records, and another who has few.
func owners(t *testing.T, n int) (m *tokenstore.Memory, many, few tokenstore.Key) {
	m, many, few = tokenstore.NewMemory(), numbered(-1), numbered(-2)
	put := func(owner tokenstore.Key, n int) {
		var b tokenstore.Batch
		for i := range n {
			b.Put = append(b.Put, tokenstore.Record{
				Key: tokenstore.KeyOf("test", string(owner[:]), fmt.Sprint(i)), Owner: owner,
				Expires: epoch.Add(time.Hour), Data: make([]byte, 135)})
			if len(b.Put) == 500 || i == n-1 {
				require.NoError(t, m.Commit(t.Context(), epoch, b))
				b.Put = nil
			}
		}
	}
	put(many, n)
	put(few, 20)
	return m, many, few
}

func TestListOfMany(t *testing.T) {
	m, many, few := owners(t, 300_000)
	t.Run("other calls go on", func(t *testing.T) { otherCallsGoOn(t, m, many) })
	t.Run("a page in the middle", func(t *testing.T) { pageInTheMiddle(t, m, many, few) })
}

// A list of 300,000 tokens of one owner does not hold up other calls: the longest that another
// call waits is a small part of the time that the whole list takes. Where one call reads the whole
// list under the lock, it is nearly all of that time. The best of several rounds counts, since the
// machine may be doing other things too.
func otherCallsGoOn(t *testing.T, m *tokenstore.Memory, many tokenstore.Key) {
	best := 1.0
	for range 5 {
		done := make(chan time.Duration)
		go func() {
			begin, n := time.Now(), 0
			for after := (tokenstore.Key{}); ; {
				page, next, err := m.List(t.Context(), epoch, many, after, tokenstore.MaxPage)
				if n += len(page); err != nil || next == (tokenstore.Key{}) {
					break
				}
				after = next
			}
			if n != 300_000 {
				t.Errorf("%d records are listed", n)
			}
			done <- time.Since(begin)
		}()
		var longest, all time.Duration
		for all == 0 {
			begin := time.Now()
			_, err := m.Get(t.Context(), epoch, numbered(0))
			longest = max(longest, time.Since(begin))
			require.ErrorIs(t, err, tokenstore.ErrUnknown)
			select {
			case all = <-done:
			default:
			}
		}
		best = min(best, float64(longest)/float64(all))
	}
	t.Logf("the longest wait was %.3f of the time of the list", best)
	require.Less(t, best, 0.25)
}

// A page in the middle of many records takes about as long as a page of few of the same length.
func pageInTheMiddle(t *testing.T, m *tokenstore.Memory, many, few tokenstore.Key) {
	median := func(owner tokenstore.Key) float64 {
		var times []time.Duration
		for range 301 {
			after := numbered(rand.Int())
			if owner == few {
				after = tokenstore.Key{}
			}
			begin := time.Now()
			page, _, err := m.List(t.Context(), epoch, owner, after, 20)
			times = append(times, time.Since(begin))
			require.NoError(t, err)
			require.NotEmpty(t, page)
		}
		slices.Sort(times)
		return float64(times[len(times)/2])
	}
	ratio := median(many) / median(few)
	t.Logf("%.1f times as long", ratio)
	require.Less(t, ratio, 30.0, "1,000 times as long where a page walks through those before it")
}
