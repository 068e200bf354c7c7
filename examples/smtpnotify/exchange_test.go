package smtpnotify_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/notify"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

const issuer = "https://as.example"

// exchanger lets bob act for alice with a signed token, and notifies users by a mailer.
func exchanger(t *testing.T, sink *notify.Sink) (
	*tokenexchange.Exchanger, *tokenexchangetest.Issuer) {
	t.Helper()
	user := func(id string) tokenexchange.Identity {
		return tokenexchange.Identity{Issuer: issuer, Kind: tokenexchange.KindUser, ID: id}
	}
	policy, err := tokenexchange.NewPolicy(tokenexchange.Rule{
		Name: "help",
		Delegate: &tokenexchange.Delegation{
			Actors:      []tokenexchange.Identity{user("*")},
			ActorTypes:  []tokenexchange.TokenType{tokenexchange.TypeAccessToken},
			OtherTokens: true,
		},
		Clients:        []string{"helpdesk"},
		Subjects:       []tokenexchange.Identity{user("*")},
		SubjectTypes:   []tokenexchange.TokenType{tokenexchange.TypeAccessToken},
		Types:          []tokenexchange.TokenType{tokenexchange.TypeJWT},
		Targets:        []string{"https://api.example"},
		DefaultTargets: []string{"https://api.example"},
		Scope:          tokenexchange.Scope{"read"}, Lifetime: time.Hour,
	})
	require.NoError(t, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	signer, err := tokenexchange.NewJWTIssuer(key, "1", "")
	require.NoError(t, err)
	logins := &tokenexchangetest.Issuer{}
	return &tokenexchange.Exchanger{Issuer: issuer, Audit: sink, Decide: policy.Decide,
		Verify: tokenexchange.Verifiers{tokenexchange.TypeAccessToken: logins.Verify},
		Resolver: tokenexchangetest.NewDirectory(tokenexchange.Subject{Identity: user("alice")},
			tokenexchange.Subject{Identity: user("bob")}),
		Authorizer: &tokenexchangetest.Authorizer{
			Pairs: []tokenexchangetest.Pair{{Actor: user("bob"), Subject: user("alice")}}},
		TokenIssuer: signer}, logins
}

// help is an exchange: bob acts for alice.
func help(t *testing.T, x *tokenexchange.Exchanger,
	logins *tokenexchangetest.Issuer) (answer tokenexchange.Response, sent tokenexchange.Request) {
	t.Helper()
	login := func(id, client string) string {
		return logins.Put(tokenexchange.Token{Issuer: issuer, Subject: id, ClientID: client,
			Scope:   tokenexchange.Scope{"read", "write"},
			Expires: time.Now().Add(2 * time.Hour)})
	}
	sent = tokenexchange.Request{SubjectToken: login("alice", "webapp"),
		SubjectTokenType: tokenexchange.TypeAccessToken,
		ActorToken:       login("bob", "helpdesk"), ActorTokenType: tokenexchange.TypeAccessToken}
	answer, err := x.Exchange(t.Context(),
		tokenexchange.Client{ID: "helpdesk", Scope: tokenexchange.Scope{"read"}}, sent.Values())
	require.NoError(t, err)
	return answer, sent
}

// W06: the message after an exchange names the actor, the client and the access, and has no token.
func TestW06_FromAnExchangeToTheMailbox(t *testing.T) {
	p := open(t)
	sink := &notify.Sink{Audit: &tokenexchangetest.Recorder{}, Tell: p.mailer(t).Tell,
		Report: func(err error) {
			t.Error(err)
		}}
	x, logins := exchanger(t, sink)
	answer, sent := help(t, x, logins)
	require.NoError(t, sink.Close(t.Context()))
	require.Len(t, p.all(), 1)
	e := p.all()[0]
	require.Equal(t, []string{"alice@example.org"}, e.to)
	_, text := read(t, e.raw)
	require.Contains(t, text, "Bob Baker may read through helpdesk")
	for _, token := range append(strings.Split(answer.AccessToken, "."), sent.SubjectToken,
		sent.ActorToken) {
		require.NotContains(t, strings.ReplaceAll(e.raw, "=\r\n", ""), token)
		require.NotContains(t, text, token)
	}
}

// W06: a mail server that refuses or never answers does not change the exchange.
func TestW06_TheExchangeDoesNotWait(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	for name, data := range map[string]func() error{
		"full":  func() error { return &smtp.SMTPError{Code: 452, Message: "the disk is full"} },
		"hangs": func() error { <-hang; return nil },
	} {
		p := open(t, func(_ *smtp.Server, p *post) { p.data = data })
		reports := make(chan error, 10)
		sink := &notify.Sink{Audit: &tokenexchangetest.Recorder{}, Tell: p.mailer(t).Tell, Queue: 1,
			Patience: 200 * time.Millisecond,
			Report:   func(err error) { reports <- err }}
		x, logins := exchanger(t, sink)
		for range 3 {
			answer, _ := help(t, x, logins)
			require.NotEmpty(t, answer.AccessToken, name)
		}
		require.Error(t, <-reports, name)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		require.NoError(t, sink.Close(ctx), name)
		require.Empty(t, p.all(), name)
	}
}
