// Command example runs an authorization server on ory/fosite, with fosite's own example store, to which token exchange has
// been added. It walks through four exchanges over HTTP, and prints what was asked, what came back and what the audit trail
// says. It exits with 0 only if each outcome is the expected one.
//
// What a host writes for it is newServer and newExchange, in server.go. The rest of server.go is a fosite server as there
// are many; walk.go is the other side, the clients and the APIs.
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

// run starts the server, takes the steps and stops the server. It ends early where ctx does, or where an outcome is not
// the expected one.
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
	web := &http.Server{Handler: handler, ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- web.Serve(l) }()
	defer func() {
		err = errors.Join(err, web.Close())
		if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
			err = errors.Join(err, ended)
		}
	}()
	w := &walk{base: "http://" + l.Addr().String() + "/oauth2/", out: out, audit: audit, tokens: map[string]string{}}
	return w.take(ctx, steps)
}
