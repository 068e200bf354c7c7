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
	"strings"
	"sync"
	"syscall"
)

// world is the world of the demo's authorization server.
//
//go:embed world.json
var world []byte

// server is examples/authserver as a process with its own folder.
type server struct {
	issuer  string
	dir     string
	program *exec.Cmd
	read    chan struct{} // closed when all of its log has been passed on
}

// buildServer builds examples/authserver into dir. That needs Go and takes some seconds. The server
// is a module of its own, in the same repository as this program.
func buildServer(ctx context.Context, dir string, stderr io.Writer) (program string, err error) {
	const library = "github.com/go-tokenexchange/tokenexchange"
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", library).Output()
	if err != nil {
		return "", fmt.Errorf("finding examples/authserver from outside of its repository: %w", err)
	}
	program = filepath.Join(dir, "authserver")
	source := filepath.Join(strings.TrimSpace(string(root)), "examples", "authserver")
	build := exec.CommandContext(ctx, "go", "build", "-C", source, "-o", program, ".")
	build.Stderr = stderr
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("building examples/authserver: %w", err)
	}
	return program, nil
}

// startServer starts a program with a world, waits until it listens, and passes on its log. It
// removes the folder when the server stops or does not start.
func startServer(ctx context.Context, dir, program string, world []byte, addr string,
	stderr io.Writer) (*server, error) {
	s := &server{dir: dir, read: make(chan struct{})}
	file := filepath.Join(dir, "world.json")
	s.program = exec.Command(program, "-addr", addr, "-world", file)
	log, err := s.program.StderrPipe()
	if err = errors.Join(err, os.WriteFile(file, world, 0o600)); err == nil {
		err = s.program.Start()
	}
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = s.program.Process.Kill() })()
	lines := bufio.NewReader(log)
	s.issuer, err = waitUntilListening(lines, stderr)
	go func() {
		_, _ = io.Copy(stderr, lines)
		close(s.read)
	}()
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// waitUntilListening passes on the log up to the line with the issuer.
func waitUntilListening(lines *bufio.Reader, stderr io.Writer) (issuer string, err error) {
	for {
		line, err := lines.ReadBytes('\n')
		_, _ = stderr.Write(line)
		if err != nil {
			return "", errors.New("examples/authserver has not started")
		}
		var event struct {
			Message string `json:"msg"`
			Issuer  string `json:"issuer"`
		}
		if json.Unmarshal(line, &event) == nil && event.Message == "listening" {
			return event.Issuer, nil
		}
	}
}

// stop ends the program, and waits for it.
func (s *server) stop() {
	_ = s.program.Process.Signal(syscall.SIGTERM)
	<-s.read
	_ = s.program.Wait()
	_ = os.RemoveAll(s.dir)
}

// lockedWriter serializes the writes of two writers: the server's and this program's.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
