package auditlog_test

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/auditlog"
)

// A record has the attributes of the event at the top level.
func TestSink(t *testing.T) {
	var log bytes.Buffer
	sink := auditlog.Sink{Handler: slog.NewJSONHandler(&log, nil)}
	event := tokenexchange.Event{
		Time:  time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Facts: tokenexchange.Facts{Client: tokenexchange.Client{ID: "app"}},
		Err:   tokenexchange.InvalidTarget,
	}
	require.NoError(t, sink.RecordExchange(t.Context(), event))
	require.JSONEq(t, `{"time":"2026-01-02T03:04:05Z","level":"INFO","msg":"token exchange",
		"outcome":"refused","grant":"","issuer":"","client":"app","error":"invalid_target",
		"cause":"invalid_target"}`, log.String())
}

// A sink that cannot write fails, so that no token leaves without its event (I06).
func TestSink_Fails(t *testing.T) {
	quiet := slog.NewTextHandler(brokenWriter{}, &slog.HandlerOptions{Level: slog.LevelError})
	for name, sink := range map[string]auditlog.Sink{
		"zero":     {},
		"disabled": {Handler: quiet},
		"broken":   {Handler: slog.NewTextHandler(brokenWriter{}, nil)},
	} {
		require.Error(t, sink.RecordExchange(t.Context(), tokenexchange.Event{}), name)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken") }
