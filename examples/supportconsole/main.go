// Command supportconsole is a small support console. An operator logs in, looks a user up, states a
// reason, and sees the app as that user does, under a banner that names both people and counts
// down. It is a backend for a frontend: every token stays in this program, and the browser has a
// cookie with a random name for its session.
//
//	supportconsole [-addr HOST:PORT] [-authserver HOST:PORT] [-issuer URL]
//
// It starts examples/authserver with the world in world.json, the API of the app, and the console.
// With -issuer it uses an authorization server that runs already and has such a world.
package main

import (
	"context"
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

	"github.com/go-tokenexchange/tokenexchange/resourceserver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil &&
		!errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "supportconsole:", err)
		os.Exit(1)
	}
}

// arguments are the flags.
type arguments struct{ addr, authserver, issuer string }

func parseArguments(args []string, stderr io.Writer) (a arguments, err error) {
	flags := flag.NewFlagSet("supportconsole", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&a.addr, "addr",
		"127.0.0.1:9001", "address to serve the console on; port 0 picks one")
	flags.StringVar(&a.authserver, "authserver",
		"127.0.0.1:9000", "address to start examples/authserver on; port 0 picks one")
	flags.StringVar(&a.issuer, "issuer", "", "authorization server to use; empty: start one")
	if err = flags.Parse(args); err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return a, err
}

// run serves until ctx ends. Then it ends every session with its tokens.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	a, err := parseArguments(args, stderr)
	if err != nil {
		return err
	}
	front, err := net.Listen("tcp", a.addr)
	if err != nil {
		return err
	}
	defer front.Close()
	back, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer back.Close()
	stderr = &lockedWriter{w: stderr}
	own := a.issuer == ""
	if own {
		server, err := startDemoServer(ctx, a.authserver, stderr)
		if err != nil {
			return err
		}
		defer server.stop()
		a.issuer = server.issuer
	}
	s := demoSettings(a.issuer, "http://"+front.Addr().String(),
		"http://"+back.Addr().String(), slog.New(slog.NewJSONHandler(stderr, nil)))
	c, app, err := assemble(ctx, s)
	if err != nil {
		return err
	}
	go c.sweep(ctx)
	fmt.Fprintf(stdout, "Open %s and sign in as ines with the password ines-demo-password.\n",
		s.URL)
	err = serve(ctx, s.Log, map[net.Listener]http.Handler{front: c, back: app})
	if !own { // the tokens of the demo's own server end with it
		c.close()
	}
	return err
}

// startDemoServer builds examples/authserver and starts it with the world of the demo.
func startDemoServer(ctx context.Context, addr string, stderr io.Writer) (*server, error) {
	dir, err := os.MkdirTemp("", "supportconsole")
	if err != nil {
		return nil, err
	}
	program, err := buildServer(ctx, dir, stderr)
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	return startServer(ctx, dir, program, world, addr, stderr)
}

// demoSettings match world.json.
func demoSettings(issuer, own, app string, log *slog.Logger) settings {
	return settings{
		URL: own, Issuer: issuer, ClientID: "console", ClientSecret: "console-demo-secret",
		Directory: issuer + "/api/users",
		Shop:      app, ShopAudience: "https://shop.example",
		Idle: 15 * time.Minute, Longest: 8 * time.Hour, MaxSessions: 1000,
		Log: log, Now: time.Now, Transport: http.DefaultTransport,
	}
}

// assemble makes the console and the API of the app. They share nothing but the authorization
// server.
func assemble(ctx context.Context, s settings) (*console, *shop, error) {
	c, err := newConsole(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	ask := resourceserver.Introspection{Endpoint: c.as.Introspection, ClientID: "shop-api",
		ClientSecret: "shop-demo-secret"}
	app, err := newShop(s.Issuer, s.ShopAudience, ask, s.Log)
	return c, app, err
}

// serve answers on all listeners until ctx ends or one of them fails.
func serve(ctx context.Context, log *slog.Logger, handlers map[net.Listener]http.Handler) error {
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var servers []*http.Server
	for l, h := range handlers {
		server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:  10 * time.Second,
			WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10,
			ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelError)}
		servers = append(servers, server)
		go func() { cancel(server.Serve(l)) }()
	}
	<-running.Done()
	drain, stop := context.WithTimeout(context.Background(), 5*time.Second)
	defer stop()
	var errs []error
	for _, server := range servers {
		errs = append(errs, server.Shutdown(drain))
	}
	if ctx.Err() == nil {
		errs = append(errs, context.Cause(running))
	}
	return errors.Join(errs...)
}

// close ends all sessions.
func (c *console) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c.endAll(ctx, c.sessions.remove(func(*session) bool { return true }))
}
