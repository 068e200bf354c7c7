package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
)

// secret authenticates the client, here and at the peer.
const secret = "secret"

// post is a request to a handler, in process. Everything but the reader of its body is made once,
// so that the measurement itself takes little time.
type post struct {
	handler http.Handler
	request *http.Request
	form    string
}

// newPost posts a form as the client of this run.
func newPost(handler http.Handler, path, form string) post {
	r := httptest.NewRequest(http.MethodPost, path, nil)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(clientID, secret)
	r.ContentLength = int64(len(form))
	return post{handler, r, form}
}

func (p post) answer() *httptest.ResponseRecorder {
	r := *p.request
	r.Body = io.NopCloser(strings.NewReader(p.form))
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, &r)
	return w
}

// times sends the request n times and panics unless each answer has a token.
func (p post) times(n int) {
	for range n {
		w := p.answer()
		if w.Code != http.StatusOK || !bytes.Contains(w.Body.Bytes(), []byte(`"access_token"`)) {
			panic(fmt.Sprintf("%d %s", w.Code, w.Body))
		}
	}
}

// refusals sends the request n times and panics if an answer has a token.
func (p post) refusals(n int) {
	for range n {
		if w := p.answer(); w.Code != http.StatusBadRequest {
			panic(fmt.Sprintf("%d %s", w.Code, w.Body))
		}
	}
}
