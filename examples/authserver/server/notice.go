package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
	"github.com/go-tokenexchange/tokenexchange/notify"
)

// letter is what the templates are about.
type letter struct {
	notify.Notice
	UserName   string
	ActorName  string // of the client, where nobody is named in the token
	ClientName string
}

// tellUsers puts the notification in front of the audit log, if the world has one. Nothing that goes wrong with it is the
// exchange's matter, so it goes to the log.
func (s *Server) tellUsers(w *world.World, o Options) error {
	if w.Notification == nil {
		return nil
	}
	text, err := notify.ParseTemplate(w.Notification.Subject, w.Notification.Body)
	if err != nil {
		return fmt.Errorf("notification: %w", err)
	}
	send := o.Send
	if send == nil {
		send = s.logMessage
	}
	s.Notices = &notify.Sink{
		Audit:  s.Exchanger.Audit,
		Tell:   func(ctx context.Context, n notify.Notice) error { return s.tell(ctx, n, text, send) },
		Report: func(err error) { s.Log.Error("a user was not told", slog.String("cause", err.Error())) },
	}
	s.Exchanger.Audit = s.Notices
	return nil
}

// tell writes to one user.
func (s *Server) tell(ctx context.Context, n notify.Notice, text *notify.Template, send sender) error {
	u, known := s.Directory.User(n.User.ID)
	if !known || u.Email == "" {
		return errors.New("the user has no e-mail address")
	}
	m, err := text.Message(letter{n, u.Name, s.delegate(n.Actor.Subject).Name, s.delegate(n.Client).Name})
	if err != nil {
		return err
	}
	return send(ctx, u.Email, m)
}

// sender delivers a message; examples/smtpnotify has one for SMTP. It must heed ctx.
type sender = func(ctx context.Context, to string, m notify.Message) error

// logMessage is for a server that can send nothing.
func (s *Server) logMessage(ctx context.Context, to string, m notify.Message) error {
	s.Log.InfoContext(ctx, "message", slog.String("to", to), slog.String("subject", m.Subject), slog.String("body", m.Body))
	return nil
}
