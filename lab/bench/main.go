// Command bench measures what an exchange costs beside the cryptography that nobody can do without, and beside the token
// exchange of another Go server, and prints it with the goals as tables in Markdown:
//
//	go run .          # some minutes
//	go run . -gate    # and exit with 1 if a goal is missed
//	go run . -quick   # some seconds, roughly, and with fewer tokens and requests
//
// What the rows mean is told in docs/performance.md.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

func main() {
	rough := flag.Bool("quick", false, "measure for some seconds only: a trial, whose figures are rough")
	gate := flag.Bool("gate", false, "exit with 1 if a goal is missed")
	only := flag.String("only", "", "measure only the part of this name: "+strings.Join(partNames(), ", "))
	flag.Parse()
	if *only != "" && !slices.Contains(partNames(), *only) {
		fmt.Fprintf(os.Stderr, "no part is called %q\n", *only)
		os.Exit(2)
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
		fmt.Println("\nEvery goal that is gated is met.")
		return
	}
	fmt.Printf("\nMissed:\n- %s\n", strings.Join(missed, "\n- "))
	if *gate {
		os.Exit(1)
	}
}

// parts are what is measured, in order. Those that need much memory come last.
var parts = []struct {
	name    string
	measure func(effort) table
}{
	{"exchange", measureExchange}, {"cores", measureCores}, {"loopback", measureLoopback}, {"opaque", measureOpaque},
	{"decide", measureDecide}, {"hostile", measureHostile}, {"store", measureStore},
}

func partNames() (names []string) {
	for _, p := range parts {
		names = append(names, p.name)
	}
	return names
}

// header says where and when.
func header(rough bool) {
	fmt.Printf("Measured on %s: %s, %d cores, %s %s/%s", time.Now().Format(time.DateOnly), cpuName(), runtime.NumCPU(), runtime.Version(),
		runtime.GOOS, runtime.GOARCH)
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		fmt.Printf(", load %s before the start", strings.Fields(string(load))[0])
	}
	fmt.Printf(". Medians of paired rounds ± how far half of them are away; ratios are of %s.\n", clocks)
	if rough {
		fmt.Println("A quick trial: these figures are rough.")
	}
}

// cpuName is how the kernel calls the processor.
func cpuName() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "a processor of unknown name"
}
