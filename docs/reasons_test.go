package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// reasonAt is the argument that is, or becomes, the reason of a refusal, by the function that makes
// the refusal: those of the root package, of resourceserver and of internal/refusal.
var reasonAt = map[string]int{
	"refuse": 1, "refuseFor": 1, "refuseParameter": 2, "wrapStep": 0,
	"refusedBy":   1,
	"refusal.New": 1, "refusal.WithCause": 2, "refusal.Wrap": 2,
}

// packageSection is the heading of a section that has the reasons of one package.
var packageSection = regexp.MustCompile("(?m)^### Package `([^`]+)`$")

// TestDebugging_ShowsEveryReason checks that the tables of debugging.md have exactly the reasons of
// the code, each with the rows that its detail cites. A section for a package has the reasons of
// that package, and all other sections together have those of the root package.
func TestDebugging_ShowsEveryReason(t *testing.T) {
	_, page, found := strings.Cut(read(t, "docs/debugging.md"), "## Reasons by stage")
	require.True(t, found)
	shown := map[string]map[string]string{} // the second cells of a reason, by package
	table := regexp.MustCompile("(?m)^\\| (`[^|]*`) \\| ([^|]*) \\|")
	for section := range strings.SplitSeq(page, "\n### ") {
		name := "."
		if m := packageSection.FindStringSubmatch("### " + section); m != nil {
			name = m[1]
		}
		if shown[name] == nil {
			shown[name] = map[string]string{}
		}
		for _, line := range table.FindAllStringSubmatch(section, -1) {
			for reason := range strings.SplitSeq(line[1], ", ") {
				shown[name][strings.Trim(reason, "`")] += line[2]
			}
		}
	}
	given := reasonsOfTheCode(t)
	require.Greater(t, len(given["."]), 100, "the code gives its reasons in another way")
	for name, reasons := range given {
		for reason, rows := range reasons {
			cells, found := shown[name][reason]
			require.True(t, found, "docs/debugging.md does not explain %s of %q", reason, name)
			require.Subset(t, citedIn(cells), rows, "the rows of %s of %q", reason, name)
		}
	}
	for name, reasons := range shown {
		for reason := range reasons {
			_, found := given[name][reason]
			require.True(t, found, "docs/debugging.md explains %s, which %q does not give",
				reason, name)
		}
	}
}

// reasonsOfTheCode returns the reasons of the root package and of every package that imports
// internal/refusal, with the rows that the texts beside a reason cite. The name of a package is its
// folder.
func reasonsOfTheCode(t *testing.T) map[string]map[string][]string {
	t.Helper()
	calls, refuses := map[string][]*ast.CallExpr{}, map[string]bool{".": true}
	others := map[string][]string{} // reasons that no function of reasonAt makes
	for name, text := range repository(t) {
		folder := path.Dir(name)
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, imported := range file.Imports {
			if strings.HasSuffix(imported.Path.Value, "/internal/refusal\"") {
				refuses[folder] = true
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				_, makes := reasonAt[n.Name.Name]
				return !makes // such a function gives the reasons of its callers
			case *ast.CallExpr:
				calls[folder] = append(calls[folder], n)
			case *ast.KeyValueExpr:
				if nameOf(n.Key) == "Reason" {
					others[folder] = append(others[folder], textsIn(n.Value)...)
				}
			}
			return true
		})
	}
	given := map[string]map[string][]string{}
	for name := range refuses {
		require.Empty(t, others[name], "%q gives its reasons in another way", name)
		roles := rolesOf(calls[name])
		for _, call := range calls[name] {
			for _, reason := range reasonsOf(t, call, roles) {
				if given[name] == nil {
					given[name] = map[string][]string{}
				}
				rows := citedIn(strings.Join(textsIn(call), "\n"))
				given[name][reason] = slices.Concat(given[name][reason], rows)
			}
		}
	}
	return given
}

// rolesOf returns the roles that Exchanger.resolve is called with, as its reasons begin with them.
func rolesOf(calls []*ast.CallExpr) (roles []string) {
	for _, call := range calls {
		if f, ok := call.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "resolve" {
			for _, role := range textsIn(call) {
				roles = append(roles, strings.ReplaceAll(role, " ", "_"))
			}
		}
	}
	return roles
}

// reasonsOf returns the reasons that one call gives: more than one if the reason is made of a role
// and a text.
func reasonsOf(t *testing.T, call *ast.CallExpr, roles []string) (reasons []string) {
	t.Helper()
	function := nameOf(call.Fun)
	at, ok := reasonAt[function]
	if !ok {
		return nil
	}
	texts := textsIn(call.Args[at])
	require.Len(t, texts, 1, "the test cannot read a reason of %s", function)
	if _, ok := call.Args[at].(*ast.BinaryExpr); ok {
		for _, role := range roles {
			reasons = append(reasons, role+texts[0])
		}
		return reasons
	}
	if function == "refuseParameter" {
		problem := strings.TrimPrefix(texts[0], "is ")
		return []string{"parameter_" + strings.ReplaceAll(problem, " ", "_")}
	}
	return texts
}

// nameOf returns the name of a function, after that of its package.
func nameOf(function ast.Expr) string {
	switch f := function.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		if from, ok := f.X.(*ast.Ident); ok {
			return from.Name + "." + f.Sel.Name
		}
	}
	return ""
}

// textsIn returns the string literals in a part of the code.
func textsIn(part ast.Node) (texts []string) {
	ast.Inspect(part, func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if text, err := strconv.Unquote(literal.Value); err == nil {
				texts = append(texts, text)
			}
		}
		return true
	})
	return texts
}
