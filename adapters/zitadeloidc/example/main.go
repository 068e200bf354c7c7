// Command example runs the example server of zitadel/oidc on loopback, with the token exchange of
// package zitadelexchange. Two users log in over HTTP. Then clients exchange their tokens: a token
// is narrowed, an administrator acts for a user, an API calls the next one, and further requests
// are refused. Finally a token is revoked, which also ends the tokens made from it. The program
// prints each request and its result. Its exit code is 0 only if every result is the expected one.
//
// A host would write server.go. The other files have the users, clients and rules, and the client
// side.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, rules)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "example:", err)
		os.Exit(1)
	}
}

// run starts the server, logs two users in, runs the steps and stops the server.
func run(ctx context.Context, out io.Writer, rules []tokenexchange.Rule) (err error) {
	// the framework logs every route and every request
	slog.SetDefault(slog.New(slog.DiscardHandler))
	policy, err := tokenexchange.NewPolicy(rules...)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	issuer, audit := "http://"+l.Addr().String(), &trail{}
	handler, err := newServer(issuer, policy, audit)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	server := &http.Server{Handler: handler, ReadTimeout: 5 * time.Second,
		WriteTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer func() {
		err = errors.Join(err, server.Close())
		if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
			err = errors.Join(err, ended)
		}
	}()
	return (&walk{issuer: issuer, out: out, audit: audit, tokens: map[string]string{}}).run(ctx)
}
