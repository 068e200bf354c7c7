package securitytest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/world"
)

// TestR10_ManyAudiences sends more targets, and more parameters, than are read.
func TestR10_ManyAudiences(t *testing.T) {
	w := world.New(t)
	for _, n := range []int{17, 100, 996} {
		f := w.AccessForm(nil)
		for i := range n {
			f.Add("audience", fmt.Sprint("https://", i, ".example"))
		}
		w.Events = nil
		w.Post("shop", f).Refused(t, tx.InvalidTarget)
		require.Len(t, w.Events, 1, "I07")
		w.Post("", f).Refused(t, tx.InvalidClient)
		require.Len(t, w.Events, 1)
	}
	t.Run("more parameters than are read", func(t *testing.T) {
		f := w.AccessForm(nil)
		f["audience"] = slices.Repeat([]string{"a"}, 10_000)
		w.Events = nil
		w.Post("shop", f).Refused(t, tx.InvalidRequest)
		require.Empty(t, w.Events)
	})
	t.Run("a body of nothing but separators", func(t *testing.T) {
		start := time.Now()
		w.Send(w.Request("shop", strings.Repeat("&", 256<<10))).Refused(t, tx.InvalidRequest)
		w.Send(w.Request("shop", strings.Repeat("a=&", 80<<10))).Refused(t, tx.InvalidRequest)
		require.Less(t, time.Since(start), 5*time.Second)
	})
}

// endless is a body that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// TestR10_BodiesWithoutEnd sends bodies that never end, come slowly, or are cut off.
func TestR10_BodiesWithoutEnd(t *testing.T) {
	w := world.New(t)
	const head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
	server := httptest.NewUnstartedServer(w.Handler(w.Authenticate))
	server.Config.ReadTimeout = 300 * time.Millisecond
	server.Start()
	defer server.Close()
	t.Run("fast", func(t *testing.T) {
		r, err := http.NewRequest(http.MethodPost, server.URL, endless{})
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := http.DefaultClient.Do(r)
		if err == nil { // the server may hang up before the client reads the answer
			defer resp.Body.Close()
			require.Equal(t, http.StatusBadRequest, resp.StatusCode)
			body, _ := io.ReadAll(resp.Body)
			require.Contains(t, string(body), "invalid_request")
		}
	})
	for name, header := range map[string]string{
		"chunked":   "Transfer-Encoding: chunked\r\n\r\n5\r\ngrant",
		"announced": "Content-Length: 1000\r\n\r\ngrant_type=",
	} {
		t.Run("slow, "+name, func(t *testing.T) {
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			require.NoError(t, err)
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(5*time.Second)))
			_, err = conn.Write([]byte(head + header))
			require.NoError(t, err)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			defer resp.Body.Close()
			require.Equal(t, http.StatusBadRequest, resp.StatusCode)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Contains(t, string(body), `"invalid_request"`)
			require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
		})
	}
	t.Run("cut off", func(t *testing.T) {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		require.NoError(t, err)
		body := w.AccessForm(nil).Encode()
		fmt.Fprintf(conn, "%sContent-Length: %d\r\n\r\n%s", head, len(body)+100, body)
		require.NoError(t, conn.(*net.TCPConn).CloseWrite())
		got, _ := io.ReadAll(conn)
		require.NotContains(t, string(got), "200 OK")
		conn.Close()
	})
	require.Empty(t, w.Events, "no exchange began")
}

// TestR09_TwoWaysOfClientAuthentication authenticates by HTTP Basic and in the body at once.
func TestR09_TwoWaysOfClientAuthentication(t *testing.T) {
	w := world.New(t)
	body := w.AccessForm(nil).Encode()
	for _, more := range []string{
		"&client_id=shop&client_secret=secret-shop", "&client_secret=x",
		"&client_id=other&client_secret=secret-other", "&client_assertion=x",
		"&client_assertion=a.b.c&client_assertion_type=y",
	} {
		w.Send(w.Request("shop", body+more)).Refused(t, tx.InvalidRequest)
	}
	w.Send(w.Request("shop", body+"&client_id=shop")).Granted(t)
	w.Send(w.Request("shop", body+"&client_id=shop&client_secret=")).Granted(t)
	lower := w.Request("shop", body+"&client_secret=secret-shop")
	basic := lower.Header.Get("Authorization")
	lower.Header.Set("Authorization", strings.Replace(basic, "Basic", "bAsIc", 1))
	w.Send(lower).Refused(t, tx.InvalidRequest)
}

// TestR01_Multipart sends a good form as multipart/form-data.
func TestR01_Multipart(t *testing.T) {
	w := world.New(t)
	text := ""
	for name, values := range w.AccessForm(nil) {
		text += fmt.Sprintf("--b\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n",
			name, values[0])
	}
	r := w.Request("shop", text+"--b--\r\n")
	r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	w.Send(r).Refused(t, tx.InvalidRequest)
	r = w.Request("shop", text+"--b--\r\n")
	r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	require.NoError(t, r.ParseMultipartForm(1<<20))
	rec := httptest.NewRecorder()
	w.Handler(w.Authenticate).ServeHTTP(rec, r)
	require.Equal(t, http.StatusBadRequest, rec.Code, "even if the host has parsed it")
	require.Empty(t, w.Events)
}

