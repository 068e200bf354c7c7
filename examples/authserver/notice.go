package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/go-tokenexchange/tokenexchange/notify"
)

// notification is what users are told when somebody begins to act for them: two templates of package notify, about a letter.
type notification struct {
	Subject string `json:"subject"`
	Body    string `json:"body"`
}

// letter is what the templates are about.
type letter struct {
	notify.Notice
	UserName   string
	ActorName  string // of the client, where nobody is named in the token
	ClientName string
}

// tellUsers puts the notification in front of the audit log, if the world has one. Nothing that goes wrong with it is the
// exchange's matter, so it goes to the log.
func (s *server) tellUsers(w *world, o options) error {
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
	s.notices = &notify.Sink{
		Audit:  s.exchanger.Audit,
		Tell:   func(ctx context.Context, n notify.Notice) error { return s.tell(ctx, n, text, send) },
		Report: func(err error) { s.log.Error("a user was not told", slog.String("cause", err.Error())) },
	}
	s.exchanger.Audit = s.notices
	return nil
}

// tell writes to one user.
func (s *server) tell(ctx context.Context, n notify.Notice, text *notify.Template, send sender) error {
	u, known := s.directory.user(n.User.ID)
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
func (s *server) logMessage(ctx context.Context, to string, m notify.Message) error {
	s.log.InfoContext(ctx, "message", slog.String("to", to), slog.String("subject", m.Subject), slog.String("body", m.Body))
	return nil
}
