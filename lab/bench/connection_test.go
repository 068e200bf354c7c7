package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
)

// connection sends one request again and again to a server on loopback, and waits for each answer.
// It does no more than that, so that it takes little of the time that is measured.
type connection struct {
	address string
	raw     []byte // the request
	conn    net.Conn
	answers *bufio.Reader
}

// serve starts a server for a request.
func (p post) serve() (server *httptest.Server, raw []byte) {
	server = httptest.NewServer(p.handler)
	r := p.request.Clone(p.request.Context())
	r.Host = server.Listener.Addr().String()
	r.Body = io.NopCloser(bytes.NewReader([]byte(p.form)))
	var buf bytes.Buffer
	check(r.Write(&buf))
	return server, buf.Bytes()
}

// connect opens n connections to a server.
func connect(server *httptest.Server, raw []byte, n int) []*connection {
	list := make([]*connection, n)
	for i := range list {
		list[i] = &connection{address: server.Listener.Addr().String(), raw: raw}
	}
	return list
}

// do sends the request once and returns the status. If the server closes the connection, the next
// request opens another.
func (c *connection) do() int {
	if c.conn == nil {
		c.conn = must(net.Dial("tcp", c.address))
		c.answers = bufio.NewReader(c.conn)
	}
	// A server may refuse a long body before it has read all of it, so the answer is read while
	// the request is still being written. Then the write fails.
	written := make(chan bool)
	go func() {
		_, _ = c.conn.Write(c.raw)
		close(written)
	}()
	resp := must(http.ReadResponse(c.answers, nil))
	must(io.Copy(io.Discard, resp.Body))
	if resp.Close {
		check(c.conn.Close())
	}
	<-written
	if resp.Close {
		c.conn = nil
	}
	return resp.StatusCode
}

func (c *connection) close() {
	if c.conn != nil {
		check(c.conn.Close())
		c.conn = nil
	}
}

// throughAll shares requests among the connections, and panics if an answer has another status.
func throughAll(list []*connection, status int) work {
	return func(n int) {
		var group sync.WaitGroup
		for i, c := range list {
			share := (n + i) / len(list)
			group.Go(func() {
				for range share {
					if got := c.do(); got != status {
						panic(fmt.Sprintf("status %d, want %d", got, status))
					}
				}
			})
		}
		group.Wait()
	}
}
