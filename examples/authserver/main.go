// Command authserver is a small authorization server that embeds the library. It serves token
// exchange, refresh, client credentials, introspection, revocation, metadata, and a protected API
// of its own. Everything it knows is in one JSON file, the world.
//
//	authserver [-addr HOST:PORT] [-world FILE] [-key FILE] [-audit FILE] [-demo]
//
// The files to copy are server/embed.go, which puts the library together, and server/answers.go,
// which answers what only a host can know. The rest is what an authorization server has anyway.
// State is in memory, so tokens end with the process. A tokenstore.Store over a database would keep
// them.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-tokenexchange/tokenexchange/examples/authserver/server"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

// demoWorld is the default world.
//
//go:embed world.json
var demoWorld []byte

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil &&
		!errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "authserver:", err)
		os.Exit(1)
	}
}

// arguments are the flags.
type arguments struct {
	addr, world, key, audit string
	demo                    bool
}

func parseArguments(args []string, stderr io.Writer) (a arguments, err error) {
	flags := flag.NewFlagSet("authserver", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&a.addr, "addr", "127.0.0.1:9000", "address to serve on; port 0 picks one")
	flags.StringVar(&a.world, "world",
		"", "JSON file with clients, users and policy; the demo world if empty")
	flags.StringVar(&a.key, "key",
		"", "PEM file with the private key to sign with; a new key if empty")
	flags.StringVar(&a.audit, "audit",
		"", "file to append the audit log to; standard error if empty")
	flags.BoolVar(&a.demo, "demo",
		false, "log in the users that the world names, and print their tokens as one line of JSON")
	if err = flags.Parse(args); err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return a, err
}

// run serves until ctx ends, and then until every request under way is answered.
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
	s, err := server.New(w, o)
	if err != nil {
		return err
	}
	return s.Serve(ctx, l, func() error {
		s.Log.Info("listening", "address", l.Addr().String(), "issuer", s.Issuer)
		if !a.demo {
			return nil
		}
		line, err := s.Demo(ctx, w)
		if err != nil {
			return err
		}
		return json.NewEncoder(stdout).Encode(line)
	})
}

// load reads the files that the flags name.
func (a arguments) load() (w *world.World, o server.Options, err error) {
	data := demoWorld
	if a.world != "" {
		if data, err = os.ReadFile(a.world); err != nil {
			return nil, o, err
		}
	}
	if w, err = world.Parse(data); err == nil && a.key != "" {
		o.Key, err = server.ReadKey(a.key)
	}
	return w, o, err
}
