// Package auditlog records the outcomes of token exchanges with log/slog.
package auditlog

import (
	"context"
	"errors"
	"log/slog"

	"github.com/go-tokenexchange/tokenexchange"
)

// Sink is a tokenexchange.AuditSink that writes to a slog.Handler. It takes a handler and not a
// *slog.Logger, because a Logger hides a failing write. The zero Sink fails.
type Sink struct{ Handler slog.Handler }

// RecordExchange writes one record of level Info with the attributes of the event. It fails if the
// handler fails or is not enabled for Info.
func (s Sink) RecordExchange(ctx context.Context, ev tokenexchange.Event) error {
	if s.Handler == nil || !s.Handler.Enabled(ctx, slog.LevelInfo) {
		return errors.New("auditlog: there is no handler that is enabled for level Info")
	}
	r := slog.NewRecord(ev.Time, slog.LevelInfo, "token exchange", 0)
	r.AddAttrs(ev.LogValue().Group()...)
	return s.Handler.Handle(ctx, r)
}
