// Command bench measures what an exchange costs, compared with bare cryptography and with the
// token exchange of another Go server. It prints tables in Markdown, with the goal of each figure:
//
//	go run .          # about eight minutes
//	go run . -gate    # exit with 1 if a gated goal is missed
//	go run . -quick   # some seconds; the figures are rough
//
// docs/performance.md explains the rows.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"time"
)

func main() {
	rough := flag.Bool("quick", false, "measure for some seconds only; the figures are rough")
	gate := flag.Bool("gate", false, "exit with 1 if a gated goal is missed")
	profile := flag.String("cpuprofile", "", "write a CPU profile to this `file`")
	only := flag.String("only", "", "measure this part only: "+strings.Join(partNames(), ", "))
	flag.Parse()
	if *only != "" && !slices.Contains(partNames(), *only) {
		fmt.Fprintf(os.Stderr, "there is no part %q\n", *only)
		os.Exit(2)
	}
	if *profile != "" {
		file, err := os.Create(*profile)
		check(err)
		check(pprof.StartCPUProfile(file))
		defer pprof.StopCPUProfile()
	}
	e := full
	if *rough {
		e = quick
	}
	header(*rough)
	var missed []string
	for _, p := range parts {
		if *only == "" || *only == p.name {
			for _, what := range p.measure(e).print(os.Stdout) {
				missed = append(missed, p.name+": "+strings.Trim(what, "*"))
			}
		}
	}
	if len(missed) == 0 {
		fmt.Println("\nEvery gated goal is met.")
		return
	}
	fmt.Printf("\nMissed:\n- %s\n", strings.Join(missed, "\n- "))
	if *gate {
		pprof.StopCPUProfile()
		os.Exit(1)
	}
}

var parts = []struct {
	name    string
	measure func(effort) table
}{{"exchange", measureExchange}, {"cores", measureCores}}

func partNames() (names []string) {
	for _, p := range parts {
		names = append(names, p.name)
	}
	return names
}

// header prints the date and the machine.
func header(rough bool) {
	fmt.Printf("Measured on %s: %s, %d cores, %s %s/%s", time.Now().Format(time.DateOnly),
		cpuName(), runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		fmt.Printf(", load %s before the start", strings.Fields(string(load))[0])
	}
	fmt.Printf(". Medians of paired rounds ± the median deviation; ratios are of %s.\n", clocks)
	if rough {
		fmt.Println("A quick trial: these figures are rough.")
	}
}

// cpuName returns the name of the processor.
func cpuName() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		name, value, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "an unknown processor"
}
