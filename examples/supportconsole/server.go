package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// world is what the authorization server of the demo knows.
//
//go:embed world.json
var world []byte

// server is examples/authserver, as a program of its own.
type server struct {
	issuer  string
	dir     string
	program *exec.Cmd
}

// startServer builds examples/authserver, which takes Go and some seconds, starts it, and waits until it says that it
// listens. What it logs is passed on.
func startServer(ctx context.Context, addr string, stderr io.Writer) (*server, error) {
	dir, err := os.MkdirTemp("", "supportconsole")
	if err != nil {
		return nil, err
	}
	s := &server{dir: dir}
	build := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, "authserver"), "github.com/go-tokenexchange/tokenexchange/examples/authserver")
	build.Stderr = stderr
	if err := errors.Join(build.Run(), os.WriteFile(filepath.Join(dir, "world.json"), world, 0o600)); err != nil {
		s.stop()
		return nil, fmt.Errorf("building examples/authserver, which is done from within its module: %w", err)
	}
	if err := s.start(addr, stderr); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *server) start(addr string, stderr io.Writer) error {
	s.program = exec.Command(filepath.Join(s.dir, "authserver"), "-addr", addr, "-world", filepath.Join(s.dir, "world.json"))
	log, err := s.program.StderrPipe()
	if err != nil {
		return err
	}
	if err := s.program.Start(); err != nil {
		return err
	}
	lines := bufio.NewReader(log)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return errors.New("examples/authserver has not started")
		}
		_, _ = stderr.Write(line)
		var said struct {
			Message string `json:"msg"`
			Issuer  string `json:"issuer"`
		}
		if json.Unmarshal(line, &said) == nil && said.Message == "listening" {
			s.issuer = said.Issuer
			go func() { _, _ = io.Copy(stderr, lines) }()
			return nil
		}
	}
}

// stop ends the program, and waits for it.
func (s *server) stop() {
	if s.program != nil && s.program.Process != nil {
		_ = s.program.Process.Signal(syscall.SIGTERM)
		_ = s.program.Wait()
	}
	_ = os.RemoveAll(s.dir)
}
