package smtpnotify_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"
	gomail "github.com/wneessen/go-mail"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/smtpnotify"
	"github.com/go-tokenexchange/tokenexchange/notify"
)

// post is an SMTP server on loopback that keeps the messages it accepts.
type post struct {
	port  int
	trust *x509.CertPool

	mu   sync.Mutex
	sent []envelope
	data func() error // called before a message is accepted; nil: accept
}

type envelope struct {
	from string
	to   []string
	raw  string
}

// NewSession implements smtp.Backend.
func (p *post) NewSession(*smtp.Conn) (smtp.Session, error) { return &session{post: p}, nil }

func (p *post) all() []envelope {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent
}

// session is one connection.
type session struct {
	*post
	envelope
	known bool
}

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if s.known = username == "authserver" && password == "a secret"; !s.known {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if !s.known {
		return smtp.ErrAuthRequired
	}
	s.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "gone@") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1},
			Message: "no such user"}
	}
	s.to = append(s.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if s.data != nil {
		err = errors.Join(err, s.data())
	}
	if s.raw = string(raw); err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sent = append(s.sent, s.envelope)
	}
	return err
}

func (s *session) Reset()        { s.envelope = envelope{} }
func (s *session) Logout() error { return nil }

// open starts a server with a certificate of its own, which a client must be told to trust. change
// may remove it.
func open(t *testing.T, change ...func(*smtp.Server, *post)) *post {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	card := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:        true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, card, card, key.Public(), key)
	require.NoError(t, err)
	made, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	p := &post{trust: x509.NewCertPool()}
	p.trust.AddCert(made)

	server := smtp.NewServer(p)
	server.Domain = "127.0.0.1"
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der},
		PrivateKey: key}}}
	for _, f := range change {
		f(server, p)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p.port = l.Addr().(*net.TCPAddr).Port
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = l.Close() // the server closes it only after Serve
		_ = server.Close()
		<-ended
	})
	return p
}

// mailer sends to a server, with changes.
func (p *post) mailer(t *testing.T, change ...func(*smtpnotify.Mailer)) *smtpnotify.Mailer {
	t.Helper()
	text, err := notify.ParseTemplate("{{.ActorName}} acts for you", "Hello {{.UserName}},\n\n"+
		"{{.ActorName}} may {{.Scope}} through {{.Client}} until {{.Until.Format "+
		"\"15:04\"}}.\nToken {{.TokenID}}.\n")
	require.NoError(t, err)
	m := &smtpnotify.Mailer{Host: "127.0.0.1", From: "noreply@as.example", Template: text,
		Options: []gomail.Option{gomail.WithPort(p.port),
			gomail.WithTLSConfig(&tls.Config{RootCAs: p.trust, ServerName: "127.0.0.1",
				MinVersion: tls.VersionTLS12}),
			gomail.WithSMTPAuth(gomail.SMTPAuthPlain), gomail.WithUsername("authserver"),
			gomail.WithPassword("a secret")}}
	m.Letter = func(_ context.Context, n notify.Notice) (smtpnotify.Letter, error) {
		return smtpnotify.Letter{Notice: n, To: n.User.ID + "@example.org",
			UserName: "Alice Archer", ActorName: "Bob Baker"}, nil
	}
	for _, f := range change {
		f(m)
	}
	return m
}

var notice = notify.Notice{Time: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
	Until: time.Date(2030, 1, 2, 4, 4, 5, 0, time.UTC),
	User: tokenexchange.Identity{Issuer: "https://as.example", Kind: tokenexchange.KindUser,
		ID: "alice"},
	Actor:  tokenexchange.Actor{Issuer: "https://as.example", Subject: "bob"},
	Client: "helpdesk", Scope: tokenexchange.Scope{"read", "write"}, TokenID: "token 1"}

// read parses a message as a mail program does.
func read(t *testing.T, raw string) (header mail.Header, text string) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(raw))
	require.NoError(t, err)
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	require.NoError(t, err)
	return m.Header, strings.ReplaceAll(string(body), "\r\n", "\n")
}

// W06: one message, to the user alone, over an encrypted connection.
func TestW06_Message(t *testing.T) {
	p := open(t)
	require.NoError(t, p.mailer(t).Tell(t.Context(), notice))
	require.Len(t, p.all(), 1)
	e := p.all()[0]
	require.Equal(t, "noreply@as.example", e.from)
	require.Equal(t, []string{"alice@example.org"}, e.to)
	header, text := read(t, e.raw)
	require.Equal(t, "Bob Baker acts for you", header.Get("Subject"))
	require.Equal(t, "<alice@example.org>", header.Get("To"))
	require.Equal(t, "<noreply@as.example>", header.Get("From"))
	require.Equal(t, "auto-generated", header.Get("Auto-Submitted"))
	require.Equal(t, "Hello Alice Archer,\n\nBob Baker may read write through helpdesk until "+
		"04:04.\nToken token 1.\n", text)
}

