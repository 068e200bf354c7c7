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

// Sink is a tokenexchange.AuditSink that notifies users after Audit has recorded the event. It is
// safe for concurrent use. Its fields must not change after the first use, and it must not be
// copied.
type Sink struct {
	// Audit records every event first; its error is the error of the Sink. Nil is an error.
	Audit tokenexchange.AuditSink

	// Tell notifies one user. One goroutine of the Sink calls it, for one notice at a time. Its
	// context ends after Patience, and when Close gives up. Nil turns notification off.
	Tell func(context.Context, Notice) error

	// Filter selects the events to notify users of; nil is SomebodyNew. It is called during the
	// exchange, so it must not block. A panic counts as false and is counted and reported.
	Filter func(tokenexchange.Event) bool

	// Queue is how many notices may wait; 0 is 256. Further notices are dropped.
	Queue int

	// Patience is the time limit for one call of Tell; 0 is 30 seconds. A Tell that ignores its
	// context delays all waiting notices.
	Patience time.Duration

	// Report receives every error of Tell, and how many notices were dropped since the last report.
	// It is never called during the exchange; two calls may run at once; its panics are discarded.
	// Nil means that nothing is reported, but Dropped still counts. A report names no user unless
	// an error of Tell does.
	Report func(error)

	start      sync.Once
	mu         sync.RWMutex // only Close takes the write lock
	closed     bool
	queue      chan Notice
	done       chan struct{} // closed after the last notice
	ctx        context.Context
	cancel     context.CancelFunc
	dropped    atomic.Int64
	unreported atomic.Int64          // dropped since the last report
	lastCause  atomic.Pointer[error] // why the last notice was dropped
}

const (
	defaultQueue    = 256
	defaultPatience = 30 * time.Second
)

// Causes of a dropped notice.
var (
	errFull   = errors.New("the queue is full")
	errClosed = errors.New("the sink is closed")
)

// RecordExchange records the event and then queues a notice, if the event calls for one. It returns
// the error of Audit; a notice never causes an error.
func (s *Sink) RecordExchange(ctx context.Context, ev tokenexchange.Event) error {
	if s.Audit == nil {
		return errors.New("notify: a Sink without Audit")
	}
	if err := s.Audit.RecordExchange(ctx, ev); err != nil {
		return err
	}
	if s.Tell != nil && ev.Err == nil && s.selects(ev) {
		s.enqueue(NoticeOf(ev))
	}
	return nil
}

// selects reports whether the filter selects the event.
func (s *Sink) selects(ev tokenexchange.Event) (selected bool) {
	filter := s.Filter
	if filter == nil {
		filter = SomebodyNew
	}
	if err := guard.Call(func() error { selected = filter(ev); return nil }); err != nil {
		s.drop(fmt.Errorf("the filter: %w", err))
		return false
	}
	return selected
}

// enqueue never blocks: it drops the notice if the queue is full.
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

// begin makes the queue and starts its goroutine.
func (s *Sink) begin() {
	size, patience := s.Queue, s.Patience
	if size <= 0 {
		size = defaultQueue
	}
	if patience <= 0 {
		patience = defaultPatience
	}
	s.queue, s.done = make(chan Notice, size), make(chan struct{})
	s.ctx, s.cancel = context.WithCancel(context.Background())
	go s.deliver(patience)
}

// deliver calls Tell for each notice until the queue is closed and empty. Once Close has given up,
// it drops the notices that are left.
func (s *Sink) deliver(patience time.Duration) {
	defer close(s.done)
	for n := range s.queue {
		if s.ctx.Err() != nil {
			s.drop(errClosed)
			continue
		}
		err := guard.Call(func() error {
			ctx, cancel := context.WithTimeout(s.ctx, patience)
			defer cancel()
			return s.Tell(ctx, n)
		})
		if err != nil {
			s.report(fmt.Errorf("notify: Tell: %w", err))
		}
	}
}

// drop counts a dropped notice and has it reported. An exchange may be waiting for drop, so Report
// is called in a goroutine. There is at most one such goroutine: it also reports the notices that
// are dropped while it runs.
func (s *Sink) drop(cause error) {
	s.dropped.Add(1)
	s.lastCause.Store(&cause)
	if s.Report != nil && s.unreported.Add(1) == 1 {
		go s.reportDrops()
	}
}

func (s *Sink) reportDrops() {
	for n := s.unreported.Load(); n > 0; {
		s.report(fmt.Errorf("notify: dropped notices: %d (last cause: %w)", n, *s.lastCause.Load()))
		n = s.unreported.Add(-n)
	}
}

func (s *Sink) report(err error) {
	if s.Report == nil {
		return
	}
	_ = guard.Call(func() error { s.Report(err); return nil })
}

// Dropped returns the number of dropped notices: because the queue was full, because the Sink was
// closed, or because the filter panicked. A notice that Tell failed to deliver is reported instead.
func (s *Sink) Dropped() int64 { return s.dropped.Load() }

// Close stops accepting notices and waits until the waiting notices are delivered, or until ctx
// ends. If ctx ends first, Close cancels the context of Tell, drops the waiting notices and returns
// the error of ctx. The Sink continues to record events. Close may be called more than once.
func (s *Sink) Close(ctx context.Context) error {
	s.start.Do(s.begin)
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.queue)
	}
	s.mu.Unlock()
	defer s.cancel()
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
	}
	s.cancel()
	for range s.queue { // deliver may be stuck in Tell
		s.drop(errClosed)
	}
	return ctx.Err()
}
