package resourceserver_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/resourceserver"
)

// recorded sends one request to an API and returns what its audit was told.
func recorded(t *testing.T, w *world, next http.HandlerFunc, authorization string,
	scope ...string) resourceserver.Access {
	t.Helper()
	told := make(chan resourceserver.Access, 1)
	w.api.Audit = func(ctx context.Context, a resourceserver.Access) {
		assert.NoError(t, ctx.Err())
		told <- a
	}
	req, err := http.NewRequest(http.MethodDelete,
		serve(t, w.api.Protect(next, scope...))+"/orders/7?secret=1", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", authorization)
	if resp, err := http.DefaultClient.Do(req); err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	select {
	case a := <-told:
		return a
	case <-time.After(10 * time.Second):
		t.Fatal("the audit was not told")
		panic("not reached")
	}
}

func TestW05_TheRecordNamesBothPeople(t *testing.T) {
	w := newWorld(t)
	for _, actAs := range []bool{false, true} {
		a := recorded(t, w,
			func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
			"Bearer "+w.issue(t, actAs, bob()), "read")
		assert.NoError(t, a.Err)
		assert.Equal(t, now, a.Time)
		assert.Equal(t, "DELETE /orders/7 204", fmt.Sprint(a.Method, " ", a.Path, " ", a.Status))
		assert.Equal(t, resourceserver.Party{Issuer: issuer, Subject: "alice"}, a.Subject)
		assert.Equal(t, resourceserver.Party{Issuer: issuer, Subject: "bob"}, a.Actor)
		assert.Equal(t, "console", a.Token.ClientID)
		assert.Equal(t, tokenexchange.Scope{"read"}, a.Token.Scope)
		assert.NotEmpty(t, a.Token.ID)
		assert.Equal(t, "carol", a.Token.Actor.Prior.Subject)
		assert.Empty(t, a.Token.Claims, "a claim may be a token (C05)")
	}
}

func TestW05_RefusalsAreRecorded(t *testing.T) {
	w := newWorld(t)
	never := func(http.ResponseWriter, *http.Request) { t.Error("let in") }
	for name, tt := range map[string]struct {
		authorization string
		status        int
		code          tokenexchange.Code
		reason        string
		subject       string
	}{
		"no token":  {"", 401, resourceserver.InvalidToken, "token_missing", ""},
		"malformed": {"Bearer", 400, tokenexchange.InvalidRequest, "token_malformed", ""},
		"expired": {"Bearer " + w.token(map[string]any{"exp": now.Unix()}), 401,
			resourceserver.InvalidToken, "token_expired", ""},
		"elsewhere": {"Bearer " + w.token(map[string]any{"aud": "https://else.example"}), 401,
			resourceserver.InvalidToken, "audience_mismatch", ""},
		"bound": {"Bearer " + w.token(map[string]any{"cnf": map[string]any{"jkt": "K"}}), 401,
			resourceserver.InvalidToken, "scheme_mismatch", "alice"},
		"less scope": {"Bearer " + w.token(map[string]any{"scope": "read"}), 403,
			resourceserver.InsufficientScope, "scope_missing", "alice"},
	} {
		a := recorded(t, w, never, tt.authorization, "write")
		assert.Equal(t, tt.status, a.Status, name)
		assert.ErrorIs(t, a.Err, tt.code, name)
		assert.Equal(t, tt.reason, tokenexchange.AsError(a.Err).Reason, name)
		assert.Equal(t, tt.subject, a.Subject.Subject, name)
		assert.Equal(t, tt.subject, a.Token.Subject, name)
	}
}

func TestW05_TheStatusIsTheFinalOne(t *testing.T) {
	w := newWorld(t)
	good := "Bearer " + w.token(nil)
	for name, tt := range map[string]struct {
		next http.HandlerFunc
		want int
	}{
		"nothing": {func(http.ResponseWriter, *http.Request) {}, 200},
		"a body":  {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "x") }, 200},
		"early hints": {
			func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); w.WriteHeader(404) },
			404},
		"flushed": {
			func(w http.ResponseWriter, _ *http.Request) {
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}, 200},
		"panic": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			0},
		"panic, later": {
			func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(201)
				panic(http.ErrAbortHandler)
			}, 201},
	} {
		a := recorded(t, w, tt.next, good)
		assert.Equal(t, tt.want, a.Status, name)
		assert.Equal(t, strings.Contains(name, "panic") || name == "flushed", a.Panicked, name)
		assert.NoError(t, a.Err, name)
		assert.Equal(t, "alice", a.Subject.Subject, name)
	}
}

