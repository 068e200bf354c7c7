package pathtest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// walkSeed walks the path of one seed.
func walkSeed(seed uint64) (*walk, error) {
	w := newWorld(seed)
	wk := &walk{world: w, plan: w.plan(), counts: map[pair]int{}, attacked: map[string]int{}}
	rules := w.policyFor(wk.plan)
	if err := w.setRules(rules); err != nil {
		return wk, err
	}
	for _, s := range wk.steps {
		if s.rule.Name == "" { // a refresh: under the rule of its grant
			continue
		}
		s.rule = w.rules[s.rule.Name]
	}
	err := wk.run()
	if view := (viewError{}); errors.As(err, &view) {
		wk.broken, err = append(wk.broken, &violation{clause: "view", text: view.Error()}), nil
	}
	return wk, err
}

// tally is what all paths together have come to.
type tally struct {
	sync.Mutex
	paths, granted int
	counts         map[pair]int
	attacked       map[string]int
	broken         map[string]int
	ways           map[string]int
	stops          map[string]int
	shortest       map[string]*walk // by clause
	seeds          map[string]uint64
	hops           map[string]int // how few were needed
	failures       []string
}

func (t *tally) add(seed uint64, wk *walk, err error) {
	t.Lock()
	defer t.Unlock()
	t.paths++
	t.granted += wk.granted
	if wk.stopped != "" {
		t.stops[wk.stopped]++
	}
	for p, n := range wk.counts {
		t.counts[p] += n
	}
	for a, n := range wk.attacked {
		t.attacked[a] += n
	}
	if err != nil {
		t.failures = append(t.failures, fmt.Sprintf("seed %d: %v", seed, err))
	}
	for _, v := range wk.broken {
		t.broken[v.clause]++
		t.ways[v.clause+": "+v.kinds]++
		old, there := t.hops[v.clause]
		if !there || v.hops < old || v.hops == old && seed < t.seeds[v.clause] {
			t.hops[v.clause], t.shortest[v.clause], t.seeds[v.clause] = v.hops, wk, seed
		}
	}
}

const (
	pathsInCI   = 46000
	leastHops   = 100000
	leastOfPair = 500
)

// TestI13_Path is the path property: whatever is granted on a path, no token gives more than any
// token before it allowed. TOKENEXCHANGE_PATHS is how many paths to walk, TOKENEXCHANGE_PATH is the
// seed of one to show.
func TestI13_Path(t *testing.T) {
	if seed, err := strconv.ParseUint(os.Getenv("TOKENEXCHANGE_PATH"), 10, 64); err == nil {
		wk, err := walkSeed(seed)
		t.Log(wk.show(seed))
		require.NoError(t, err)
		require.Empty(t, wk.broken)
		return
	}
	paths := pathsInCI / slower
	if n, err := strconv.Atoi(os.Getenv("TOKENEXCHANGE_PATHS")); err == nil {
		paths = n
	}
	all := &tally{counts: map[pair]int{}, attacked: map[string]int{}, broken: map[string]int{},
		ways: map[string]int{}, stops: map[string]int{},
		shortest: map[string]*walk{}, seeds: map[string]uint64{}, hops: map[string]int{}}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // each path leaves all of its host behind
	var next atomic.Uint64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for seed := next.Add(1); seed <= uint64(paths); seed = next.Add(1) {
				wk, err := walkSeed(seed)
				all.add(seed, wk, err)
			}
		})
	}
	workers.Wait()
	t.Logf("%d paths, %d granted second or later hops\n%s", all.paths, all.granted, all.table())
	for _, a := range slices.Sorted(maps.Keys(all.attacked)) {
		t.Logf("%s: %d", a, all.attacked[a])
	}
	for _, clause := range slices.Sorted(maps.Keys(all.broken)) {
		t.Errorf("the clause %q is broken on %d paths, first after %d hops:\n%s", clause,
			all.broken[clause],
			all.hops[clause], all.shortest[clause].show(all.seeds[clause]))
	}
	if t.Failed() {
		t.Logf("the ways on which a limit was lost:\n%s", list(all.ways))
	}
	if testing.Verbose() {
		t.Logf("why paths have ended early:\n%s", list(all.stops))
	}
	for i, failure := range all.failures {
		if i < 10 {
			t.Error(failure)
		}
	}
	if paths < pathsInCI {
		return // too few to count
	}
	require.GreaterOrEqual(t, all.granted, leastHops, "granted second or later hops")
	for _, kind := range madeKinds {
		for _, mode := range modesFor(kind) {
			require.GreaterOrEqual(t, all.counts[pair{kind, mode}], leastOfPair, "%s, then %s",
				kind, mode)
		}
	}
	require.Positive(t, all.attacked["login after the end, granted"],
		"a login after the end of a delegation")
}

// TestSameSeedSamePath: a failure can be looked at again.
func TestSameSeedSamePath(t *testing.T) {
	for seed := range uint64(100) {
		once, err := walkSeed(seed)
		require.NoError(t, err)
		again, err := walkSeed(seed)
		require.NoError(t, err)
		require.Equal(t, once.logs, again.logs, "seed %d", seed)
	}
}

// show is a path in words.
func (wk *walk) show(seed uint64) string {
	host := "JWTs alone"
	if wk.stored {
		host = "a store"
	}
	alice := wk.people["alice"]
	policy, _ := json.Marshal(wk.policy)
	return fmt.Sprintf("seed %d, a host with %s, alice of %q may hand on %q, "+
		"organisations %q, until %v\n", seed, host, alice.Tenant, alice.Scope, alice.Tenants,
		alice.Until) +
		fmt.Sprintf("policy %s\nhooks %v\n%s", policy, wk.hooked, strings.Join(wk.logs, "\n"))
}

var (
	madeKinds = []made{opaque, signed, embedded, idToken, idBeside, refresh, ticket, session}
	allModes  = []tx.Mode{tx.Narrow, tx.Impersonate, tx.Delegate, tx.ClientActs, modeRefresh}
)

// table is how often each mode has followed each kind of token.
func (t *tally) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-22s", "made, then")
	for _, mode := range allModes {
		fmt.Fprintf(&b, "%17s", mode)
	}
	for _, kind := range madeKinds {
		fmt.Fprintf(&b, "\n%-22s", kind)
		for _, mode := range allModes {
			n := strconv.Itoa(t.counts[pair{kind, mode}])
			if n == "0" && !slices.Contains(modesFor(kind), mode) {
				n = "impossible"
			}
			fmt.Fprintf(&b, "%17s", n)
		}
	}
	return b.String()
}

// list is the most frequent ones.
func list(counts map[string]int) string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(counts[b]-counts[a], strings.Compare(a, b))
	})
	var b strings.Builder
	for _, name := range names[:min(len(names), 30)] {
		fmt.Fprintf(&b, "%6d  %s\n", counts[name], name)
	}
	return b.String()
}
