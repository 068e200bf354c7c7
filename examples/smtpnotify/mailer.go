// Package smtpnotify tells users by e-mail that somebody acts for them: what a host puts into notify.Sink.Tell, over SMTP. It
// is a module of its own, so that the library does not depend on a mail library.
//
//	sink := &notify.Sink{Audit: audit, Tell: mailer.Tell, Report: func(err error) { slog.Error("a user was not told", "err", err) }}
//	exchanger.Audit = sink
package smtpnotify

import (
	"context"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"

	"github.com/wneessen/go-mail"

	"github.com/go-tokenexchange/tokenexchange/notify"
)

// Mailer sends one plain message for each notice. Its fields must not be changed once it is in use; any number of goroutines
// may share it. The zero Mailer fails.
type Mailer struct {
	// Host is the SMTP server, and Options how to talk to it: port, credentials. Where they do not say otherwise, the
	// server must offer STARTTLS with a certificate for Host that the system trusts.
	Host    string
	Options []mail.Option

	From     string // a bare address
	Template *notify.Template

	// Letter says whom to write to and what the people are called; only the host knows. An error means that nobody is
	// written to.
	Letter func(context.Context, notify.Notice) (Letter, error)
}

// Letter is what the template is about: the notice, and what the host adds. The names are what somebody has chosen, so they
// stand in the subject and the text, where the template sees to it that they do no harm, and never in an address.
type Letter struct {
	notify.Notice
	To        string // a bare address; empty: the user has none, which is an error
	UserName  string
	ActorName string // of the client, where nobody is named
}

// Tell writes to the user, and returns once the server has taken the message. It heeds ctx in whatever state the connection
// is, and does not try again: what the server does not take is an error. No error has an address or a name in it but what
// the server says.
func (m *Mailer) Tell(ctx context.Context, n notify.Notice) error {
	if m.Letter == nil {
		return errors.New("smtpnotify: a Mailer without Letter")
	}
	letter, err := m.Letter(ctx, n)
	if err != nil {
		return fmt.Errorf("smtpnotify: whom to write to: %w", err)
	}
	msg, err := m.message(letter)
	if err != nil {
		return err
	}
	dial := func(_ context.Context, network, address string) (net.Conn, error) {
		return dialUntil(ctx, network, address)
	}
	client, err := mail.NewClient(m.Host, append([]mail.Option{mail.WithTLSPortPolicy(mail.TLSMandatory), mail.WithDialContextFunc(dial)}, m.Options...)...)
	if err != nil {
		return fmt.Errorf("smtpnotify: %w", err)
	}
	if err := client.DialAndSendWithContext(ctx, msg); err != nil {
		return fmt.Errorf("smtpnotify: %w", errors.Join(ctx.Err(), err))
	}
	return nil
}

// dialUntil makes a connection that is closed when ctx is over. The library itself heeds ctx until the greeting only, and a
// server may stop answering after that.
func dialUntil(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err == nil {
		context.AfterFunc(ctx, func() { _ = conn.Close() })
	}
	return conn, err
}

func (m *Mailer) message(letter Letter) (*mail.Msg, error) {
	text, err := m.Template.Message(letter)
	if err != nil {
		return nil, err
	}
	msg := mail.NewMsg()
	msg.Subject(text.Subject)
	msg.SetBodyString(mail.TypeTextPlain, text.Body)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // no vacation notice comes back (RFC 3834 §5)
	if !isAddress(m.From) || msg.From(m.From) != nil {
		return nil, errors.New("smtpnotify: From is no bare address")
	}
	if !isAddress(letter.To) || msg.To(letter.To) != nil {
		return nil, errors.New("smtpnotify: the user has no address, or it is no bare one")
	}
	return msg, nil
}

// isAddress reports whether s is one address and nothing else: no name, no list, no comment, no line break.
func isAddress(s string) bool {
	a, err := netmail.ParseAddress(s)
	return err == nil && a.Address == s
}
