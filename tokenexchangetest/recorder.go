package tokenexchangetest

import (
	"context"
	"sync"

	"github.com/go-tokenexchange/tokenexchange"
)

// Recorder is an AuditSink that keeps every event in memory. The zero Recorder is empty and ready. It is safe for
// concurrent use.
type Recorder struct {
	mu      sync.Mutex
	events  []tokenexchange.Event
	failure error
}

// Fail makes every recording fail with err, and keep nothing; nil ends that.
func (r *Recorder) Fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failure = err
}

// RecordExchange keeps a copy of the event.
func (r *Recorder) RecordExchange(_ context.Context, ev tokenexchange.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure == nil {
		r.events = append(r.events, deepCopy(ev))
	}
	return r.failure
}

// Events returns what was recorded, in order; nil if nothing was.
func (r *Recorder) Events() []tokenexchange.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return deepCopy(r.events)
}

// Last returns the event recorded last; the zero Event if there is none.
func (r *Recorder) Last() tokenexchange.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.events) == 0 {
		return tokenexchange.Event{}
	}
	return deepCopy(r.events[len(r.events)-1])
}
