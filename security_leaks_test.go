package tokenexchange_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// printed is all that a careless program could make of a value: every verb, every wrapping, every log handler.
func printed(v any, marshals bool) string {
	type box struct{ V any }
	var b bytes.Buffer
	for _, wrapped := range []any{v, []any{v}, &box{v}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%d", "%s", "%q", "%x"} {
			fmt.Fprintf(&b, verb+"\n", wrapped)
		}
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
		slog.New(h).Info("logged", "v", v)
		slog.New(h).With("v", v).WithGroup("g").Warn("again", slog.Group("h", "v", v))
		if marshals {
			slog.New(h).Info("boxed", "v", box{v})
		}
	}
	if marshals {
		data, _ := json.Marshal(v)
		b.Write(data)
		data, _ = json.Marshal(box{v})
		b.Write(data)
	}
	return b.String()
}

// keepsSecret asserts that none of the secrets is in text: plain, in hex (%x), or as a list of bytes (%d).
func keepsSecret(t *testing.T, where, text string, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		for how, form := range map[string]string{"plain": secret, "hex": fmt.Sprintf("%x", secret), "HEX": fmt.Sprintf("%X", secret),
			"in a URL": url.QueryEscape(secret), "quoted": strings.Trim(fmt.Sprintf("%q", secret), `"`), "bytes": strings.Trim(fmt.Sprint([]byte(secret)), "[]"), "signature": secret[strings.LastIndexByte(secret, '.')+1:]} {
			if i := strings.Index(text, form); i >= 0 {
				t.Errorf("I08: %s shows a token (%s): …%.60q", where, how, text[max(0, i-60):])
			}
		}
	}
}

func TestI08_ValuesDoNotPrintTheirTokens(t *testing.T) {
	const secret, other, third = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl", "opaque-0123456789abcdef", "second-0123456789abcdef"
	request := tx.Request{SubjectToken: secret, SubjectTokenType: tx.TypeJWT, ActorToken: other, ActorTokenType: tx.TypeAccessToken, Scope: tx.Scope{"read"}}
	for name, v := range map[string]any{
		"Request": request, "*Request": &request, "[]Request": []tx.Request{request},
		"Credential": tx.Credential{Token: secret, Type: tx.TypeJWT}, "*Credential": &tx.Credential{Token: other}, "map of Credential": map[string]tx.Credential{"c": {Token: secret}},
		"IssuedToken":  tx.IssuedToken{Value: secret, ID: "id", RefreshToken: other, IDToken: third},
		"*IssuedToken": &tx.IssuedToken{Value: secret, ID: "id", RefreshToken: other, IDToken: third},
	} {
		keepsSecret(t, name, printed(v, true), secret, other, third)
	}
	response := tx.Response{AccessToken: secret, RefreshToken: other, IDToken: third, TokenType: "Bearer"}
	keepsSecret(t, "Response", printed(response, false), secret, other, third)
	keepsSecret(t, "*Response", printed(&response, false), secret, other, third)
	data, err := json.Marshal(response)
	require.NoError(t, err)
	require.Contains(t, string(data), secret, "it must marshal")
}

// A claim may hold another token: one for a service behind, for one. Who decides and who issues sees all claims; an event does
// not, since sinks print and marshal it.
func TestI08_EventsHoldNoEmbeddedToken(t *testing.T) {
	for _, code := range []tx.Code{"", tx.InvalidRequest} {
		w := newWorld(t)
		embedded, other := w.access(nil), w.access(nil)
		issued := w.TokenIssuer
		w.TokenIssuer = issuerFunc(func(ctx context.Context, d tx.Decision) (tx.IssuedToken, error) {
			require.Contains(t, string(d.Facts.Subject.Token.Claims), embedded)
			require.Contains(t, string(d.Facts.Actor.Token.Claims), other)
			if code != "" {
				return tx.IssuedToken{}, code
			}
			return issued.IssueToken(ctx, d)
		})
		f := form(w.access(claims{"downstream": embedded}), tx.TypeAccessToken)
		_, err := w.exchange(withActor(f, w.access(claims{"sub": "admin", "downstream": other}), tx.TypeAccessToken))
		require.Equal(t, code != "", err != nil)
		keepsSecret(t, "the event", printed(w.lastEvent(), true), embedded, other)
		require.Equal(t, "alice", w.lastEvent().Facts.Subject.Token.Subject)
		require.Equal(t, "admin", w.lastEvent().Facts.Actor.Token.Subject)
	}
}