// An audit that hangs holds a request for some seconds, even if it ignores its context; one that
// panics does so in the request's goroutine, where the server sees it.
func TestW05_AuditThatHangs(t *testing.T) {
	w := newWorld(t)
	ask := func(ctx context.Context) {
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
		w.api.Protect(who).ServeHTTP(httptest.NewRecorder(), r)
	}
	synctest.Test(t, func(t *testing.T) {
		until := make(chan struct{})
		w.api.Audit = func(ctx context.Context, _ resourceserver.Access) {
			end, _ := ctx.Deadline()
			assert.Equal(t, 5*time.Second, time.Until(end))
			<-until
		}
		begin := time.Now()
		ask(t.Context())
		require.Equal(t, 5*time.Second, time.Since(begin))
		close(until)
	})
	w.api.Audit = func(context.Context, resourceserver.Access) { panic(http.ErrAbortHandler) }
	require.PanicsWithError(t, http.ErrAbortHandler.Error(), func() { ask(t.Context()) })
}

// W05: a log line has both people under names of their own, and how it ended.
func TestW05_LogValue(t *testing.T) {
	w := newWorld(t)
	acted := "Bearer " + w.issue(t, false, bob())
	logged := func(a resourceserver.Access) string {
		var line strings.Builder
		slog.New(slog.NewTextHandler(&line,
			&slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
				if len(groups) == 0 &&
					(a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
					return slog.Attr{}
				}
				return a
			}})).LogAttrs(t.Context(), slog.LevelInfo, "", slog.Any("", a))
		return line.String()
	}
	a := recorded(t, w,
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, acted)
	assert.Equal(t,
		"outcome=answered method=DELETE path=/orders/7 status=204 client=console subject.iss="+
			issuer+" subject.id=alice actor.iss="+issuer+" actor.id=bob chain=\"\\\"bob\\\" < "+
			"\\\"carol\\\"\" scope=read "+
			"token_id="+a.Token.ID+"\n",
		logged(a))
	a = recorded(t, w, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		panic(http.ErrAbortHandler)
	}, acted)
	assert.Contains(t, logged(a),
		"outcome=failed method=DELETE path=/orders/7 status=200 client=console")
	a = recorded(t, w, func(http.ResponseWriter, *http.Request) {}, acted, "")
	assert.Contains(t, logged(a), "outcome=failed", "an API that asks for a malformed scope")
	a = recorded(t, w, func(http.ResponseWriter, *http.Request) {}, acted, "write")
	assert.Contains(t, logged(a),
		"outcome=refused method=DELETE path=/orders/7 status=403 client=console subject.iss="+
			issuer+" subject.id=alice actor.iss="+issuer+" actor.id=bob")
	assert.Contains(t, logged(a), "error=insufficient_scope reason=scope_missing detail=")
	a = recorded(t, w, func(http.ResponseWriter, *http.Request) {}, "")
	assert.Equal(t, "outcome=refused method=DELETE path=/orders/7 status=401 error=invalid_token "+
		"reason=token_missing detail=\"the request has no token\"\n", logged(a))
	w.api.Verify = func(context.Context, tokenexchange.Credential) (tokenexchange.Token, error) {
		return tokenexchange.Token{}, errors.New("down")
	}
	a = recorded(t, w, func(http.ResponseWriter, *http.Request) {}, acted)
	assert.Contains(t, logged(a), "error=server_error reason=token_not_verified detail=")
	assert.Contains(t, logged(a), "cause=down")
}

func TestW05_StreamsStayStreams(t *testing.T) {
	w := newWorld(t)
	w.api.Audit = func(context.Context, resourceserver.Access) {}
	release := make(chan struct{})
	base := serve(t, w.api.Protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c := http.NewResponseController(w)
		assert.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Minute)))
		fmt.Fprintln(w, "first")
		assert.NoError(t, c.Flush())
		<-release
	})))
	req, err := http.NewRequest(http.MethodGet, base, nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+w.token(nil))
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	close(release)
	assert.NoError(t, err)
	assert.Equal(t, "first\n", line)
}

func TestW05_ToldAlsoAfterTheCallerHasGone(t *testing.T) {
	w := newWorld(t)
	var told error
	w.api.Audit = func(ctx context.Context, _ resourceserver.Access) { told = ctx.Err() }
	ctx, cancel := context.WithCancel(context.Background())
	r := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx)
	r.Header.Set("Authorization", "Bearer "+w.token(nil))
	w.api.Protect(
		http.HandlerFunc(func(http.ResponseWriter, *http.Request) { cancel() })).ServeHTTP(
		httptest.NewRecorder(), r)
	assert.NoError(t, told)
	assert.Error(t, ctx.Err())
}
