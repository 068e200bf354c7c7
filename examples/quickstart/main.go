// Command quickstart starts an authorization server with token exchange on loopback and walks
// through nine steps as its clients, over HTTP. It prints each request, each response and the audit
// trail. It exits with 0 only if every response, every issued token and every audit event is as
// expected.
//
// A host writes server.go and policy.go, and has already what is in world.go. The other files are
// the clients and the APIs.
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

	"github.com/go-tokenexchange/tokenexchange"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, rules, steps)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run starts the server, takes the steps and stops the server. It ends early if ctx ends or an
// outcome is not as expected.
func run(ctx context.Context, out io.Writer, rules []tokenexchange.Rule, steps []step) (err error) {
	s, secrets := newServer()
	audit := &trail{}
	base, shutdown, err := start(s, rules, audit)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shutdown()) }()

	k := &walk{base: base, secrets: secrets, tokens: map[string]issued{}, trail: audit}
	for _, l := range logins {
		t, err := s.logIn(ctx, l)
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		k.tokens[l.name] = issuedAs(t)
	}
	return k.take(ctx, out, steps)
}

// start serves on a free port of the loopback interface. It returns the URL, and a function that
// stops the server after the requests under way.
func start(s *server, rules []tokenexchange.Rule, audit tokenexchange.AuditSink) (
	string, func() error, error) {
	policy, err := tokenexchange.NewPolicy(rules...)
	if err != nil {
		return "", nil, err
	}
	handler, err := s.handler(policy, audit)
	if err != nil {
		return "", nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	web := &http.Server{Handler: handler, ReadTimeout: 5 * time.Second,
		WriteTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- web.Serve(l) }()
	return "http://" + l.Addr().String(), func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err := web.Shutdown(ctx)
		if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
			err = errors.Join(err, ended)
		}
		return err
	}, nil
}