// The keys that sign are no tokens, and worth more. One for EdDSA is bytes.
func TestI08_IssuersDoNotPrintTheirKeys(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	issuer := *newIssuer(t, key, "own-1", tx.JWTIssuer{})
	for name, v := range map[string]any{"value": issuer, "pointer": &issuer, "list": []tx.JWTIssuer{issuer}, "Exchanger": tx.Exchanger{TokenIssuer: &issuer}} {
		text := printed(v, true)
		require.Contains(t, text, "own-1", name)
		for _, form := range []string{fmt.Sprintf("%x", key.Seed()), strings.Trim(fmt.Sprint(key.Seed()), "[]")} {
			require.NotContains(t, text, form, name)
		}
	}
}

// A host's error as a struct, which JSON and %#v look into.
type tokenError struct{ Token string }

func (tokenError) Error() string { return "the store has lost a token" }

// loose are the errors of a host that does not keep tokens out of them.
func loose(token string) map[string]error {
	return map[string]error{
		"plain":                 errors.New("no such token: " + token),
		"quoted":                fmt.Errorf("no such token: %q", token),
		"URL":                   &url.Error{Op: "Get", URL: "https://introspect.example/?token=" + url.QueryEscape(token), Err: errors.New("EOF")},
		"wrapped":               fmt.Errorf("%w: %w", tx.InvalidRequest, errors.New("bad: "+token)),
		"joined":                errors.Join(tx.InvalidRequest, errors.New(token), errors.New("again "+token)),
		"Error with Err":        &tx.Error{Code: tx.InvalidRequest, Err: errors.New(token)},
		"Error with Reason":     &tx.Error{Code: tx.InvalidRequest, Reason: token},
		"Error with Rule":       &tx.Error{Code: tx.InvalidRequest, Rule: token},
		"Error with text":       &tx.Error{Code: tx.InvalidRequest, Description: token},
		"Error in an error":     fmt.Errorf("x: %w", &tx.Error{Code: tx.InvalidRequest, Description: token, Reason: token, Err: errors.New(token)}),
		"struct":                tokenError{token},
		"struct pointer":        &tokenError{token},
		"struct in an Error":    &tx.Error{Code: tx.InvalidRequest, Err: tokenError{token}},
		"struct, code, wrapped": fmt.Errorf("%w: %w", tx.InvalidRequest, tokenError{token}),
		"signature alone":       errors.New("signature " + token[strings.LastIndexByte(token, '.')+1:] + " does not verify"),
	}
}

// Tokens that a host has put into its errors, or panicked with, do not get any further.
func TestI08_TokensInErrorsOfTheHost(t *testing.T) {
	opaque := "opaque/+0123456789\"abcdef="
	for name := range loose("x.y") {
		for _, panics := range []bool{false, true} {
			for _, place := range []string{"subject verifier", "actor verifier", "resolver", "authorizer", "Decide", "issuer", "sink", "open"} {
				t.Run(fmt.Sprintf("%s, %s, panic %t", place, name, panics), func(t *testing.T) {
					for _, kind := range []string{"JWT", "opaque"} {
						w := newWorld(t)
						subject := w.access(nil)
						if kind == "opaque" {
							subject = opaque
							inner := w.Verify[tx.TypeAccessToken]
							w.Verify[tx.TypeAccessToken] = func(ctx context.Context, c tx.Credential) (tx.Token, error) {
								if c.Token == opaque {
									return accessOf("alice", "shop"), nil
								}
								return inner(ctx, c)
							}
						}
						actor := w.access(claims{"sub": "admin"})
						loosely := func(token string) error {
							if err := loose(token)[name]; !panics {
								return err
							} else {
								panic(err)
							}
						}
						w.breakAt(place, func() error {
							if place == "actor verifier" {
								return loosely(actor)
							}
							return loosely(subject)
						})
						var err error
						f := withActor(form(subject, tx.TypeAccessToken), actor, tx.TypeAccessToken)
						if place == "open" {
							_, err = w.Run(context.Background(), "door", w.clients["shop"], func(context.Context, timeType) (tx.Request, tx.Token, *tx.Token, error) {
								return tx.Request{SubjectToken: subject, ActorToken: actor}, tx.Token{}, nil, loosely(subject)
							})
						} else {
							_, err = w.Exchange(context.Background(), w.clients["shop"], f)
						}
						require.Error(t, err)
						keepsSecret(t, "the error", printed(err, true)+err.Error(), subject, actor)
						for unwrapped := err; unwrapped != nil; unwrapped = errors.Unwrap(unwrapped) {
							keepsSecret(t, "what it wraps", unwrapped.Error(), subject, actor)
						}
						for _, e := range w.events {
							keepsSecret(t, "the event", printed(e, true), subject, actor)
						}
					}
				})
			}
		}
	}
}

