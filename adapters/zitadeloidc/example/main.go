// Command example starts the example server of zitadel/oidc on loopback, login pages and all, with its token exchange
// replaced by that of package zitadelexchange. Two users log in over HTTP, then clients exchange their tokens: they are made
// smaller, an administrator acts for a user, an API calls the next one, and further requests are
// refused. At last a token is revoked, and what was made from it ends too. The program prints each
// request and its outcome, and exits with 0 only if every outcome is the expected one.
//
// What a host writes is in server.go. The rest is its users, its clients and its rules, and the other side of the wire.
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

// run starts the server, lets two users log in, takes the steps and stops the server.
func run(ctx context.Context, out io.Writer, rules []tokenexchange.Rule) (err error) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the framework tells of every route and every request
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
	server := &http.Server{Handler: handler, ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer func() {
		err = errors.Join(err, server.Close())
		if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
			err = errors.Join(err, ended)
		}
	}()
	return (&walk{issuer: issuer, out: out, audit: audit, tokens: map[string]string{}}).take(ctx)
}
