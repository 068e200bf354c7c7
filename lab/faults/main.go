// Command faults puts one fault at a time into the sources and runs the tests. A fault that no test
// notices survives, and shows what the tests do not prove. The faults are written by hand, in
// faults.txt. No file of the repository is changed.
//
// Run it from the top of the repository, for all faults or for those whose title contains a word:
//
//	go run ./lab/faults [-fit] [-by package] [word]
//
// It prints a line for each fault and exits with 1 if a fault survived or no longer fits the
// sources. With -fit it runs no tests, and only checks that every fault fits the sources and
// builds. With -by, the tests of that package alone must notice every fault.
package main

import (
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

//go:embed faults.txt
var list string

// fault replaces text that occurs once in a file.
type fault struct{ title, file, old, new string }

func main() {
	fit := flag.Bool("fit", false, "run no tests")
	by := flag.String("by", "", "run the tests of this package only")
	flag.Parse()
	word := flag.Arg(0)
	survived, n := 0, 0
	var mu sync.Mutex
	var group sync.WaitGroup
	slots := make(chan struct{}, 2)
	for _, f := range parse(list) {
		if !strings.Contains(f.title, word) {
			continue
		}
		n++
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			verdict := f.run(*fit, *by)
			mu.Lock()
			defer mu.Unlock()
			fmt.Printf("%-9s %s\n", verdict, f.title)
			if verdict != "noticed" && verdict != "fits" {
				survived++
			}
		})
	}
	group.Wait()
	fmt.Printf("%d faults, %d not noticed\n", n, survived)
	if survived > 0 || n == 0 {
		os.Exit(1)
	}
}

// parse reads paragraphs: "# title", the file, lines that begin with "-" (old) and "+" (new).
func parse(text string) (faults []fault) {
	for paragraph := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		lines := strings.Split(paragraph, "\n")
		f := fault{title: strings.TrimPrefix(lines[0], "# "), file: lines[1]}
		var before, after []string
		for _, line := range lines[2:] {
			if old, ok := strings.CutPrefix(line, "-"); ok {
				before = append(before, old)
			} else {
				after = append(after, strings.TrimPrefix(line, "+"))
			}
		}
		f.old, f.new = strings.Join(before, "\n"), strings.Join(after, "\n")
		faults = append(faults, f)
	}
	return faults
}

// run returns what became of the fault: noticed or SURVIVED; STALE if the old text does not occur
// exactly once; BROKEN if the new text does not build. With fit it returns fits instead of the
// first two.
func (f fault) run(fit bool, by string) string {
	source, err := os.ReadFile(f.file)
	if err != nil || strings.Count(string(source), f.old) != 1 {
		return "STALE"
	}
	dir, err := os.MkdirTemp("", "fault")
	if err != nil {
		return err.Error()
	}
	defer os.RemoveAll(dir)
	changed, overlay := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json")
	path, err := filepath.Abs(f.file)
	if err != nil {
		return err.Error()
	}
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{path: changed}})
	if err != nil {
		return err.Error()
	}
	faulty := strings.Replace(string(source), f.old, f.new, 1)
	if os.WriteFile(changed, []byte(faulty), 0o600) != nil ||
		os.WriteFile(overlay, replace, 0o600) != nil {
		return "cannot write to " + dir
	}
	module, pkg := f.place()
	run := func(command string, args ...string) error {
		c := exec.Command("go", append([]string{command, "-overlay", overlay}, args...)...)
		c.Dir = module
		return c.Run()
	}
	if run("build", pkg) != nil {
		return "BROKEN"
	}
	if fit {
		return "fits"
	}
	for _, tests := range testsOf(module, pkg, by) {
		if run("test", append([]string{"-count=1", "-failfast"}, tests...)...) != nil {
			return "noticed"
		}
	}
	return "SURVIVED"
}

// testsOf returns arguments for go test: the tests that must notice a fault in a package, the quick
// ones first.
func testsOf(module, pkg, by string) [][]string {
	switch {
	case by != "":
		return [][]string{{by}}
	case module == "." && pkg == ".":
		return [][]string{
			{"-run", "Vectors|Policy", "."},
			{".", "./internal/jose", "./internal/strictjson", "./authorizer"},
			{"./tokenstore", "./grants", "./internal/securitytest"},
		}
	}
	return [][]string{{pkg}}
}

// place returns the folder of the module that has the file, and the package within the module.
func (f fault) place() (module, pkg string) {
	dir := filepath.Dir(f.file)
	for module = dir; module != "."; module = filepath.Dir(module) {
		if _, err := os.Stat(filepath.Join(module, "go.mod")); err == nil {
			break
		}
	}
	rest, err := filepath.Rel(module, dir)
	if err != nil || rest == "." {
		return module, "."
	}
	return module, "./" + filepath.ToSlash(rest)
}
