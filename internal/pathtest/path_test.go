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
		if s.rule.Name == "" { // a refresh uses the rule of its grant
			continue
		}
		s.rule = w.rules[s.rule.Name]
	}
	err := wk.run()
	if view := (viewError{}); errors.As(err, &view) {
		wk.violations, err = append(wk.violations,
			&violation{clause: "view", text: view.Error()}), nil
	}
	return wk, err
}

// tally counts the results of all paths.
type tally struct {
	sync.Mutex
	paths, granted int
	counts         map[pair]int
	attacked       map[string]int
	violations     map[string]int
	kindPaths      map[string]int
	refusals       map[string]int
	shortest       map[string]*walk // by clause
	seeds          map[string]uint64
	hops           map[string]int // fewest hops before a violation, by clause
	failures       []string
}

func (t *tally) add(seed uint64, wk *walk, err error) {
	t.Lock()
	defer t.Unlock()
	t.paths++
	t.granted += wk.granted
	if wk.lastRefusal != "" {
		t.refusals[wk.lastRefusal]++
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
	for _, v := range wk.violations {
		t.violations[v.clause]++
		t.kindPaths[v.clause+": "+v.kinds]++
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

// TestI13_Path tests the path property: no token of a path allows more than an earlier token of the
// path. The package comment describes TOKENEXCHANGE_PATHS and TOKENEXCHANGE_PATH.
func TestI13_Path(t *testing.T) {
	if seed, err := strconv.ParseUint(os.Getenv("TOKENEXCHANGE_PATH"), 10, 64); err == nil {
		wk, err := walkSeed(seed)
		t.Log(wk.show(seed))
		require.NoError(t, err)
		require.Empty(t, wk.violations)
		return
	}
	paths := pathsInCI / slower
	if n, err := strconv.Atoi(os.Getenv("TOKENEXCHANGE_PATHS")); err == nil {
		paths = n
	}
	all := &tally{counts: map[pair]int{}, attacked: map[string]int{}, violations: map[string]int{},
		kindPaths: map[string]int{}, refusals: map[string]int{},
		shortest: map[string]*walk{}, seeds: map[string]uint64{}, hops: map[string]int{}}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // each path allocates a whole host
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
	for _, clause := range slices.Sorted(maps.Keys(all.violations)) {
		t.Errorf("the clause %q is violated on %d paths, at least after %d hops:\n%s", clause,
			all.violations[clause],
			all.hops[clause], all.shortest[clause].show(all.seeds[clause]))
	}
	if t.Failed() {
		t.Logf("the kinds of tokens between the limit and the violation:\n%s",
			mostFrequent(all.kindPaths))
	}
	if testing.Verbose() {
		t.Logf("the refusals that ended a path early:\n%s", mostFrequent(all.refusals))
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
		"no login after the end of a delegation was granted")
}

// TestSameSeedSamePath checks that a seed determines its path, so that a failure can be repeated.
func TestSameSeedSamePath(t *testing.T) {
	for seed := range uint64(100) {
		once, err := walkSeed(seed)
		require.NoError(t, err)
		again, err := walkSeed(seed)
		require.NoError(t, err)
		require.Equal(t, once.logs, again.logs, "seed %d", seed)
	}
}

// show describes a path.
func (wk *walk) show(seed uint64) string {
	host := "JWTs only"
	if wk.stored {
		host = "a store"
	}
	alice := wk.people["alice"]
	policy, _ := json.Marshal(wk.policy)
	return fmt.Sprintf("seed %d, a host with %s, alice of %q can delegate %q, "+
		"organisations %q, until %v\n", seed, host, alice.Tenant, alice.Scope, alice.Tenants,
		alice.Until) +
		fmt.Sprintf("policy %s\nhooks %v\n%s", policy, wk.hookResults, strings.Join(wk.logs, "\n"))
}

var (
	madeKinds = []tokenKind{opaque, signed, embedded, idToken, addedIDToken, refresh, ticket,
		session}
	allModes = []tx.Mode{tx.Narrow, tx.Impersonate, tx.Delegate, tx.ClientActs, modeRefresh}
)

// table shows how often a hop of each mode began with each kind of token.
func (t *tally) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-22s", "token kind")
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

// mostFrequent lists the names with the highest counts.
func mostFrequent(counts map[string]int) string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(counts[b]-counts[a], strings.Compare(a, b))
	})
	var b strings.Builder
	for _, name := range names[:min(len(names), 30)] {
		fmt.Fprintf(&b, "%6d  %s\n", counts[name], name)
	}
	return b.String()
}
