package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// reasonAt is the argument that is, or becomes, the reason of a refusal, by the function that makes
// the refusal.
var reasonAt = map[string]int{"refuse": 1, "refuseFor": 1, "refuseParameter": 2, "wrapStep": 0}

// TestDebugging_ShowsEveryReason checks that the tables of debugging.md have exactly the reasons of
// the root package, each with the rows that its detail cites.
func TestDebugging_ShowsEveryReason(t *testing.T) {
	_, page, found := strings.Cut(read(t, "docs/debugging.md"), "## Reasons by stage")
	require.True(t, found)
	shown := map[string]string{} // the second cells of a reason
	table := regexp.MustCompile("(?m)^\\| (`[^|]*`) \\| ([^|]*) \\|")
	for _, line := range table.FindAllStringSubmatch(page, -1) {
		for name := range strings.SplitSeq(line[1], ", ") {
			shown[strings.Trim(name, "`")] += line[2]
		}
	}
	given := reasonsOfTheCode(t)
	require.Greater(t, len(given), 100, "the code gives its reasons in another way")
	for reason, rows := range given {
		cells, found := shown[reason]
		require.True(t, found, "docs/debugging.md does not explain the reason %s", reason)
		require.Subset(t, citedIn(cells), rows, "the rows of %s", reason)
	}
	for reason := range shown {
		_, found := given[reason]
		require.True(t, found, "docs/debugging.md explains %s, which no code gives", reason)
	}
}

// reasonsOfTheCode returns the reasons that the root package gives, each with the rows that the
// texts beside it cite.
func reasonsOfTheCode(t *testing.T) map[string][]string {
	t.Helper()
	var calls []*ast.CallExpr
	paths, err := filepath.Glob(filepath.Join(root, "*.go"))
	require.NoError(t, err)
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") || filepath.Base(path) == "errors.go" {
			continue // errors.go has the functions themselves
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				calls = append(calls, call)
			}
			return true
		})
	}
	roles := rolesOf(calls)
	reasons := map[string][]string{}
	for _, call := range calls {
		for _, reason := range reasonsOf(t, call, roles) {
			rows := citedIn(strings.Join(textsIn(call), "\n"))
			reasons[reason] = slices.Concat(reasons[reason], rows)
		}
	}
	return reasons
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
	function, ok := call.Fun.(*ast.Ident)
	if !ok {
		return nil
	}
	at, ok := reasonAt[function.Name]
	if !ok {
		return nil
	}
	texts := textsIn(call.Args[at])
	require.Len(t, texts, 1, "the test cannot read a reason of %s", function.Name)
	if _, ok := call.Args[at].(*ast.BinaryExpr); ok {
		for _, role := range roles {
			reasons = append(reasons, role+texts[0])
		}
		return reasons
	}
	if function.Name == "refuseParameter" {
		problem := strings.TrimPrefix(texts[0], "is ")
		return []string{"parameter_" + strings.ReplaceAll(problem, " ", "_")}
	}
	return texts
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
