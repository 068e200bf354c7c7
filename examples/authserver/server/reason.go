package server

import (
	"context"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-tokenexchange/tokenexchange"
)

// paramReason is a parameter of this server's own, at the token endpoint and the authorization
// endpoint: why one party acts for another, in their words. Other servers ignore it (RFC 6749
// §3.2). It is for the readers of the audit log, and decides only for a client that must state one.
const paramReason = "reason"

// longestReason is how many characters a reason may have.
const longestReason = 200

// reasonKey is the key of the reason in the context of a request.
type reasonKey struct{}

// withReason keeps a stated reason for the authorizer and the audit log.
func withReason(ctx context.Context, reason string) context.Context {
	return context.WithValue(ctx, reasonKey{}, &reason)
}

// setReason adds the reason of the authorization request if the token request states none.
func setReason(ctx context.Context, reason string) {
	if kept, _ := ctx.Value(reasonKey{}).(*string); kept != nil && *kept == "" {
		*kept = reason
	}
}

// statedReason returns the reason of a request. ok is false if it is too long, or has characters
// that could pass for another line of the log. Such a reason is not logged.
func statedReason(ctx context.Context) (reason string, ok bool) {
	if kept, _ := ctx.Value(reasonKey{}).(*string); kept != nil {
		reason = *kept
	}
	if utf8.RuneCountInString(reason) > longestReason || !utf8.ValidString(reason) ||
		strings.ContainsFunc(reason, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "", false
	}
	return strings.TrimSpace(reason), true
}

// reasonStated refuses a reason that cannot be logged, and a request without a reason if the client
// must state one.
func (s *Server) reasonStated(ctx context.Context, f tokenexchange.Facts) error {
	reason, ok := statedReason(ctx)
	c, _ := s.Directory.Client(f.Client.ID)
	switch {
	case !ok:
		return refuse("the stated reason is too long, or not plain text")
	case reason == "" && c.RequireReason && !isOwn(f.Subject.Token):
		return refuse("the client must state a reason")
	}
	return nil
}

// withReasons adds stated reasons to the audit log. The attribute reason is taken: it says why an
// exchange was refused.
type withReasons struct{ slog.Handler }

func (h withReasons) Handle(ctx context.Context, r slog.Record) error {
	if reason, _ := statedReason(ctx); reason != "" {
		r.AddAttrs(slog.String("stated_reason", reason))
	}
	return h.Handler.Handle(ctx, r)
}
