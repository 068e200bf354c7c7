package corpus

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

const file = "testdata/outcomes.txt"

var update = flag.Bool("update", false, "write "+file+" instead of comparing with it")

// TestOutcomes compares what is decided with what was decided when the corpus was recorded.
func TestOutcomes(t *testing.T) {
	if show := os.Getenv("TOKENEXCHANGE_CORPUS"); show != "" {
		showBlock(t, show)
		return
	}
	if *update {
		require.Equal(t, 1, stride, "-update needs a run without -race")
		var b strings.Builder
		for _, h := range recompute().hashes {
			b.WriteString(h + "\n")
		}
		require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o644))
		return
	}
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	want := strings.Fields(string(data))
	require.Len(t, want, pairs/blockSize)
	var differ []string
	for i, h := range recompute().hashes {
		if n := i * stride; h != want[n] {
			differ = append(differ, strconv.Itoa(n))
		}
	}
	if len(differ) > 0 {
		t.Errorf("%d of %d blocks have other outcomes than recorded. Print the first with\n"+
			"TOKENEXCHANGE_CORPUS=%s go test -run TestOutcomes -v ./internal/corpus\n"+
			"here and in the tree that recorded it, and compare. Blocks: %s",
			len(differ), len(want)/stride, differ[0],
			strings.Join(differ[:min(20, len(differ))], " "))
	}
}

// results are the hashes of the blocks, and how often things happen in them.
type results struct {
	hashes []string
	seen   map[string]int
}

// recompute decides all pairs, once for all tests.
var recompute = sync.OnceValue(func() results {
	r := results{seen: map[string]int{}}
	for n := 0; n < pairs/blockSize; n += stride {
		outcomes := make([]outcome, blockSize)
		for i, p := range block(n) {
			outcomes[i] = decide(p)
			count(r.seen, p, outcomes[i])
		}
		r.hashes = append(r.hashes, hash(outcomes))
	}
	return r
})

