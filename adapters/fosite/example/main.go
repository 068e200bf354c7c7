// Command example runs an authorization server on ory/fosite, with fosite's example store and token
// exchange. It makes four exchanges over HTTP and prints the requests, the responses and the audit
// events. Its exit code is 0 only if every result is the expected one.
//
// A host would write newServer and newExchange, in server.go. The rest of server.go is an ordinary
// fosite server. The clients and APIs are in walk.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, steps)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "example:", err)
		os.Exit(1)
	}
}

// run starts the server, walks through the steps and stops the server. It returns early if ctx ends
// or a result is not the expected one.
func run(ctx context.Context, out io.Writer, steps []step) (err error) {
	audit := &trail{}
	handler, err := newServer(audit)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	web := &http.Server{Handler: handler, ReadTimeout: 5 * time.Second,
		WriteTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- web.Serve(l) }()
	defer func() {
		err = errors.Join(err, web.Close())
		if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
			err = errors.Join(err, ended)
		}
	}()
	w := &walk{base: "http://" + l.Addr().String() + "/oauth2/", out: out, audit: audit,
		tokens: map[string]string{}}
	return w.run(ctx, steps)
}
