package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
)

// webapp is the client that alice uses, at a server of its own. A test may replace parts of the
// server before.
func webapp(t *testing.T, s *server, secrets map[string]string,
	audit tokenexchange.AuditSink) (*walk, tokenexchange.IssuedToken) {
	t.Helper()
	events, _ := audit.(*trail)
	base, shutdown, err := start(s, rules, audit)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, shutdown()) })
	token, err := s.logIn(t.Context(), logins[0])
	require.NoError(t, err)
	tokens := map[string]issued{logins[0].name: issuedAs(token)}
	return &walk{base: base, secrets: secrets, tokens: tokens, trail: events}, token
}

// An API refuses a token for another API, and a token of another issuer.
func TestOtherAPI(t *testing.T) {
	s, secrets := newServer()
	k, _ := webapp(t, s, secrets, &trail{})
	require.NoError(t, k.take(t.Context(), io.Discard, steps[:1]))
	_, err := k.verifyAt(t.Context(), "https://orders.example", k.tokens["<token 1>"].value)
	require.NoError(t, err)
	_, err = k.verifyAt(t.Context(), "https://billing.example", k.tokens["<token 1>"].value)
	require.ErrorIs(t, err, tokenexchange.InvalidRequest)

	other, _ := newServer()
	k2, _ := webapp(t, other, secrets, &trail{})
	_, err = k2.verifyAt(t.Context(), "https://orders.example", k.tokens["<token 1>"].value)
	require.ErrorIs(t, err, tokenexchange.InvalidRequest)
}

func TestLoginsSayWhoMayAct(t *testing.T) {
	s, secrets := newServer()
	k, _ := webapp(t, s, secrets, &trail{})
	for i, want := range []string{"", "bob", "carol"} {
		token, err := s.logIn(t.Context(), logins[i])
		require.NoError(t, err)
		tok, err := k.verifyAt(t.Context(), logins[i].audience[0], token.Value)
		require.NoError(t, err)
		if want == "" {
			require.Nil(t, tok.MayAct)
		} else {
			require.Equal(t, &tokenexchange.Actor{Subject: want}, tok.MayAct)
		}
	}
}

func TestRevoked(t *testing.T) {
	s, secrets := newServer()
	events := &trail{}
	k, token := webapp(t, s, secrets, events)
	require.NoError(t, k.take(t.Context(), io.Discard, steps[:1]))
	s.setLive(token.ID, false)
	err := k.take(t.Context(), io.Discard, steps[:1])
	require.ErrorContains(t, err, "answer: expected status=200, got status=400")
	require.ErrorContains(t, events.since(1)[0].Err, "revoked, never issued")

	made := steps[0]
	made.form = append(fields{{"subject_token", "<token 1>"}}, made.form[1:]...)
	err = k.take(t.Context(), io.Discard, []step{made})
	require.ErrorContains(t, err, "answer: expected status=200, got status=400")
	require.ErrorContains(t, events.since(2)[0].Err, "made from such a token")
}

func TestInactive(t *testing.T) {
	s, secrets := newServer()
	events := &trail{}
	k, _ := webapp(t, s, secrets, events)
	delete(s.parties, "alice")
	require.ErrorContains(t, k.take(t.Context(), io.Discard, steps[:1]),
		"answer: expected status=200, got status=400")
	require.ErrorContains(t, events.since(0)[0].Err, "not an active party of ours")
}

func TestNotRelated(t *testing.T) {
	s, secrets := newServer()
	clear(s.actsFor)
	events := &trail{}
	k, _ := webapp(t, s, secrets, events)
	require.ErrorContains(t, k.take(t.Context(), io.Discard, steps[3:4]),
		"answer: expected status=200, got status=400")
	require.ErrorContains(t, events.since(0)[0].Err, "gateway does not act for alice")
}

type fullDisk struct{}

func (fullDisk) RecordExchange(context.Context, tokenexchange.Event) error {
	return errors.New("disk full")
}

// A token that could not be audited does not leave and is not valid.
func TestNoAuditNoToken(t *testing.T) {
	s, secrets := newServer()
	k, token := webapp(t, s, secrets, fullDisk{})
	form := url.Values{
		"grant_type": {tokenexchange.GrantType}, "subject_token": {token.Value},
		"subject_token_type": {accessToken},
	}
	resp, body, err := k.post(t.Context(), "webapp", form)
	require.NoError(t, err)
	require.Equal(t, http.StatusInternalServerError, resp.StatusCode)
	require.NotContains(t, string(body), "eyJ")
	require.Equal(t, map[string]bool{originOf(token.ID): true}, s.live, "only the login is left")
}

func TestClientAuthentication(t *testing.T) {
	s, secrets := newServer()
	s.clients["svc-1.a b~"] = s.clients["webapp"]
	secrets["svc-1.a b~"] = secrets["webapp"] // a name that Basic sends encoded
	k, _ := webapp(t, s, secrets, &trail{})
	for id, secret := range map[string]string{
		"webapp": "guessed", "helpdesk": secrets["webapp"], "gateway": "", "nobody": "", "": "",
	} {
		wrong := *k
		wrong.secrets = map[string]string{id: secret}
		resp, body, err := wrong.post(t.Context(), id, url.Values{})
		require.NoError(t, err)
		require.Equal(t, http.StatusUnauthorized, resp.StatusCode, id)
		require.Contains(t, resp.Header.Get("WWW-Authenticate"), "Basic", id)
		require.JSONEq(t, `{"error":"invalid_client",
			"error_description":"Client authentication failed."}`, string(body))
	}
	for _, id := range []string{"webapp", "svc-1.a b~"} {
		resp, body, err := k.post(t.Context(), id, url.Values{})
		require.NoError(t, err)
		require.Equal(t, http.StatusBadRequest, resp.StatusCode, id)
		require.Contains(t, string(body), "The parameter grant_type is missing.")
	}
}