// W06: no name adds headers, recipients or messages.
func TestW06_HeaderInjection(t *testing.T) {
	p := open(t)
	require.NoError(t, p.mailer(t).Tell(t.Context(), notice))
	usual, _ := read(t, p.all()[0].raw)
	names := []string{"Bob\r\nBcc: all@example.org", "Bob\nX-Evil: 1", "Bob\r\n\r\nanother text",
		"Bob\r\n.\r\nMAIL FROM:<x@example.org>\r\n",
		"\" <evil@example.org>, \"Bob", "Bob\u2028Bcc: x", "=?utf-8?q?Bob=0D=0ABcc:_x?=", "Zoë 山田",
		strings.Repeat("long ", 100)}
	for i, name := range names {
		m := p.mailer(t, func(m *smtpnotify.Mailer) {
			m.Letter = func(_ context.Context, n notify.Notice) (smtpnotify.Letter, error) {
				return smtpnotify.Letter{Notice: n, To: "alice@example.org", UserName: name,
					ActorName: name}, nil
			}
		})
		require.NoError(t, m.Tell(t.Context(), notice), "%q", name)
		require.Len(t, p.all(), i+2, "%q", name)
		e := p.all()[i+1]
		require.Equal(t, []string{"alice@example.org"}, e.to, "%q", name)
		header, _ := read(t, e.raw)
		require.Len(t, header, len(usual), "%q: %v", name, header)
		for field, values := range header {
			require.Len(t, values, 1, "%q: %s", name, field)
		}
		require.Equal(t, "<alice@example.org>", header.Get("To"))
	}
}

// W06: a message goes to exactly one address.
func TestW06_Addresses(t *testing.T) {
	p := open(t)
	for _, to := range []string{"", "alice", "alice@example.org, all@example.org",
		"Alice <alice@example.org>", "alice@example.org\r\nBcc: x@example.org",
		"<alice@example.org>", "alice@example.org>\r\nRCPT TO:<all@example.org"} {
		m := p.mailer(t, func(m *smtpnotify.Mailer) {
			m.Letter = func(_ context.Context, n notify.Notice) (smtpnotify.Letter, error) {
				return smtpnotify.Letter{Notice: n, To: to, UserName: "Alice", ActorName: "Bob"},
					nil
			}
		})
		require.ErrorContains(t, m.Tell(t.Context(), notice), "no address", "%q", to)
	}
	require.Error(t, p.mailer(t, func(m *smtpnotify.Mailer) {
		m.From = "Server <noreply@as.example>"
	}).Tell(t.Context(), notice))
	require.Empty(t, p.all())
}

// W06: a refusal by the server, the host or the configuration is an error, and nothing is sent
// unencrypted.
func TestW06_Failures(t *testing.T) {
	p := open(t)
	plain := open(t, func(s *smtp.Server, _ *post) { s.TLSConfig, s.AllowInsecureAuth = nil, true })
	full := open(t, func(_ *smtp.Server, p *post) {
		p.data = func() error { return &smtp.SMTPError{Code: 452, Message: "the disk is full"} }
	})
	unknown := notice
	unknown.User.ID = "gone"
	for name, c := range map[string]struct {
		m    *smtpnotify.Mailer
		n    notify.Notice
		says string
	}{
		"no such user": {p.mailer(t), unknown, "no such user"},
		"not now":      {full.mailer(t), notice, "the disk is full"},
		"no TLS":       {plain.mailer(t), notice, "STARTTLS"},
		"another's server": {p.mailer(t, func(m *smtpnotify.Mailer) {
			m.Options = append(m.Options,
				gomail.WithTLSConfig(&tls.Config{ServerName: "127.0.0.1"}))
		}), notice, "certificate"},
		"a wrong password": {p.mailer(t, func(m *smtpnotify.Mailer) {
			m.Options = append(m.Options, gomail.WithPassword("guessed"))
		}), notice, "AUTH"},
		"no template": {p.mailer(t, func(m *smtpnotify.Mailer) {
			m.Template = nil
		}), notice, "no template"},
		"the directory is down": {p.mailer(t, func(m *smtpnotify.Mailer) {
			m.Letter = func(context.Context, notify.Notice) (smtpnotify.Letter, error) {
				return smtpnotify.Letter{}, errors.New("the directory is down")
			}
		}), notice, "the directory is down"},
		"no Letter": {&smtpnotify.Mailer{}, notice, "without Letter"},
	} {
		require.ErrorContains(t, c.m.Tell(t.Context(), c.n), c.says, name)
	}
	for _, server := range []*post{p, plain, full} {
		require.Empty(t, server.all())
	}
}

// W06: a server that stops answering delays Tell no longer than the context allows.
func TestW06_ServerThatHangs(t *testing.T) {
	reached, hang := make(chan struct{}), make(chan struct{})
	p := open(t, func(_ *smtp.Server, p *post) {
		p.data = func() error { close(reached); <-hang; return nil }
	})
	defer close(hang)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-reached; cancel() }()
	begun := time.Now()
	require.ErrorIs(t, p.mailer(t).Tell(ctx, notice), context.Canceled)
	require.Less(t, time.Since(begun), 10*time.Second, "less than the timeout of the library")
}
