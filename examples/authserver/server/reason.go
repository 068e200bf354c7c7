package server

import (
	"context"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-tokenexchange/tokenexchange"
)

// paramReason is a parameter of the token endpoint, and of the authorization endpoint, that is this server's own: why somebody acts for somebody else, in their
// words. Other servers ignore it (RFC 6749 §3.2). It decides nothing but whether one was given; it is for who reads the audit log.
const paramReason = "reason"

// longestReason is how many characters a reason may have.
const longestReason = 200

// reasonKey is where the context of a request has its reason.
type reasonKey struct{}

// withReason keeps a stated reason for the authorizer and the audit log.
func withReason(ctx context.Context, reason string) context.Context {
	return context.WithValue(ctx, reasonKey{}, &reason)
}

// giveReason puts in a reason that was stated before, with the authorization request, where none has come since.
func giveReason(ctx context.Context, reason string) {
	if kept, _ := ctx.Value(reasonKey{}).(*string); kept != nil && *kept == "" {
		*kept = reason
	}
}

// statedReason is the reason that came with a request. It is not ok where it is too long, or has what could pass for another
// line or another reader's text: then it is of no use to anybody, and kept out of the log.
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

// reasonStated refuses a reason that cannot be recorded, and a client that must state one and does not.
func (s *Server) reasonStated(ctx context.Context, f tokenexchange.Facts) error {
	reason, ok := statedReason(ctx)
	c, _ := s.Directory.Client(f.Client.ID)
	switch {
	case !ok:
		return refuse("the reason is too long, or not plain text")
	case reason == "" && c.RequireReason && !isOwnDoor(f.Subject.Token):
		return refuse("the client must state a reason, and states none")
	}
	return nil
}

// withReasons is the audit log with the reasons that requests have stated, granted or refused. The attribute has a name of
// its own: reason is why something was refused.
type withReasons struct{ slog.Handler }

func (h withReasons) Handle(ctx context.Context, r slog.Record) error {
	if reason, _ := statedReason(ctx); reason != "" {
		r.AddAttrs(slog.String("stated_reason", reason))
	}
	return h.Handler.Handle(ctx, r)
}
