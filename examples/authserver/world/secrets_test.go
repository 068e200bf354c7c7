package world

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
)

// hashOf returns a hash of the given cost.
func hashOf(t *testing.T, secret string, cost int) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(secret), cost)
	require.NoError(t, err)
	return string(hash)
}

// The same work takes the same time.
func TestSecrets_SameTime(t *testing.T) {
	const cost = 7
	h, err := newHashes([]string{hashOf(t, "cheap", bcrypt.MinCost), hashOf(t, "dear", cost), ""})
	require.NoError(t, err)
	median := func(hash string) time.Duration {
		var list []time.Duration
		for range 5 {
			began := time.Now()
			require.False(t, h.Match(hash, "wrong"))
			list = append(list, time.Since(began))
		}
		slices.Sort(list)
		return list[len(list)/2]
	}
	dear := median(hashOf(t, "dear", cost))
	for _, hash := range []string{"", hashOf(t, "cheap", bcrypt.MinCost)} {
		ratio := float64(median(hash)) / float64(dear)
		require.Less(t, max(ratio, 1/ratio), 4.0, "%q takes %.2f times as long", hash, ratio)
	}
}

// A hash matches its secret and nothing else, whatever the other costs are.
func TestSecrets_Match(t *testing.T) {
	long := strings.Repeat("s", longestSecret)
	for _, highest := range []int{bcrypt.MinCost, 6} {
		cheap, dear := hashOf(t, long, bcrypt.MinCost), hashOf(t, "dear", highest)
		h, err := newHashes([]string{"", cheap, dear})
		require.NoError(t, err)
		for i, row := range []struct {
			hash, secret string
			want         bool
		}{
			{cheap, long, true}, {dear, "dear", true},
			{cheap, long + "s", false}, {cheap, "dear", false}, {dear, long, false},
			{dear, "", false}, {"", "", false}, {"", "dummy", false}, {"dear", "dear", false},
			{dear[:20], "dear", false},
		} {
			require.Equal(t, row.want, h.Match(row.hash, row.secret), fmt.Sprint(highest, i))
		}
	}
	h, err := newHashes(nil)
	require.NoError(t, err)
	require.False(t, h.Match("", "dummy"))
}
