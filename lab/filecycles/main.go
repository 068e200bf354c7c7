// Command filecycles finds the files of a package that cannot be read one without the other:
// cycles in the graph whose arrows are references from one file to package-level names, methods
// and fields of another. Test files do not count.
//
//	go run ./lab/filecycles [-most N] [package]
//
// It prints every cycle. With -most it exits with 1 if the largest cycle has more than N files.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	most := flag.Int("most", 0, "fail if the largest cycle has more than `N` files; 0: no limit")
	flag.Parse()
	pattern := "."
	if flag.NArg() > 0 {
		pattern = flag.Arg(0)
	}
	g, err := readGraph(pattern)
	if err != nil {
		fmt.Fprintln(os.Stderr, "filecycles:", err)
		os.Exit(2)
	}
	cycles := g.cycles()
	largest := 1
	for _, c := range cycles {
		largest = max(largest, len(c))
		fmt.Printf("a cycle of %d files: %s\n", len(c), strings.Join(c, " "))
	}
	fmt.Printf("%d files; the largest cycle has %d\n", len(g), largest)
	if *most > 0 && largest > *most {
		fmt.Printf("at most %d are allowed\n", *most)
		os.Exit(1)
	}
}

// graph has the files of a package, and for each file those that it refers to.
type graph map[string]map[string]bool

// goPackage is the part of the output of go list -json that readGraph needs.
type goPackage struct {
	Dir, ImportPath, Export string
	GoFiles                 []string
}

// readGraph type-checks one package. The go command builds what the package imports, so the types
// of those packages are read from the build cache.
func readGraph(pattern string) (graph, error) {
	list := exec.Command("go", "list", "-deps", "-export",
		"-json=Dir,ImportPath,Export,GoFiles", pattern)
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var target goPackage // the last one: go list prints dependencies first
	exports := map[string]string{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		target, exports[p.ImportPath] = p, p.Export
	}
	fset, g := token.NewFileSet(), graph{}
	var files []*ast.File
	for _, name := range target.GoFiles {
		f, err := parser.ParseFile(fset, filepath.Join(target.Dir, name), nil,
			parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files, g[name] = append(files, f), map[string]bool{}
	}
	open := func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) }
	config := types.Config{Importer: importer.ForCompiler(fset, "gc", open)}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	pkg, err := config.Check(target.ImportPath, fset, files, info)
	if err != nil {
		return nil, err
	}
	file := func(p token.Pos) string { return filepath.Base(fset.Position(p).Filename) }
	for id, object := range info.Uses {
		if object.Pkg() != pkg {
			continue
		}
		if from, to := file(id.Pos()), file(object.Pos()); from != to {
			g[from][to] = true
		}
	}
	return g, nil
}

// cycles returns the sets of two or more files that all reach each other.
func (g graph) cycles() [][]string {
	reach := map[string]map[string]bool{}
	for file := range g {
		reach[file] = map[string]bool{}
		g.follow(file, reach[file])
	}
	var list [][]string
	done := map[string]bool{}
	for _, file := range slices.Sorted(maps.Keys(g)) {
		if done[file] || !reach[file][file] {
			continue
		}
		var cycle []string
		for _, other := range slices.Sorted(maps.Keys(reach[file])) {
			if reach[other][file] {
				cycle, done[other] = append(cycle, other), true
			}
		}
		list = append(list, cycle)
	}
	return list
}

// follow adds to seen every file that the file refers to, directly or through others.
func (g graph) follow(file string, seen map[string]bool) {
	for to := range g[file] {
		if !seen[to] {
			seen[to] = true
			g.follow(to, seen)
		}
	}
}
