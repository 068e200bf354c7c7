// Command authserver is a small authorization server that embeds the library: token exchange, refresh, client credentials,
// introspection, revocation, metadata, and a protected API of its own. All that it knows is a world, one JSON file.
//
//	authserver [-addr HOST:PORT] [-world FILE] [-key FILE] [-audit FILE] [-demo]
//
// What an adopter copies is in embed.go and answers.go: the first puts the library together, the second answers what only
// a host can. The rest is what an authorization server has anyway. State is in memory, and tokens end with the process; a
// tokenstore.Store over a database keeps them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal does not wait
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "authserver:", err)
		os.Exit(1)
	}
}

// arguments are what the command line says.
type arguments struct {
	addr, world, key, audit string
	demo                    bool
}

func parseArguments(args []string, stderr io.Writer) (a arguments, err error) {
	flags := flag.NewFlagSet("authserver", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&a.addr, "addr", "127.0.0.1:9000", "address to serve on; port 0 picks one")
	flags.StringVar(&a.world, "world", "", "JSON file with clients, users and policy; the demo world if empty")
	flags.StringVar(&a.key, "key", "", "PEM file with the private key to sign with; a new key if empty")
	flags.StringVar(&a.audit, "audit", "", "file to append the audit log to; standard error if empty")
	flags.BoolVar(&a.demo, "demo", false, "log in the users that the world names, and print their tokens as one line of JSON")
	if err = flags.Parse(args); err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return a, err
}

// run serves until ctx ends, and then until every request that is under way has been answered.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	a, err := parseArguments(args, stderr)
	if err != nil {
		return err
	}
	w, o, err := a.load()
	if err != nil {
		return err
	}
	o.Log = slog.NewJSONHandler(stderr, nil)
	if a.audit != "" {
		file, err := os.OpenFile(a.audit, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer file.Close()
		o.Log = slog.NewJSONHandler(file, nil)
	}
	l, err := net.Listen("tcp", a.addr)
	if err != nil {
		return err
	}
	defer l.Close()
	o.Issuer = "http://" + l.Addr().String()
	s, err := newServer(w, o)
	if err != nil {
		return err
	}
	return s.serve(ctx, l, func() error {
		s.log.Info("listening", "address", l.Addr().String(), "issuer", s.issuer)
		if !a.demo {
			return nil
		}
		line, err := s.demo(ctx, w)
		if err != nil {
			return err
		}
		return json.NewEncoder(stdout).Encode(line)
	})
}

// load reads the files that the arguments name.
func (a arguments) load() (w *world, o options, err error) {
	data := demoWorld
	if a.world != "" {
		if data, err = os.ReadFile(a.world); err != nil {
			return nil, o, err
		}
	}
	if w, err = parseWorld(data); err == nil && a.key != "" {
		o.Key, err = readKey(a.key)
	}
	return w, o, err
}

// drainTime is how long requests that are under way have once the server is told to stop.
const drainTime = 10 * time.Second

// serve answers requests until ctx ends; ready is called as soon as they are accepted.
func (s *server) serve(ctx context.Context, l net.Listener, ready func() error) error {
	web := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      20 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelError),
	}
	served := make(chan error, 1)
	go func() { served <- web.Serve(l) }()
	err := ready()
	if ctx.Err() != nil {
		err = nil // told to stop before it was ready
	}
	if err == nil {
		select {
		case <-ctx.Done():
		case err = <-served:
			return err
		}
	}
	s.log.Info("stopping")
	drain, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	err = errors.Join(err, web.Shutdown(drain))
	if s.notices != nil && s.notices.Close(drain) != nil {
		s.log.Warn("users were not told any more", "dropped", s.notices.Dropped())
	}
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}
