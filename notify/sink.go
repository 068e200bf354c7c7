package notify

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/guard"
)

// Sink is a tokenexchange.AuditSink that tells users, after Audit has recorded the event. Its fields must not be changed
// once it is in use, and it must not be copied; any number of goroutines may share it.
type Sink struct {
	Audit tokenexchange.AuditSink // records first, and its error is the answer; nil is an error

	// Tell tells the user. It is called for one notice after the other, by a goroutine of the Sink, under a context that ends
	// after Patience and with Close. Nil: notification is off, and the Sink is its Audit.
	Tell func(context.Context, Notice) error

	// Filter says which events the user is told of; SomebodyNew is the one where it is nil. It is called in the exchange, so
	// it must not wait for anything. One that panics says no, which is counted and reported.
	Filter func(tokenexchange.Event) bool

	Queue    int           // how many notices may wait; 0 is 256. What comes when they do is dropped
	Patience time.Duration // for one notice; 0 is half a minute. A Tell that does not heed its context holds up all that wait

	// Report is told, for a log, why users were not told: each failure of Tell, and how many notices were dropped since the
	// last time. It is never called in the exchange, two calls may overlap, and what it throws is lost. Nil: nobody is told,
	// and Dropped still counts. No report has a name in it, unless the errors of Tell have.
	Report func(error)

	start   sync.Once
	mu      sync.RWMutex // held for writing by Close alone
	closed  bool
	queue   chan Notice
	ended   chan struct{} // closed when the last notice has been told
	working context.Context
	stop    context.CancelFunc
	dropped atomic.Int64
	silent  atomic.Int64          // dropped, and not yet reported
	why     atomic.Pointer[error] // the last time
}

const (
	usualQueue    = 256
	usualPatience = 30 * time.Second
)

// Why a notice was dropped.
var (
	errFull   = errors.New("too many were waiting")
	errClosed = errors.New("the sink is closed")
)

// RecordExchange records the event, and then has the user told. Only what Audit answers is an error.
func (s *Sink) RecordExchange(ctx context.Context, ev tokenexchange.Event) error {
	if s.Audit == nil {
		return errors.New("notify: a Sink without an Audit")
	}
	if err := s.Audit.RecordExchange(ctx, ev); err != nil {
		return err
	}
	if s.Tell != nil && ev.Err == nil && s.isToTell(ev) {
		s.enqueue(NoticeOf(ev))
	}
	return nil
}

func (s *Sink) isToTell(ev tokenexchange.Event) (yes bool) {
	filter := s.Filter
	if filter == nil {
		filter = SomebodyNew
	}
	if err := guard.Call(func() error { yes = filter(ev); return nil }); err != nil {
		s.drop(fmt.Errorf("the filter: %w", err))
		return false
	}
	return yes
}

// enqueue never waits: where there is no room, the notice is dropped.
func (s *Sink) enqueue(n Notice) {
	s.start.Do(s.begin)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		s.drop(errClosed)
		return
	}
	select {
	case s.queue <- n:
	default:
		s.drop(errFull)
	}
}

func (s *Sink) begin() {
	size, patience := s.Queue, s.Patience
	if size <= 0 {
		size = usualQueue
	}
	if patience <= 0 {
		patience = usualPatience
	}
	s.queue, s.ended = make(chan Notice, size), make(chan struct{})
	s.working, s.stop = context.WithCancel(context.Background())
	go s.work(patience)
}

// work tells one after the other, until the queue is closed and empty, or Close has no more patience.
func (s *Sink) work(patience time.Duration) {
	defer close(s.ended)
	for n := range s.queue {
		if s.working.Err() != nil {
			s.drop(errClosed)
			continue
		}
		err := guard.Call(func() error {
			ctx, done := context.WithTimeout(s.working, patience)
			defer done()
			return s.Tell(ctx, n)
		})
		if err != nil {
			s.report(fmt.Errorf("notify: Tell: %w", err))
		}
	}
}

// drop counts, and has it reported. Whoever drops is in an exchange, perhaps, and a Report that hangs must not hold that up:
// so it is called elsewhere, once for all that has been dropped meanwhile, and at most one such call is under way.
func (s *Sink) drop(why error) {
	s.dropped.Add(1)
	s.why.Store(&why)
	if s.Report != nil && s.silent.Add(1) == 1 {
		go s.reportDrops()
	}
}

func (s *Sink) reportDrops() {
	for n := s.silent.Load(); n > 0; {
		s.report(fmt.Errorf("notify: %d dropped, the last because: %w", n, *s.why.Load()))
		n = s.silent.Add(-n)
	}
}

func (s *Sink) report(err error) {
	if s.Report == nil {
		return
	}
	_ = guard.Call(func() error { s.Report(err); return nil })
}

// Dropped is how many notices have been dropped: there was no room, no time left when the Sink was closed, or the filter has
// panicked. Those that Tell has failed on are not among them; they are reported.
func (s *Sink) Dropped() int64 { return s.dropped.Load() }

// Close takes no more notices and waits until those that wait have been told, but not longer than ctx: then the context of
// Tell is cancelled, what waits is dropped, and the error is that of ctx. Events go on being recorded. It may be called
// again.
func (s *Sink) Close(ctx context.Context) error {
	s.start.Do(s.begin)
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.queue)
	}
	s.mu.Unlock()
	defer s.stop()
	select {
	case <-s.ended:
		return nil
	case <-ctx.Done():
	}
	s.stop()
	for range s.queue { // Tell may never return
		s.drop(errClosed)
	}
	return ctx.Err()
}
