package tokenexchangetest

import (
	"context"
	"sync"

	"github.com/go-tokenexchange/tokenexchange"
)

// Recorder is an AuditSink that keeps every event in memory. The zero Recorder is ready to use. It
// is safe for concurrent use.
type Recorder struct {
	mu      sync.Mutex
	events  []tokenexchange.Event
	failure error
}

// Fail makes every later RecordExchange return err and record nothing; nil ends that.
func (r *Recorder) Fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failure = err
}

// RecordExchange stores a copy of the event. It ignores its context.
func (r *Recorder) RecordExchange(_ context.Context, ev tokenexchange.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure == nil {
		r.events = append(r.events, deepCopy(ev))
	}
	return r.failure
}

// Events returns copies of the recorded events, in order; nil if there are none.
func (r *Recorder) Events() []tokenexchange.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return deepCopy(r.events)
}

// Last returns a copy of the event that was recorded last; the zero Event if there is none.
func (r *Recorder) Last() tokenexchange.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.events) == 0 {
		return tokenexchange.Event{}
	}
	return deepCopy(r.events[len(r.events)-1])
}
