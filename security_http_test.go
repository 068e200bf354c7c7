package tokenexchange_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

func TestR10_ManyAudiences(t *testing.T) {
	w := newWorld(t)
	for _, n := range []int{17, 100, 996} {
		f := form(w.access(nil), tx.TypeAccessToken)
		for i := range n {
			f.Add("audience", fmt.Sprint("https://", i, ".example"))
		}
		w.events = nil
		w.post("shop", f).refused(t, tx.InvalidTarget)
		require.Len(t, w.events, 1, "I07")
		w.post("", f).refused(t, tx.InvalidClient)
		require.Len(t, w.events, 1)
	}
	t.Run("more parameters than are read", func(t *testing.T) {
		f := form(w.access(nil), tx.TypeAccessToken)
		f["audience"] = slices.Repeat([]string{"a"}, 10_000)
		w.events = nil
		w.post("shop", f).refused(t, tx.InvalidRequest)
		require.Empty(t, w.events)
	})
	t.Run("a body of nothing but separators", func(t *testing.T) {
		start := time.Now()
		w.send(w.request("shop", strings.Repeat("&", 256<<10))).refused(t, tx.InvalidRequest)
		w.send(w.request("shop", strings.Repeat("a=&", 80<<10))).refused(t, tx.InvalidRequest)
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

func TestR10_BodiesWithoutEnd(t *testing.T) {
	w := newWorld(t)
	server := httptest.NewUnstartedServer(w.Handler(w.authenticate))
	server.Config.ReadTimeout = 300 * time.Millisecond
	server.Start()
	defer server.Close()
	t.Run("fast", func(t *testing.T) {
		r, err := http.NewRequest(http.MethodPost, server.URL, endless{})
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := http.DefaultClient.Do(r)
		if err == nil { // the server may have hung up before the client has read the answer
			defer resp.Body.Close()
			require.Equal(t, http.StatusBadRequest, resp.StatusCode)
			body, _ := io.ReadAll(resp.Body)
			require.Contains(t, string(body), "invalid_request")
		}
	})
	for name, header := range map[string]string{"chunked": "Transfer-Encoding: chunked\r\n\r\n5\r\ngrant", "announced": "Content-Length: 1000\r\n\r\ngrant_type="} {
		t.Run("slow, "+name, func(t *testing.T) {
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			require.NoError(t, err)
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(5*time.Second)))
			_, err = conn.Write([]byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n" + header))
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
		body := form(w.access(nil), tx.TypeAccessToken).Encode()
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", len(body)+100, body)
		require.NoError(t, conn.(*net.TCPConn).CloseWrite())
		got, _ := io.ReadAll(conn)
		require.NotContains(t, string(got), "200 OK")
		conn.Close()
	})
	require.Empty(t, w.events, "nothing of that was an exchange")
}

func TestR09_TwoWaysOfClientAuthentication(t *testing.T) {
	w := newWorld(t)
	body := form(w.access(nil), tx.TypeAccessToken).Encode()
	for _, more := range []string{"&client_id=shop&client_secret=secret-shop", "&client_secret=x", "&client_id=other&client_secret=secret-other", "&client_assertion=x", "&client_assertion=a.b.c&client_assertion_type=y"} {
		w.send(w.request("shop", body+more)).refused(t, tx.InvalidRequest)
	}
	w.send(w.request("shop", body+"&client_id=shop")).granted(t)
	w.send(w.request("shop", body+"&client_id=shop&client_secret=")).granted(t)
	lower := w.request("shop", body+"&client_secret=secret-shop")
	lower.Header.Set("Authorization", strings.Replace(lower.Header.Get("Authorization"), "Basic", "bAsIc", 1))
	w.send(lower).refused(t, tx.InvalidRequest)
}

func TestR01_Multipart(t *testing.T) {
	w := newWorld(t)
	text := ""
	for name, values := range form(w.access(nil), tx.TypeAccessToken) {
		text += "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + values[0] + "\r\n"
	}
	r := w.request("shop", text+"--b--\r\n")
	r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	w.send(r).refused(t, tx.InvalidRequest)
	r = w.request("shop", text+"--b--\r\n")
	r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	require.NoError(t, r.ParseMultipartForm(1<<20))
	rec := httptest.NewRecorder()
	w.Handler(w.authenticate).ServeHTTP(rec, r)
	require.Equal(t, http.StatusBadRequest, rec.Code, "also where the host has parsed it")
	require.Empty(t, w.events)
}

// A marker in every parameter, in the names too, in headers, claims and everything a host says: none comes back.
func TestR13_ResponsesNeverEchoInput(t *testing.T) {
	w := newWorld(t)
	const marker = "m4rk3r"
	urn := "urn:" + marker
	good := withActor(form(w.access(nil), tx.TypeAccessToken), w.access(claims{"sub": "admin"}), tx.TypeAccessToken)
	check := func(a answer) {
		require.NotContains(t, a.raw, marker)
		for name, values := range a.header {
			require.NotContains(t, name+strings.Join(values, ""), marker)
		}
	}
	for _, name := range []string{"grant_type", "subject_token", "subject_token_type", "actor_token", "actor_token_type", "requested_token_type", "audience", "resource", "scope", "authorization_details", marker} {
		for _, value := range []string{marker, urn, "https://" + marker + ".example/", "https://" + marker + "#", marker + " " + marker + "  ", marker + "\x00", "<script>" + marker, marker + strings.Repeat("x", 70_000), "eyJ." + marker + ".x"} {
			for _, client := range []string{"shop", "spa", ""} {
				f := url.Values{}
				for k, v := range good {
					f[k] = v
				}
				f.Set(name, value)
				check(w.post(client, f))
				f.Add(name, value)
				check(w.post(client, f))
			}
		}
	}
	for _, claim := range []string{"sub", "iss", "aud", "scope", "jti", "client_id", "azp", "exp", "act", "may_act", "cnf", "acr"} {
		check(w.post("shop", withActor(form(w.access(claims{claim: marker}), tx.TypeAccessToken, "scope", "admin"), w.access(claims{"sub": "admin"}), tx.TypeAccessToken)))
		check(w.post("shop", withActor(form(w.access(claims{claim: claims{"sub": marker}}), tx.TypeAccessToken, "scope", "admin"), w.access(claims{"sub": "admin"}), tx.TypeAccessToken)))
	}
	for _, header := range []string{"Authorization", "Content-Type", "DPoP", "X-Request-Id", "Accept", "Origin"} {
		for _, value := range []string{marker, "Basic " + marker, "Bearer " + marker, "application/" + marker, "application/x-www-form-urlencoded; charset=" + marker} {
			r := w.request("shop", good.Encode())
			r.Header.Set(header, value)
			if a := w.send(r); a.status != http.StatusOK {
				check(a)
			}
		}
	}
	r := w.request("shop", good.Encode())
	r.URL.RawQuery, r.URL.Path = "scope="+marker, "/"+marker
	check(w.send(r))
	r = w.request(marker, good.Encode())
	check(w.send(r).refused(t, tx.InvalidClient))
}

// Many people at once, one server: no answer mixes them. Run with -race.
func TestR12_ConcurrentPeopleAreNotMixed(t *testing.T) {
	w := newWorld(t)
	const people = 16
	for i := range people {
		w.people[fmt.Sprintf("%s user-%d", ownIss, i)] = person(fmt.Sprintf("user-%d", i))
		w.people[fmt.Sprintf("%s actor-%d", ownIss, i)] = person(fmt.Sprintf("actor-%d", i))
		w.people[fmt.Sprintf("%s prior-user-%d", ownIss, i)] = person(fmt.Sprintf("prior-user-%d",
			i))
	}
	w.TokenIssuer = newIssuer(t, w.key, "own-1", tx.JWTIssuer{Claims: func(_ ctxType, d tx.Decision, c map[string]any) error {
		c["seen"] = d.Facts.Subject.ID + " " + d.Facts.Actor.ID
		return nil
	}})
	server := httptest.NewServer(w.Handler(w.authenticate))
	defer server.Close()
	var all sync.WaitGroup
	for i := range people {
		all.Go(func() {
			user, actor := fmt.Sprintf("user-%d", i), fmt.Sprintf("actor-%d", i)
			for round := range 12 {
				scope := []string{"read", "write"}[(i+round)%2]
				acr := fmt.Sprintf("acr-%d", i)
				subject := w.access(claims{"sub": user, "acr": acr, "amr": []string{acr}, "auth_time": 1_700_000_000 + i, "act": claims{"sub": "prior-" + user}})
				f := withActor(form(subject, tx.TypeAccessToken, "scope", scope), w.access(claims{"sub": actor, "acr": "actor's"}), tx.TypeAccessToken)
				refuse := round%4 == 3
				if refuse {
					f.Set("audience", "https://unknown-"+user)
				}
				r, err := http.NewRequest(http.MethodPost, server.URL, strings.NewReader(f.Encode()))
				if !noError(t, err) {
					return
				}
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.SetBasicAuth("shop", "secret-shop")
				resp, err := http.DefaultClient.Do(r)
				if !noError(t, err) {
					return
				}
				raw, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if !noError(t, err) {
					return
				}
				var got map[string]any
				if refuse {
					if string(raw) != `{"error":"invalid_target","error_description":"A requested audience or resource is malformed, unknown or not acceptable."}` {
						t.Errorf("refusal of %s: %s", user, raw)
					}
					continue
				}
				if !noError(t, json.Unmarshal(raw, &got)) || got["access_token"] == nil {
					t.Errorf("%s: %s", user, raw)
					return
				}
				c := says(t, got["access_token"])
				act, _ := c["act"].(map[string]any)
				prior, _ := act["act"].(map[string]any)
				if c["sub"] != user || act["sub"] != actor || prior["sub"] != "prior-"+user || c["scope"] != scope || got["scope"] != scope || c["acr"] != acr ||
					fmt.Sprint(c["auth_time"]) != fmt.Sprint(1_700_000_000+i) || c["seen"] != user+" "+actor || fmt.Sprint(c["amr"]) != "["+acr+"]" {
					t.Errorf("%s by %s was given %v", user, actor, c)
				}
			}
		})
	}
	all.Wait()
	require.Len(t, w.events, people*12)
	for _, e := range w.events {
		require.Equal(t, strings.TrimPrefix(e.Facts.Subject.ID, "user"), strings.TrimPrefix(e.Facts.Actor.ID, "actor"))
	}
}

func noError(t *testing.T, err error) bool {
	if err != nil {
		t.Error(err)
	}
	return err == nil
}