func hash(outcomes []outcome) string {
	data, err := json.Marshal(outcomes)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// showBlock prints the pairs of a block and what was decided, one JSON object for each.
func showBlock(t *testing.T, number string) {
	n, err := strconv.Atoi(number)
	require.NoError(t, err)
	require.Less(t, uint(n), uint(pairs/blockSize), "there is no such block")
	for i, p := range block(n) {
		data, err := json.MarshalIndent(struct {
			Pair string `json:"pair"`
			pair
			Outcome outcome `json:"outcome"`
		}{fmt.Sprintf("%d of block %d", i, n), p, decide(p)}, "", "  ")
		require.NoError(t, err)
		fmt.Println(string(data))
	}
}

// TestCorpusReachesEverything counts what happens in the corpus, so that no part of a policy
// is left out.
func TestCorpusReachesEverything(t *testing.T) {
	if stride > 1 || *update {
		t.Skip("counts all pairs")
	}
	const least = 200
	seen := recompute().seen
	for _, name := range wanted() {
		if seen[name] < least {
			t.Errorf("%s: %d times, not %d", name, seen[name], least)
		}
	}
	percent := func(name string) float64 { return 100 * float64(seen[name]) / pairs }
	if p := percent("granted"); p < 35 || p > 55 {
		t.Errorf("%.1f%% are granted, not 35 to 55%%", p)
	}
	if p := percent("rejected"); p < 2 || p > 5 {
		t.Errorf("%.1f%% are rejected, not 2 to 5%%", p)
	}
	for _, name := range wanted() {
		t.Logf("%7d %s", seen[name], name)
	}
}

// wanted lists what must occur.
func wanted() []string {
	list := []string{"granted", "refused", "rejected", "granted by a later rule",
		"granted at a refresh", "granted at the exchange", "granted at another door",
		"granted to a public client", "granted with two or more rules", "granted by a named client",
		"granted with a chain", "granted with may_act", "granted with an ID token",
		"granted with a refresh token", "granted with expansion", "granted as an ID token",
		"granted with a key", "granted with an end", "granted in a tenant", "granted with lineage",
		"granted with empty scope", "granted a name", "granted a ticket", "granted a client's word",
		"granted a foreign token", "granted a refresh token", "refused by a later rule",
		"refused by no rule"}
	for _, mode := range []string{narrow, delegate, clientActs, impersonate} {
		list = append(list, "granted "+mode)
	}
	for _, code := range []tx.Code{tx.InvalidRequest, tx.InvalidTarget, tx.InvalidScope,
		tx.InvalidClient, tx.UnauthorizedClient, tx.ServerError} {
		list = append(list, "refused "+string(code))
	}
	settings := rule{}.settings()
	for _, name := range sorted(settings) {
		list = append(list, "granted with "+name, "granted without "+name)
		list = append(list, "refused with "+name)
	}
	return list
}

func sorted(m map[string]bool) []string {
	list := make([]string, 0, len(m))
	for name := range m {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

func count(seen map[string]int, p pair, o outcome) {
	if o.Rejected {
		seen["rejected"]++
		return
	}
	rule, number := p.Policy.byName(o.rule())
	with := func(result string, names map[string]bool) {
		for name, holds := range names {
			if holds {
				seen[result+" "+name]++
			}
		}
	}
	if r := o.Refused; r != nil {
		seen["refused"]++
		seen["refused "+string(r.Code)]++
		with("refused", map[string]bool{"by a later rule": number > 0, "by no rule": rule == nil})
		if rule != nil {
			for name, set := range rule.settings() {
				with("refused", map[string]bool{"with " + name: set})
			}
		}
		return
	}
	g, f, t := o.Granted, p.Facts, p.Facts.Subject.Token
	seen["granted"]++
	seen["granted "+g.Mode]++
	with("granted", map[string]bool{
		"by a later rule":        number > 0,
		"with two or more rules": len(p.Policy.Rules) > 1,
		"at a refresh":           f.Grant == refresh,
		"at the exchange":        f.Grant == exchange,
		"at another door":        f.Grant != refresh && f.Grant != exchange,
		"to a public client":     f.Client.Public,
		"by a named client":      rule.Clients[0] != "*",
		"with a chain":           g.Actor != "",
		"with may_act":           g.MayAct != "",
		"with an ID token":       g.IDToken,
		"with a refresh token":   g.RefreshToken,
		"with expansion":         len(g.Expanded) > 0,
		"as an ID token":         g.Type == tx.TypeIDToken,
		"with a key":             g.Confirmation != tx.Confirmation{},
		"with an end":            g.Ends != noDate,
		"in a tenant":            g.Subject.Tenant != f.Subject.Tenant,
		"with lineage":           g.Lineage != "null",
		"with empty scope":       len(g.Scope) == 0,
		"a name":                 t.Name,
		"a ticket":               t.Type == ticket && t.Issuer == own,
		"a client's word":        t.ByClient,
		"a foreign token":        t.Issuer != own,
		"a refresh token":        t.Type == tx.TypeRefreshToken,
	})
	for name, set := range rule.settings() {
		with("granted", map[string]bool{"with " + name: set, "without " + name: !set})
	}
}

// TestEverySettingDecides changes one setting of one rule in a part of the pairs, and counts how
// often another outcome follows. It shows that the corpus notices a setting that is ignored.
func TestEverySettingDecides(t *testing.T) {
	if stride > 1 || *update {
		t.Skip("needs all pairs")
	}
	const every = 4 // only so many blocks are looked at
	const least = 200
	seen := map[string]int{}
	d := dice{rand.New(rand.NewPCG(seed, 1<<40))}
	i := 0
	for n := 0; n < pairs/blockSize; n += every {
		for _, p := range block(n) {
			before := decide(p)
			if before.Rejected || len(p.Policy.Rules) == 0 {
				continue
			}
			c := ruleChanges[i%len(ruleChanges)]
			i++
			name, after := changeOne(d, p, c, before)
			require.False(t, after.Rejected, "%s in block %d", c.name, n)
			if !reflect.DeepEqual(before, after) {
				seen[name]++
			}
		}
	}
	for _, name := range changeNames() {
		total := seen[name] * every * len(ruleChanges) // in all blocks, with all changes
		t.Logf("%7d %s", total, name)
		if total < least {
			t.Errorf("%s decides about %d times, not %d", name, total, least)
		}
	}
}

// changeOne asks again with a change in the rule that decided, or in any if none did.
func changeOne(d dice, p pair, c ruleChange, before outcome) (name string, after outcome) {
	at := d.IntN(len(p.Policy.Rules))
	if _, i := p.Policy.byName(before.rule()); i >= 0 {
		at = i
	}
	rules := slices.Clone(p.Policy.Rules)
	r := &rules[at]
	c.change(d, r)
	r.repair()
	name = c.name
	for _, f := range r.flags() {
		if f.name == c.name {
			name = fmt.Sprint(c.name, " ", *f.on)
		}
	}
	return name, decide(pair{Policy: policy{Rules: rules}, Facts: p.Facts})
}

// changeNames lists the changes, those of flags in both directions.
func changeNames() []string {
	var names []string
	flags := len(new(rule).flags())
	for i, c := range ruleChanges {
		if i < flags {
			names = append(names, c.name+" true", c.name+" false")
		} else {
			names = append(names, c.name)
		}
	}
	return names
}
