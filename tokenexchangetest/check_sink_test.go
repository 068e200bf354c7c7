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
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

func TestCheckSinkPasses(t *testing.T) {
	var r tokenexchangetest.Recorder
	require.NoError(t, r.RecordExchange(ctx, tx.Event{}))
	assert.NoError(t, tokenexchangetest.CheckSink(ctx, &r, r.Events))
	assert.NoError(t, tokenexchangetest.CheckSink(ctx, &r, r.Events), "beside the events of another check")
	for _, ev := range r.Events()[1:] {
		assert.NotEmpty(t, ev.Facts.Client.ID)
	}
	assert.NoError(t, tokenexchangetest.CheckSink(ctx, &r, nil))

	confirms := func(context.Context, tx.Event) error { return nil }
	assert.ErrorContains(t, tokenexchangetest.CheckSink(ctx, sinkFunc(confirms), r.Events), "lost one", "another check's events are not this one's")
}

// A log is read back from its lines.
func TestCheckSinkPassesForALog(t *testing.T) {
	var log bytes.Buffer
	recorded := func() (list []tx.Event) {
		for line := range bytes.Lines(log.Bytes()) {
			var said struct {
				Outcome, Client, Error string
				Subject                struct{ ID string }
				Granted                struct {
					TokenID string `json:"token_id"`
				}
			}
			require.NoError(t, json.Unmarshal(line, &said), "%s", line)
			ev := tx.Event{TokenID: said.Granted.TokenID, Facts: tx.Facts{Client: tx.Client{ID: said.Client}}}
			ev.Facts.Subject.ID = said.Subject.ID
			if said.Outcome != "granted" {
				ev.Err = errors.New(said.Error)
			}
			list = append(list, ev)
		}
		return list
	}
	sink := tx.LogSink{Handler: slog.NewJSONHandler(&log, nil)}
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
		}, []string{"RecordExchange for an event lost one that it had confirmed (I06)", "RecordExchange for events, concurrently, lost one",
			"RecordExchange for an event under a cancelled context lost one"}},
		{"records grants only", func(r *tokenexchangetest.Recorder) sinkFunc {
			return func(ctx context.Context, ev tx.Event) error {
				if ev.Err != nil {
					return nil
				}
				return r.RecordExchange(ctx, ev)
			}
		}, []string{"RecordExchange for an event lost", "RecordExchange for events, concurrently, lost"}},
		{"loses what comes at once", func(r *tokenexchangetest.Recorder) sinkFunc {
			var busy sync.Mutex
			return func(ctx context.Context, ev tx.Event) error {
				if !busy.TryLock() {
					return nil
				}
				defer busy.Unlock()
				time.Sleep(time.Millisecond)
				return r.RecordExchange(ctx, ev)
			}
		}, []string{"RecordExchange for events, concurrently, lost one that it had confirmed (I06)"}},
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
		}, []string{"RecordExchange for an event lost one", "concurrently, lost one", "cancelled context lost one"}},
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
		}, []string{"RecordExchange for an event recorded one with another's subject, token or outcome",
			"RecordExchange for events, concurrently, recorded one", "cancelled context recorded one"}},
		{"records every event as granted", func(r *tokenexchangetest.Recorder) sinkFunc {
			return func(ctx context.Context, ev tx.Event) error { ev.Err = nil; return r.RecordExchange(ctx, ev) }
		}, []string{"an event recorded one with", "concurrently, recorded one with"}},
		{"forgets the subject", func(r *tokenexchangetest.Recorder) sinkFunc {
			return func(ctx context.Context, ev tx.Event) error {
				ev.Facts.Subject = tx.Subject{}
				return r.RecordExchange(ctx, ev)
			}
		}, []string{"an event recorded one with", "concurrently, recorded one with", "cancelled context recorded one with"}},
		{"confirms what was cancelled", func(r *tokenexchangetest.Recorder) sinkFunc {
			return func(ctx context.Context, ev tx.Event) error {
				if ctx.Err() != nil {
					return nil
				}
				return r.RecordExchange(ctx, ev)
			}
		}, []string{"RecordExchange for an event under a cancelled context lost one that it had confirmed (I06)"}},
		{"fails", func(*tokenexchangetest.Recorder) sinkFunc {
			return func(context.Context, tx.Event) error { return errDown }
		}, []string{"RecordExchange for an event failed: the database is down", "RecordExchange for events, concurrently, failed"}},
		{"needs an actor", func(r *tokenexchangetest.Recorder) sinkFunc {
			return func(ctx context.Context, ev tx.Event) error {
				_ = ev.Facts.Actor.ID
				return r.RecordExchange(ctx, ev)
			}
		}, []string{"RecordExchange for an event panicked: runtime error: invalid memory", "concurrently, panicked", "cancelled context panicked"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r tokenexchangetest.Recorder
			finds(t, tokenexchangetest.CheckSink(ctx, tt.sink(&r), r.Events), tt.want...)
		})
	}
}

func TestCheckSinkFindsOneThatBlocks(t *testing.T) {
	never := make(chan struct{})
	defer close(never)
	blocks := func(context.Context, tx.Event) error { <-never; return nil }
	err := tokenexchangetest.CheckSink(soon(t), sinkFunc(blocks), nil)
	finds(t, err, "RecordExchange for an event did not return in time")
}

// An exchange gives a sink a context that does not end (I06).
func TestCheckSinkGivesNoDeadline(t *testing.T) {
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	looks := func(ctx context.Context, _ tx.Event) error {
		_, ends := ctx.Deadline()
		assert.True(t, !ends || ctx.Err() != nil)
		return nil
	}
	assert.NoError(t, tokenexchangetest.CheckSink(limited, sinkFunc(looks), nil))
}
