package docs

import (
	"strings"
	"testing"
)

// TestOperations_FiguresAreThoseOfTheCode checks each figure of operations.md with the line of code
// that it comes from.
func TestOperations_FiguresAreThoseOfTheCode(t *testing.T) {
	page := read(t, "docs/operations.md")
	for _, figure := range []struct{ file, code, text string }{
		{"internal/jose/remote.go", "maxAge = 15 * time.Minute", "| 15 minutes, whatever"},
		{"internal/jose/remote.go", "refreshAge = 10 * time.Minute", "after 10 minutes |"},
		{"internal/jose/remote.go", "unknownGap = time.Minute", "at most one a minute |"},
		{"internal/jose/remote.go", "retryGap = 5 * time.Second", "at most one every 5 seconds |"},
		{"internal/jose/remote.go", "fetchLimit = 5 * time.Second", "body included | 5 seconds |"},
		{"internal/jose/fetch.go", "const maxSet = 512 << 10", "| 512 KiB, 100 keys |"},
		{"internal/jose/keys.go", "const maxKeys = 100", "| 512 KiB, 100 keys |"},
		{"internal/jose/algorithm.go", "minRSABits = 2048", "2048 to 8192 bits"},
		{"internal/jose/algorithm.go", "maxRSABits = 8192", "2048 to 8192 bits"},
		{"verifier.go", `t.Algorithms = []string{"ES256", "EdDSA", "PS256", "RS256"}`,
			"| ES256, EdDSA, PS256, RS256 |"},
		{"verifier.go", "const maxSkew = time.Minute", "may be 60 seconds in the future"},
		{"internal/jose/message.go", "const MaxToken = 64 << 10", "| 64 KiB |"},
		{"request.go", "maxTargets = 16", "| targets of a request | 16 |"},
		{"policy_compile.go", "defaultChain = 4", "| 4, or `max_chain`, at most 32 |"},
		{"policy_compile.go", "deepestChain = 32", "| 4, or `max_chain`, at most 32 |"},
		{"policy_compile.go", "longestLifetime = (1<<31 - 1) * time.Second",
			"2³¹ − 1 seconds"},
		{"lineage.go", "const maxOrigins = 32", "| origins in a token | 32 |"},
		{"internal/strictjson/check.go", "const MaxDepth = 64", "| 64 levels deep, 1,024 members"},
		{"internal/strictjson/check.go", "const MaxMembers = 1024", "1,024 members in an object |"},
		{"tokenstore/store.go", "MaxAncestors = 64", "(`tokenstore`) | 64 |"},
		{"tokenstore/store.go", "Linger = time.Minute", "within one minute\n(`tokenstore.Linger`)"},
		{"tokenstore/store.go", "MaxPage = 256", "`Store.List` looks at | 256 |"},
		{"tokenstore/ended.go", "defaultRememberEnded = 10 * 365 * 24 * time.Hour", "| 10 years |"},
		{"grants/assertion.go", "const usualLongest = 5 * time.Minute", "| 5 minutes |"},
		{"internal/bounded/bounded.go", "const Usual = 5 * time.Second",
			"`Exchanger.RecordTimeout`, 5 seconds by default |"},
		{"resourceserver/audit.go", "const auditTime = bounded.Usual", "API.Audit` | 5 seconds |"},
		{"resourceserver/introspection.go", "introspectionTime = 5 * time.Second",
			"`resourceserver.Introspection` | 5 seconds |"},
		{"resourceserver/introspection.go", "introspectionSize = 256 << 10",
			"API reads | 256 KiB |"},
		{"notify/sink.go", "defaultQueue = 256", "(`notify.Sink.Queue`) | 256 |"},
		{"notify/sink.go", "defaultPatience = 30 * time.Second",
			"`Patience`, 30 seconds by default |"},
	} {
		source := strings.Join(strings.Fields(read(t, figure.file)), " ")
		requireText(t, source, figure.code, figure.file+" has another figure")
		requireText(t, page, figure.text, "the page has another figure than "+figure.file)
	}
}