// TestR13_ResponsesNeverEchoInput sends a marker in the values and names of parameters, in claims,
// headers and the URL. No answer may contain it.
func TestR13_ResponsesNeverEchoInput(t *testing.T) {
	w := world.New(t)
	const marker = "m4rk3r"
	urn := "urn:" + marker
	good := w.Delegation(nil)
	check := func(a world.Answer) {
		require.NotContains(t, a.Raw, marker)
		for name, values := range a.Header {
			require.NotContains(t, name+strings.Join(values, ""), marker)
		}
	}
	for _, name := range []string{
		"grant_type", "subject_token", "subject_token_type", "actor_token", "actor_token_type",
		"requested_token_type", "audience", "resource", "scope", "authorization_details", marker,
	} {
		for _, value := range []string{
			marker, urn, "https://" + marker + ".example/", "https://" + marker + "#",
			marker + " " + marker + "  ", marker + "\x00", "<script>" + marker,
			marker + strings.Repeat("x", 70_000), "eyJ." + marker + ".x",
		} {
			for _, client := range []string{"shop", "spa", ""} {
				f := world.With(good, name, value)
				check(w.Post(client, f))
				f.Add(name, value)
				check(w.Post(client, f))
			}
		}
	}
	for _, claim := range []string{
		"sub", "iss", "aud", "scope", "jti", "client_id", "azp", "exp", "act", "may_act", "cnf",
		"acr",
	} {
		check(w.Post("shop", w.Delegation(claims{claim: marker}, "scope", "admin")))
		check(w.Post("shop", w.Delegation(claims{claim: claims{"sub": marker}}, "scope", "admin")))
	}
	for _, header := range []string{
		"Authorization", "Content-Type", "DPoP", "X-Request-Id", "Accept", "Origin",
	} {
		for _, value := range []string{
			marker, "Basic " + marker, "Bearer " + marker, "application/" + marker,
			"application/x-www-form-urlencoded; charset=" + marker,
		} {
			r := w.Request("shop", good.Encode())
			r.Header.Set(header, value)
			if a := w.Send(r); a.Status != http.StatusOK {
				check(a)
			}
		}
	}
	r := w.Request("shop", good.Encode())
	r.URL.RawQuery, r.URL.Path = "scope="+marker, "/"+marker
	check(w.Send(r))
	r = w.Request(marker, good.Encode())
	check(w.Send(r).Refused(t, tx.InvalidClient))
}

// TestR12_ConcurrentPeopleAreNotMixed exchanges for many people at once. Run it with -race.
func TestR12_ConcurrentPeopleAreNotMixed(t *testing.T) {
	w := world.New(t)
	const people = 16
	for i := range people {
		for _, kind := range []string{"user", "actor", "prior-user"} {
			id := fmt.Sprintf("%s-%d", kind, i)
			w.People[world.Own+" "+id] = world.Person(id)
		}
	}
	hook := func(_ context.Context, d tx.Decision, c map[string]any) error {
		c["seen"] = d.Facts.Subject.ID + " " + d.Facts.Actor.ID
		return nil
	}
	w.TokenIssuer = world.NewIssuer(t, w.Key, "own-1", tx.JWTIssuer{Claims: hook})
	var all sync.WaitGroup
	for i := range people {
		all.Go(func() {
			for round := range 12 {
				if err := exchangeAsPerson(w, i, round); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	require.Len(t, w.Events, people*12)
	for _, e := range w.Events {
		require.Equal(t, strings.TrimPrefix(e.Facts.Subject.ID, "user"),
			strings.TrimPrefix(e.Facts.Actor.ID, "actor"))
	}
}

// exchangeAsPerson exchanges once for the user and the actor of a number, and compares the answer
// with what this user and this actor sent. Every fourth round must be refused.
func exchangeAsPerson(w *world.World, i, round int) error {
	user, actor, acr := fmt.Sprint("user-", i), fmt.Sprint("actor-", i), fmt.Sprint("acr-", i)
	scope := []string{"read", "write"}[(i+round)%2]
	f := w.AccessForm(claims{
		"sub": user, "acr": acr, "amr": []string{acr}, "auth_time": 1_700_000_000 + i,
		"act": claims{"sub": "prior-" + user},
	}, "scope", scope)
	actorToken := w.Access(claims{"sub": actor, "acr": "actor's"})
	f = world.WithActor(f, actorToken, tx.TypeAccessToken)
	refuse := round%4 == 3
	if refuse {
		f.Set("audience", "https://unknown-"+user)
	}
	resp, err := http.DefaultClient.Do(w.Request("shop", f.Encode()))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if refuse {
		const refusal = `{"error":"invalid_target","error_description":` +
			`"A requested audience or resource is malformed, unknown or not acceptable."}`
		if string(raw) != refusal {
			return fmt.Errorf("refusal of %s: %s", user, raw)
		}
		return nil
	}
	var answer struct {
		Token string `json:"access_token"`
		Scope string `json:"scope"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil || strings.Count(answer.Token, ".") != 2 {
		return fmt.Errorf("%s: %s", user, raw)
	}
	c := world.ClaimsOf(w, answer.Token)
	act, _ := c["act"].(claims)
	prior, _ := act["act"].(claims)
	got := []any{c["sub"], act["sub"], prior["sub"], c["scope"], answer.Scope, c["acr"], c["seen"]}
	want := []any{user, actor, "prior-" + user, scope, scope, acr, user + " " + actor}
	if !slices.Equal(got, want) || fmt.Sprint(c["auth_time"]) != fmt.Sprint(1_700_000_000+i) ||
		fmt.Sprint(c["amr"]) != "["+acr+"]" {
		return fmt.Errorf("%s by %s was given %v", user, actor, c)
	}
	return nil
}
