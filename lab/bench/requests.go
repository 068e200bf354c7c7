package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
)

// post is a request to a handler, in process: no network, and the same for everybody who is measured. All of it but the
// reader of its body is made once, so that little of what is measured is the measuring.
type post struct {
	handler http.Handler
	request *http.Request
	form    string
}

// newPost asks for path with a form, as the client of this run.
func newPost(handler http.Handler, path, form string) post {
	r := httptest.NewRequest(http.MethodPost, path, nil)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(clientID, secret)
	r.ContentLength = int64(len(form))
	return post{handler, r, form}
}

// do sends it once, and wants a token for it.
func (p post) do() {
	w := p.answer()
	if w.Code != http.StatusOK || !bytes.Contains(w.Body.Bytes(), []byte(`"access_token"`)) {
		panic(fmt.Sprintf("%d %s", w.Code, w.Body))
	}
}

func (p post) answer() *httptest.ResponseRecorder {
	r := *p.request
	r.Body = io.NopCloser(strings.NewReader(p.form))
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, &r)
	return w
}

// times is the request as work.
func (p post) times(n int) {
	for range n {
		p.do()
	}
}

// secret is what the client authenticates with, here and at the peer.
const secret = "secret"