// breakAt makes one host interface answer with what fail returns, or panic as it does.
func (w *world) breakAt(place string, fail func() error) {
	inner := w.Verify[tx.TypeAccessToken]
	switch place {
	case "subject verifier", "actor verifier":
		w.Verify[tx.TypeAccessToken] = func(ctx context.Context, c tx.Credential) (tx.Token, error) {
			if c.Actor == (place == "actor verifier") {
				return tx.Token{}, fail()
			}
			return inner(ctx, c)
		}
	case "resolver":
		w.Resolver = resolverFunc(func(context.Context, tx.Token) (tx.Subject, error) { return tx.Subject{}, fail() })
	case "authorizer":
		w.Authorizer = authorizerFunc(func(context.Context, tx.Facts) error { return fail() })
	case "Decide":
		w.Decide = func(tx.Facts) (tx.Decision, error) { return tx.Decision{}, fail() }
	case "issuer":
		w.TokenIssuer = issuerFunc(func(context.Context, tx.Decision) (tx.IssuedToken, error) { return tx.IssuedToken{}, fail() })
	case "claims hook":
		w.TokenIssuer = newIssuer(w.t, w.key, "", tx.JWTIssuer{Claims: func(context.Context, tx.Decision, map[string]any) error { return fail() }})
	case "sink":
		record := w.Audit
		w.Audit = sinkFunc(func(ctx context.Context, e tx.Event) error {
			_ = record.RecordExchange(ctx, e)
			return fail()
		})
	case "Live":
		w.trusts[0].Live = func(context.Context, tx.Token) error { return fail() }
		w.configure()
	}
}

// Errors of a host that has returned a nil pointer as an error: whoever asks them what they are panics.
type (
	hostError   struct{ text string }
	hostWrapper struct{ error }
)

func (e *hostError) Error() string { return e.text }

func (e *hostWrapper) Unwrap() error { return e.error }

var hostPlaces = []string{"subject verifier", "actor verifier", "resolver", "authorizer", "Decide", "issuer", "claims hook", "sink", "Live"}

// I12 and I07: an error with a Code is a refusal, any other a failure, a deadline 503, a panic 500; one event each, and
// nothing of the host's text outside.
func TestI12_HostsThatFail(t *testing.T) {
	const text = "text of the host"
	for _, place := range hostPlaces {
		for name, c := range map[string]struct {
			fail func() error
			code tx.Code
		}{
			"a code":               {func() error { return fmt.Errorf("%s: %w", text, tx.InvalidScope) }, tx.InvalidScope},
			"a bare code":          {func() error { return tx.InvalidTarget }, tx.InvalidTarget},
			"an Error":             {func() error { return &tx.Error{Code: tx.InvalidTarget, Description: text, Err: errors.New(text)} }, tx.InvalidTarget},
			"a wrapped Error":      {func() error { return fmt.Errorf("%s: %w", text, &tx.Error{Code: tx.InvalidTarget, Description: text}) }, tx.InvalidTarget},
			"the outermost code":   {func() error { return &tx.Error{Code: tx.InvalidScope, Err: tx.InvalidTarget} }, tx.InvalidScope},
			"a code of its own":    {func() error { return &tx.Error{Code: "interaction_required", Description: text} }, "interaction_required"},
			"an unsendable code":   {func() error { return tx.Code("text \"of\n the host") }, tx.ServerError},
			"a deadline":           {func() error { return fmt.Errorf("%s: %w", text, context.DeadlineExceeded) }, tx.TemporarilyUnavailable},
			"a deadline with code": {func() error { return fmt.Errorf("%w: %w", tx.InvalidRequest, context.DeadlineExceeded) }, tx.InvalidRequest},
			"a cancellation":       {func() error { return context.Canceled }, tx.ServerError},
			"another error":        {func() error { return errors.New(text) }, tx.ServerError},
			"a nil *Error":         {func() error { return (*tx.Error)(nil) }, tx.ServerError},
			"a zero *Error":        {func() error { return &tx.Error{} }, tx.ServerError},
			"a panic":              {func() error { panic(text) }, tx.ServerError},
			"a panic with a code":  {func() error { panic(tx.InvalidTarget) }, tx.ServerError},
			"a panic with error":   {func() error { panic(errors.New(text)) }, tx.ServerError},
			"a panic with nil":     {func() error { panic(nil) }, tx.ServerError},
			"a deadline panics":    {func() error { panic(context.DeadlineExceeded) }, tx.ServerError},
			"a runtime panic":      {func() error { return []error{nil}[len(text)] }, tx.ServerError},
			"a typed nil":          {func() error { var e *hostError; return e }, tx.ServerError},
			"one that unwraps nil": {func() error { return (*hostWrapper)(nil) }, tx.ServerError},
		} {
			t.Run(place+", "+name, func(t *testing.T) {
				w := newWorld(t)
				f := w.delegation(nil)
				w.breakAt(place, c.fail)
				a := w.post("shop", f).refused(t, c.code)
				require.NotContains(t, a.raw, text)
				require.Len(t, w.events, 1, "I07")
				if place != "sink" {
					require.Equal(t, c.code, tx.AsError(w.events[0].Err).Code)
				}
			})
		}
	}
}

