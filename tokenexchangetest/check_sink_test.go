package tokenexchangetest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/auditlog"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

func TestCheckSinkPasses(t *testing.T) {
	var r tokenexchangetest.Recorder
	require.NoError(t, r.RecordExchange(ctx, tx.Event{}))
	assert.NoError(t, tokenexchangetest.CheckSink(ctx, &r, r.Events))
	assert.NoError(t, tokenexchangetest.CheckSink(ctx, &r, r.Events),
		"with the events of another check")
	for _, ev := range r.Events()[1:] {
		assert.NotEmpty(t, ev.Facts.Client.ID)
	}
	assert.NoError(t, tokenexchangetest.CheckSink(ctx, &r, nil))

	discard := func(context.Context, tx.Event) error { return nil }
	assert.ErrorContains(t, tokenexchangetest.CheckSink(ctx, sinkFunc(discard), r.Events),
		"did not record it", "the recorded events are those of another check")
}

// A host whose sink is a log parses the lines of the log.
func TestCheckSinkPassesForALog(t *testing.T) {
	var log bytes.Buffer
	recorded := func() (list []tx.Event) {
		for line := range bytes.Lines(log.Bytes()) {
			var entry struct {
				Outcome, Client, Error string
				Subject                struct{ ID string }
				Granted                struct {
					TokenID string `json:"token_id"`
				}
			}
			require.NoError(t, json.Unmarshal(line, &entry), "%s", line)
			ev := tx.Event{TokenID: entry.Granted.TokenID,
				Facts: tx.Facts{Client: tx.Client{ID: entry.Client}}}
			ev.Facts.Subject.ID = entry.Subject.ID
			if entry.Outcome != "granted" {
				ev.Err = errors.New(entry.Error)
			}
			list = append(list, ev)
		}
		return list
	}
	sink := auditlog.Sink{Handler: slog.NewJSONHandler(&log, nil)}
	assert.NoError(t, tokenexchangetest.CheckSink(ctx, sink, recorded))
}

func TestCheckSinkFinds(t *testing.T) {
	for _, tt := range []struct {
		name string
		sink func(*tokenexchangetest.Recorder) sinkFunc
		want []string
	}{
		{"records nothing", func(*tokenexchangetest.Recorder) sinkFunc {
			return func(context.Context, tx.Event) error { return nil }
		}, []string{"RecordExchange for an event returned nil but did not record it (I06)",
			"RecordExchange for an event in a concurrent call returned nil but",
			"RecordExchange for an event under a cancelled context returned nil but"}},
		{"records grants only", func(r *tokenexchangetest.Recorder) sinkFunc {
			return func(ctx context.Context, ev tx.Event) error {
				if ev.Err != nil {
					return nil
				}
				return r.RecordExchange(ctx, ev)
			}
		}, []string{"RecordExchange for an event returned nil but",
			"RecordExchange for an event in a concurrent call returned nil but"}},
		{"loses concurrent events", func(r *tokenexchangetest.Recorder) sinkFunc {
			var busy sync.Mutex
			return func(ctx context.Context, ev tx.Event) error {
				if !busy.TryLock() {
					return nil
				}
				defer busy.Unlock()
				time.Sleep(time.Millisecond)
				return r.RecordExchange(ctx, ev)
			}
		}, []string{"RecordExchange for an event in a concurrent call returned nil but did not"}},
		{"records later", func(r *tokenexchangetest.Recorder) sinkFunc {
			var outbox []tx.Event
			var mu sync.Mutex
			return func(ctx context.Context, ev tx.Event) error {
				mu.Lock()
				defer mu.Unlock()
				for _, ev := range outbox {
					_ = r.RecordExchange(ctx, ev)
				}
				outbox = []tx.Event{ev}
				return nil
			}
		}, []string{"RecordExchange for an event returned nil but",
			"concurrent call returned nil but", "cancelled context returned nil but"}},
		{"mixes two events", func(r *tokenexchangetest.Recorder) sinkFunc {
			var last tx.Event
			var mu sync.Mutex
			return func(ctx context.Context, ev tx.Event) error {
				mu.Lock()
				defer mu.Unlock()
				mixed := ev
				mixed.TokenID, last = last.TokenID, ev
				return r.RecordExchange(ctx, mixed)
			}
		}, []string{"RecordExchange for an event recorded another subject, token or outcome",
			"RecordExchange for an event in a concurrent call recorded another",
			"cancelled context recorded another"}},
		{"records every event as granted", func(r *tokenexchangetest.Recorder) sinkFunc {
			return func(ctx context.Context, ev tx.Event) error {
				ev.Err = nil
				return r.RecordExchange(ctx, ev)
			}
		}, []string{"an event recorded another", "concurrent call recorded another"}},
		{"omits the subject", func(r *tokenexchangetest.Recorder) sinkFunc {
			return func(ctx context.Context, ev tx.Event) error {
				ev.Facts.Subject = tx.Subject{}
				return r.RecordExchange(ctx, ev)
			}
		}, []string{"an event recorded another", "concurrent call recorded another",
			"cancelled context recorded another"}},
		{"returns nil when it is cancelled", func(r *tokenexchangetest.Recorder) sinkFunc {
			return func(ctx context.Context, ev tx.Event) error {
				if ctx.Err() != nil {
					return nil
				}
				return r.RecordExchange(ctx, ev)
			}
		}, []string{"RecordExchange for an event under a cancelled context returned nil but"}},
		{"fails", func(*tokenexchangetest.Recorder) sinkFunc {
			return func(context.Context, tx.Event) error { return errDown }
		}, []string{"RecordExchange for an event failed: the database is down",
			"RecordExchange for an event in a concurrent call failed"}},
		{"needs an actor", func(r *tokenexchangetest.Recorder) sinkFunc {
			return func(ctx context.Context, ev tx.Event) error {
				_ = ev.Facts.Actor.ID
				return r.RecordExchange(ctx, ev)
			}
		}, []string{"RecordExchange for an event panicked: runtime error: invalid memory",
			"concurrent call panicked", "cancelled context panicked"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r tokenexchangetest.Recorder
			finds(t, tokenexchangetest.CheckSink(ctx, tt.sink(&r), r.Events), tt.want...)
		})
	}
}

func TestCheckSinkFindsABlockedCall(t *testing.T) {
	never := make(chan struct{})
	defer close(never)
	blocks := func(context.Context, tx.Event) error { <-never; return nil }
	err := tokenexchangetest.CheckSink(soon(t), sinkFunc(blocks), nil)
	finds(t, err, "RecordExchange for an event did not return in time")
}

// The context of a sink has no deadline, as in an exchange (I06).
func TestCheckSinkGivesNoDeadline(t *testing.T) {
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	inspect := func(ctx context.Context, _ tx.Event) error {
		_, hasDeadline := ctx.Deadline()
		assert.True(t, !hasDeadline || ctx.Err() != nil)
		return nil
	}
	assert.NoError(t, tokenexchangetest.CheckSink(limited, sinkFunc(inspect), nil))
}
