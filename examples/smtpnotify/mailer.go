// Package smtpnotify tells users by e-mail that another party acts for them. Its Mailer is the Tell
// of a notify.Sink, over SMTP. It is a module of its own, so that the library does not depend on a
// mail library.
//
//	sink := &notify.Sink{Audit: audit, Tell: mailer.Tell, Report: report}
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

// Mailer sends one plain text message for each notice. Its fields must not change once it is in
// use. Any number of goroutines may use it. The zero Mailer fails.
type Mailer struct {
	// Host is the SMTP server, and Options has its port and credentials. Unless Options says
	// otherwise, the server must offer STARTTLS with a certificate for Host that the system trusts.
	Host    string
	Options []mail.Option

	From     string // a bare address
	Template *notify.Template

	// Letter returns the address and the names, which only the host knows. After an error no
	// message is sent.
	Letter func(context.Context, notify.Notice) (Letter, error)
}

// Letter is the data of the template: the notice, and what the host adds. The names may be chosen
// by anyone. They appear in the subject and the text, where the template makes them harmless, and
// never in an address.
type Letter struct {
	notify.Notice
	To        string // a bare address; empty: the user has none, which is an error
	UserName  string
	ActorName string // of the client, if there is no actor
}

// Tell writes to the user, and returns once the server has accepted the message. It obeys ctx in
// every state of the connection and does not retry. Its errors have no address or name in them,
// except in what the server says.
func (m *Mailer) Tell(ctx context.Context, n notify.Notice) error {
	if m.Letter == nil {
		return errors.New("smtpnotify: a Mailer without Letter")
	}
	letter, err := m.Letter(ctx, n)
	if err != nil {
		return fmt.Errorf("smtpnotify: letter: %w", err)
	}
	msg, err := m.message(letter)
	if err != nil {
		return err
	}
	dial := func(_ context.Context, network, address string) (net.Conn, error) {
		return dialUntil(ctx, network, address)
	}
	client, err := mail.NewClient(m.Host,
		append([]mail.Option{mail.WithTLSPortPolicy(mail.TLSMandatory),
			mail.WithDialContextFunc(dial)}, m.Options...)...)
	if err != nil {
		return fmt.Errorf("smtpnotify: %w", err)
	}
	if err := client.DialAndSendWithContext(ctx, msg); err != nil {
		return fmt.Errorf("smtpnotify: %w", errors.Join(ctx.Err(), err))
	}
	return nil
}

// dialUntil returns a connection that is closed when ctx ends. The mail library obeys ctx until the
// greeting only, and a server may stop answering after that.
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
	// no vacation notice comes back (RFC 3834 §5)
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	if !isAddress(m.From) || msg.From(m.From) != nil {
		return nil, errors.New("smtpnotify: From is no bare address")
	}
	if !isAddress(letter.To) || msg.To(letter.To) != nil {
		return nil, errors.New("smtpnotify: the user has no address, or it is no bare one")
	}
	return msg, nil
}

// isAddress reports whether s is exactly one address: no name, no list, no comment, no line break.
func isAddress(s string) bool {
	a, err := netmail.ParseAddress(s)
	return err == nil && a.Address == s
}