// I07: whatever way an exchange ends, there is one event, and it says so.
func TestI07_EveryOutcomeIsAudited(t *testing.T) {
	w := newWorld(t)
	good := func(more ...string) url.Values { return form(w.access(nil), tx.TypeAccessToken, more...) }
	for name, f := range map[string]url.Values{
		"granted": good(), "empty form": {}, "nil form": nil, "other grant": {"grant_type": {"password"}}, "no subject token": {"grant_type": {tx.GrantType}}, "repeated": good("scope", "a", "scope", "b"),
		"authorization_details": good("authorization_details", "[]"), "malformed target": good("resource", "#"), "too many targets": good("audience", "a", "audience", "b", "resource", "#"), "malformed scope": good("scope", " "),
		"unknown type": form("x", "unknown"), "garbled": form("x", tx.TypeAccessToken), "expired": form(w.access(claims{"exp": 1}), tx.TypeAccessToken), "unknown user": form(w.access(claims{"sub": "x"}), tx.TypeAccessToken),
		"too long": form(strings.Repeat("x", 1<<17), tx.TypeAccessToken), "bad actor": withActor(good(), "x", tx.TypeAccessToken), "no rule": form(w.access(claims{"client_id": "other"}), tx.TypeAccessToken), "target": good("audience", orders), "scope": good("scope", "admin"),
	} {
		t.Run(name, func(t *testing.T) {
			before := len(w.events)
			_, err := w.exchange(f)
			require.Equal(t, name == "granted", err == nil)
			require.Len(t, w.events, before+1)
			e := w.lastEvent()
			require.Equal(t, "shop", e.Facts.Client.ID)
			require.Equal(t, tx.GrantType, e.Facts.Grant)
			require.Equal(t, at, e.Time)
			var line bytes.Buffer
			require.NoError(t, tx.LogSink{Handler: slog.NewJSONHandler(&line, nil)}.RecordExchange(context.Background(), e))
			require.Equal(t, 1, strings.Count(line.String(), "\n"))
			var logged map[string]any
			require.NoError(t, json.Unmarshal(line.Bytes(), &logged))
			require.Equal(t, map[bool]any{true: "granted", false: "refused"}[err == nil], logged["outcome"])
			require.Equal(t, "shop", logged["client"])
		})
	}
	w.post("shop", w.delegation(claims{"act": claims{"sub": "bob"}})).granted(t)
	var line bytes.Buffer
	require.NoError(t, tx.LogSink{Handler: slog.NewTextHandler(&line, nil)}.RecordExchange(context.Background(), w.lastEvent()))
	for _, want := range []string{"alice", "admin", "shop", "delegate", orders, "bob", w.lastEvent().TokenID} {
		require.Contains(t, line.String(), want)
	}
	require.Error(t, tx.LogSink{}.RecordExchange(context.Background(), w.lastEvent()))
	require.Error(t, tx.LogSink{Handler: slog.NewTextHandler(&line, &slog.HandlerOptions{Level: slog.LevelWarn})}.RecordExchange(context.Background(), w.lastEvent()))
}
