package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
	"github.com/go-tokenexchange/tokenexchange/notify"
)

// letter is the data of the templates.
type letter struct {
	notify.Notice
	UserName   string
	ActorName  string // of the client, if the token names no actor
	ClientName string
}

// notifyUsers puts the notification in front of the audit sink, if the world has one. A failure to
// notify is logged and does not fail the exchange.
func (s *Server) notifyUsers(w *world.World, o Options) error {
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
		Audit: s.Exchanger.Audit,
		Tell: func(ctx context.Context, n notify.Notice) error {
			return s.notifyUser(ctx, n, text, send)
		},
		Report: func(err error) {
			s.Log.Error("a user was not told", slog.String("cause", err.Error()))
		},
	}
	s.Exchanger.Audit = s.Notices
	return nil
}

// notifyUser writes to one user.
func (s *Server) notifyUser(ctx context.Context, n notify.Notice, text *notify.Template,
	send sender) error {
	u, known := s.Directory.User(n.User.ID)
	if !known || u.Email == "" {
		return errors.New("the user has no e-mail address")
	}
	m, err := text.Message(letter{n, u.Name, s.delegate(n.Actor.Subject).Name,
		s.delegate(n.Client).Name})
	if err != nil {
		return err
	}
	return send(ctx, u.Email, m)
}

// sender delivers a message and must obey ctx. examples/smtpnotify has one for SMTP.
type sender = func(ctx context.Context, to string, m notify.Message) error

// logMessage logs a message in place of sending it.
func (s *Server) logMessage(ctx context.Context, to string, m notify.Message) error {
	s.Log.InfoContext(ctx, "message", slog.String("to", to), slog.String("subject", m.Subject),
		slog.String("body", m.Body))
	return nil
}
