package main

import (
	"context"
	"slices"
	"sync"

	"github.com/go-tokenexchange/tokenexchange"
)

// trail is an AuditSink that keeps events so that they can be printed. A real host uses
// auditlog.Sink or a database. If RecordExchange returned an error, no token would leave.
type trail struct {
	mu     sync.Mutex
	events []tokenexchange.Event
}

// RecordExchange is called once for every exchange, refused or not, before the client gets its
// answer.
func (t *trail) RecordExchange(_ context.Context, ev tokenexchange.Event) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, ev)
	return nil
}

// since returns the events from the nth on.
func (t *trail) since(n int) []tokenexchange.Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.events[n:])
}
