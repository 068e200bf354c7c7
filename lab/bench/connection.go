package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
)

// connection sends one request again and again to a real server on loopback, and waits for each answer. It is no more than
// that, so that little of what is measured is the client.
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

// connect opens n connections to it.
func connect(server *httptest.Server, raw []byte, n int) []*connection {
	list := make([]*connection, n)
	for i := range list {
		list[i] = &connection{address: server.Listener.Addr().String(), raw: raw}
	}
	return list
}

// do sends the request once, and returns the status. Where the server has hung up, the next request finds a new connection.
func (c *connection) do() int {
	if c.conn == nil {
		c.conn = must(net.Dial("tcp", c.address))
		c.answers = bufio.NewReader(c.conn)
	}
	must(c.conn.Write(c.raw))
	resp := must(http.ReadResponse(c.answers, nil))
	must(io.Copy(io.Discard, resp.Body))
	if resp.Close {
		c.close()
	}
	return resp.StatusCode
}

func (c *connection) close() {
	if c.conn != nil {
		check(c.conn.Close())
		c.conn = nil
	}
}

// throughAll shares requests out among the connections, and wants one status from all.
func throughAll(list []*connection, status int) work {
	return func(n int) {
		var group sync.WaitGroup
		for i, c := range list {
			share := (n + i) / len(list)
			group.Go(func() {
				for range share {
					if got := c.do(); got != status {
						panic(got)
					}
				}
			})
		}
		group.Wait()
	}
}
