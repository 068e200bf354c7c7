package securitytest

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
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/auditlog"
	"github.com/go-tokenexchange/tokenexchange/internal/world"
)

// printed returns all that a careless program could print of a value: with every verb, inside other
// values, by every log handler and, if marshals, as JSON.
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

// keepsSecret requires that a text holds none of the secrets, in any spelling that printed or an
// URL gives them.
func keepsSecret(t *testing.T, where, text string, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		for how, form := range map[string]string{
			"plain":     secret,
			"hex":       fmt.Sprintf("%x", secret),
			"HEX":       fmt.Sprintf("%X", secret),
			"in a URL":  url.QueryEscape(secret),
			"quoted":    strings.Trim(fmt.Sprintf("%q", secret), `"`),
			"bytes":     strings.Trim(fmt.Sprint([]byte(secret)), "[]"),
			"signature": secret[strings.LastIndexByte(secret, '.')+1:],
		} {
			if i := strings.Index(text, form); i >= 0 {
				t.Errorf("I08: %s shows a token (%s): …%.60q", where, how, text[max(0, i-60):])
			}
		}
	}
}

// TestI08_ValuesDoNotPrintTheirTokens prints every type of the package that holds a token.
func TestI08_ValuesDoNotPrintTheirTokens(t *testing.T) {
	const secret = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
	const other, third = "opaque-0123456789abcdef", "second-0123456789abcdef"
	request := tx.Request{
		SubjectToken: secret, SubjectTokenType: tx.TypeJWT,
		ActorToken: other, ActorTokenType: tx.TypeAccessToken, Scope: tx.Scope{"read"},
	}
	issued := tx.IssuedToken{Value: secret, ID: "id", RefreshToken: other, IDToken: third}
	for name, v := range map[string]any{
		"Request":           request,
		"*Request":          &request,
		"[]Request":         []tx.Request{request},
		"Credential":        tx.Credential{Token: secret, Type: tx.TypeJWT},
		"*Credential":       &tx.Credential{Token: other},
		"map of Credential": map[string]tx.Credential{"c": {Token: secret}},
		"IssuedToken":       issued,
		"*IssuedToken":      &issued,
	} {
		keepsSecret(t, name, printed(v, true), secret, other, third)
	}
	response := tx.Response{
		AccessToken: secret, RefreshToken: other, IDToken: third, TokenType: "Bearer",
	}
	keepsSecret(t, "Response", printed(response, false), secret, other, third)
	keepsSecret(t, "*Response", printed(&response, false), secret, other, third)
	data, err := json.Marshal(response)
	require.NoError(t, err)
	require.Contains(t, string(data), secret, "the client needs it")
}

// TestI08_EventsHoldNoEmbeddedToken presents tokens with another token in a claim, such as a token
// for a service behind. The policy and the issuer see all claims. An event has no claims, since
// sinks print and marshal it.
func TestI08_EventsHoldNoEmbeddedToken(t *testing.T) {
	for _, code := range []tx.Code{"", tx.InvalidRequest} {
		w := world.New(t)
		embedded, other := w.Access(), w.Access()
		issued := w.TokenIssuer
		issue := func(ctx context.Context, d tx.Decision) (tx.IssuedToken, error) {
			require.Contains(t, string(d.Facts.Subject.Token.Claims), embedded)
			require.Contains(t, string(d.Facts.Actor.Token.Claims), other)
			if code != "" {
				return tx.IssuedToken{}, code
			}
			return issued.IssueToken(ctx, d)
		}
		w.TokenIssuer = world.IssuerFunc(issue)
		actor := w.Access(claims{"sub": "admin", "downstream": other})
		f := w.AccessForm(claims{"downstream": embedded})
		_, err := w.Call(world.WithActor(f, actor, tx.TypeAccessToken))
		require.Equal(t, code != "", err != nil)
		keepsSecret(t, "the event", printed(w.LastEvent(), true), embedded, other)
		require.Equal(t, "alice", w.LastEvent().Facts.Subject.Token.Subject)
		require.Equal(t, "admin", w.LastEvent().Facts.Actor.Token.Subject)
	}
}

// TestI08_IssuersDoNotPrintTheirKeys prints an issuer with an EdDSA key, which is a list of bytes.
func TestI08_IssuersDoNotPrintTheirKeys(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	issuer := *world.NewIssuer(t, key, "own-1", tx.JWTIssuer{})
	for name, v := range map[string]any{
		"value":     issuer,
		"pointer":   &issuer,
		"list":      []tx.JWTIssuer{issuer},
		"Exchanger": tx.Exchanger{TokenIssuer: &issuer},
	} {
		text := printed(v, true)
		require.Contains(t, text, "own-1", name)
		for _, form := range []string{
			fmt.Sprintf("%x", key.Seed()), strings.Trim(fmt.Sprint(key.Seed()), "[]"),
		} {
			require.NotContains(t, text, form, name)
		}
	}
}

// tokenError is an error of a host whose token shows in JSON and in %#v.
type tokenError struct{ Token string }

func (tokenError) Error() string { return "the store has lost a token" }

// loose returns errors of a host that have a token in them.
func loose(token string) map[string]error {
	return map[string]error{
		"plain":  errors.New("no such token: " + token),
		"quoted": fmt.Errorf("no such token: %q", token),
		"URL": &url.Error{
			Op: "Get", URL: "https://introspect.example/?token=" + url.QueryEscape(token),
			Err: errors.New("EOF"),
		},
		"wrapped": fmt.Errorf("%w: %w", tx.InvalidRequest, errors.New("bad: "+token)),
		"joined":  errors.Join(tx.InvalidRequest, errors.New(token), errors.New("again "+token)),

		"Error with Err":    &tx.Error{Code: tx.InvalidRequest, Err: errors.New(token)},
		"Error with Reason": &tx.Error{Code: tx.InvalidRequest, Reason: token},
		"Error with Rule":   &tx.Error{Code: tx.InvalidRequest, Rule: token},
		"Error with text":   &tx.Error{Code: tx.InvalidRequest, Description: token},
		"Error in an error": fmt.Errorf("x: %w", &tx.Error{
			Code: tx.InvalidRequest, Description: token, Reason: token, Err: errors.New(token),
		}),

		"struct":                tokenError{token},
		"struct pointer":        &tokenError{token},
		"struct in an Error":    &tx.Error{Code: tx.InvalidRequest, Err: tokenError{token}},
		"struct, code, wrapped": fmt.Errorf("%w: %w", tx.InvalidRequest, tokenError{token}),
		"signature alone": fmt.Errorf("signature %s does not verify",
			token[strings.LastIndexByte(token, '.')+1:]),
	}
}

// TestI08_TokensInErrorsOfTheHost checks that a token which a host returns in an error, or panics
// with, is neither in the error of the exchange nor in the event.
func TestI08_TokensInErrorsOfTheHost(t *testing.T) {
	opaque := "opaque/+0123456789\"abcdef="
	for name := range loose("x.y") {
		for _, panics := range []bool{false, true} {
			for _, place := range []string{
				"subject verifier", "actor verifier", "resolver", "authorizer", "Decide", "issuer",
				"sink", "open",
			} {
				t.Run(fmt.Sprintf("%s, %s, panic %t", place, name, panics), func(t *testing.T) {
					for _, kind := range []string{"JWT", "opaque"} {
						w := world.New(t)
						subject, actor := w.Access(), w.Access(claims{"sub": "admin"})
						if kind == "opaque" {
							subject = opaque
							acceptOpaque(w, opaque)
						}
						failure := loose(subject)[name]
						if place == "actor verifier" {
							failure = loose(actor)[name]
						}
						fail := func() error {
							if panics {
								panic(failure)
							}
							return failure
						}
						breakAt(w, place, fail)
						var err error
						if place == "open" {
							r := tx.Request{SubjectToken: subject, ActorToken: actor}
							err = failToOpen(w, r, fail)
						} else {
							f := world.Present(subject)
							f = world.WithActor(f, actor, tx.TypeAccessToken)
							_, err = w.Exchange(context.Background(), w.Clients["shop"], f)
						}
						require.Error(t, err)
						keepsSecret(t, "the error", printed(err, true)+err.Error(), subject, actor)
						for e := err; e != nil; e = errors.Unwrap(e) {
							keepsSecret(t, "the error inside", e.Error(), subject, actor)
						}
						for _, e := range w.Events {
							keepsSecret(t, "the event", printed(e, true), subject, actor)
						}
					}
				})
			}
		}
	}
}

// acceptOpaque makes the verifier accept one opaque token.
func acceptOpaque(w *world.World, token string) {
	inner := w.Verify[tx.TypeAccessToken]
	verify := func(ctx context.Context, c tx.Credential) (tx.Token, error) {
		if c.Token == token {
			return world.Record("alice", "shop"), nil
		}
		return inner(ctx, c)
	}
	w.Verify[tx.TypeAccessToken] = verify
}

// failToOpen calls Run with a door that reads a request and then fails.
func failToOpen(w *world.World, req tx.Request, fail func() error) error {
	open := func(context.Context, time.Time) (tx.Request, tx.Token, *tx.Token, error) {
		return req, tx.Token{}, nil, fail()
	}
	_, err := w.Run(context.Background(), "door", w.Clients["shop"], open)
	return err
}

// breakAt makes one interface of the host call fail and return its error.
func breakAt(w *world.World, place string, fail func() error) {
	inner := w.Verify[tx.TypeAccessToken]
	switch place {
	case "subject verifier", "actor verifier":
		verify := func(ctx context.Context, c tx.Credential) (tx.Token, error) {
			if c.Actor == (place == "actor verifier") {
				return tx.Token{}, fail()
			}
			return inner(ctx, c)
		}
		w.Verify[tx.TypeAccessToken] = verify
	case "resolver":
		w.Resolver = world.ResolverFunc(func(context.Context, tx.Token) (tx.Subject, error) {
			return tx.Subject{}, fail()
		})
	case "authorizer":
		w.Authorizer = world.AuthorizerFunc(func(context.Context, tx.Facts) error { return fail() })
	case "Decide":
		w.Decide = func(tx.Facts) (tx.Decision, error) { return tx.Decision{}, fail() }
	case "issuer":
		issue := func(context.Context, tx.Decision) (tx.IssuedToken, error) {
			return tx.IssuedToken{}, fail()
		}
		w.TokenIssuer = world.IssuerFunc(issue)
	case "claims hook":
		hook := func(context.Context, tx.Decision, map[string]any) error { return fail() }
		w.TokenIssuer = world.NewIssuer(w, w.Key, "", tx.JWTIssuer{Claims: hook})
	case "sink":
		record := w.Audit
		w.Audit = world.SinkFunc(func(ctx context.Context, e tx.Event) error {
			_ = record.RecordExchange(ctx, e)
			return fail()
		})
	case "Live":
		w.Trusts[0].Live = func(context.Context, tx.Token) error { return fail() }
		w.Configure()
	}
}

// Errors of a host. Their methods panic if a nil pointer was returned as the error.
type (
	hostError   struct{ text string }
	hostWrapper struct{ error }
)

func (e *hostError) Error() string { return e.text }

func (e *hostWrapper) Unwrap() error { return e.error }

var hostPlaces = []string{
	"subject verifier", "actor verifier", "resolver", "authorizer", "Decide", "issuer",
	"claims hook", "sink", "Live",
}

// TestI12_HostsThatFail checks the answer to each error of a host. An error with a Code is a
// refusal with that code. A deadline is 503, and any other error or a panic is 500. There is one
// event (I07), and the text of the host is not in the answer.
func TestI12_HostsThatFail(t *testing.T) {
	const text = "text of the host"
	type failure struct {
		fail func() error
		code tx.Code
	}
	cases := map[string]failure{
		"a runtime panic": {func() error { return []error{nil}[len(text)] }, tx.ServerError},
	}
	for name, panicked := range map[string]any{
		"a panic":             text,
		"a panic with a code": tx.InvalidTarget,
		"a panic with error":  errors.New(text),
		"a panic with nil":    nil,
		"a deadline panics":   context.DeadlineExceeded,
	} {
		cases[name] = failure{func() error { panic(panicked) }, tx.ServerError}
	}
	for name, c := range map[string]struct {
		err  error
		code tx.Code
	}{
		"a code":      {fmt.Errorf("%s: %w", text, tx.InvalidScope), tx.InvalidScope},
		"a bare code": {tx.InvalidTarget, tx.InvalidTarget},
		"an Error": {
			&tx.Error{Code: tx.InvalidTarget, Description: text, Err: errors.New(text)},
			tx.InvalidTarget,
		},
		"a wrapped Error": {
			fmt.Errorf("%s: %w", text, &tx.Error{Code: tx.InvalidTarget, Description: text}),
			tx.InvalidTarget,
		},
		"the outermost code": {
			&tx.Error{Code: tx.InvalidScope, Err: tx.InvalidTarget}, tx.InvalidScope,
		},
		"a code of its own": {
			&tx.Error{Code: "interaction_required", Description: text}, "interaction_required",
		},
		"an unsendable code": {tx.Code("text \"of\n the host"), tx.ServerError},
		"a deadline": {
			fmt.Errorf("%s: %w", text, context.DeadlineExceeded), tx.TemporarilyUnavailable,
		},
		"a deadline with code": {
			fmt.Errorf("%w: %w", tx.InvalidRequest, context.DeadlineExceeded), tx.InvalidRequest,
		},
		"a cancellation":       {context.Canceled, tx.ServerError},
		"another error":        {errors.New(text), tx.ServerError},
		"a nil *Error":         {(*tx.Error)(nil), tx.ServerError},
		"a zero *Error":        {&tx.Error{}, tx.ServerError},
		"a typed nil":          {(*hostError)(nil), tx.ServerError},
		"one that unwraps nil": {(*hostWrapper)(nil), tx.ServerError},
	} {
		cases[name] = failure{func() error { return c.err }, c.code}
	}
	for _, place := range hostPlaces {
		for name, c := range cases {
			t.Run(place+", "+name, func(t *testing.T) {
				w := world.New(t)
				f := w.Delegation(nil)
				breakAt(w, place, c.fail)
				a := w.Post("shop", f).Refused(t, c.code)
				require.NotContains(t, a.Raw, text)
				require.Len(t, w.Events, 1, "I07")
				if place != "sink" {
					require.Equal(t, c.code, tx.AsError(w.Events[0].Err).Code)
				}
			})
		}
	}
}

// TestI07_EveryOutcomeIsAudited checks that each outcome has one event, which states it, and that
// auditlog.Sink writes one line about it.
func TestI07_EveryOutcomeIsAudited(t *testing.T) {
	w := world.New(t)
	good := func(more ...string) url.Values { return w.AccessForm(nil, more...) }
	record := func(h slog.Handler, e tx.Event) error {
		return auditlog.Sink{Handler: h}.RecordExchange(context.Background(), e)
	}
	for name, f := range map[string]url.Values{
		"granted":               good(),
		"empty form":            {},
		"nil form":              nil,
		"other grant":           {"grant_type": {"password"}},
		"no subject token":      {"grant_type": {tx.GrantType}},
		"repeated":              good("scope", "a", "scope", "b"),
		"authorization_details": good("authorization_details", "[]"),
		"malformed target":      good("resource", "#"),
		"too many targets":      good("audience", "a", "audience", "b", "resource", "#"),
		"malformed scope":       good("scope", " "),
		"unknown type":          world.Form("x", "unknown"),
		"garbled":               world.Present("x"),
		"expired":               w.AccessForm(claims{"exp": 1}),
		"unknown user":          w.AccessForm(claims{"sub": "x"}),
		"too long":              world.Present(strings.Repeat("x", 1<<17)),
		"bad actor":             world.WithActor(good(), "x", tx.TypeAccessToken),
		"no rule":               w.AccessForm(claims{"client_id": "other"}),
		"target":                good("audience", world.Orders),
		"scope":                 good("scope", "admin"),
	} {
		t.Run(name, func(t *testing.T) {
			before := len(w.Events)
			_, err := w.Call(f)
			require.Equal(t, name == "granted", err == nil)
			require.Len(t, w.Events, before+1)
			e := w.LastEvent()
			require.Equal(t, "shop", e.Facts.Client.ID)
			require.Equal(t, tx.GrantType, e.Facts.Grant)
			require.Equal(t, world.Now, e.Time)
			var line bytes.Buffer
			require.NoError(t, record(slog.NewJSONHandler(&line, nil), e))
			require.Equal(t, 1, strings.Count(line.String(), "\n"))
			var logged map[string]any
			require.NoError(t, json.Unmarshal(line.Bytes(), &logged))
			require.Equal(t, map[bool]any{true: "granted", false: "refused"}[err == nil],
				logged["outcome"])
			require.Equal(t, "shop", logged["client"])
		})
	}
	w.Post("shop", w.Delegation(claims{"act": claims{"sub": "bob"}})).Granted(t)
	var line bytes.Buffer
	require.NoError(t, record(slog.NewTextHandler(&line, nil), w.LastEvent()))
	for _, want := range []string{
		"alice", "admin", "shop", "delegate", world.Orders, "bob", w.LastEvent().TokenID,
	} {
		require.Contains(t, line.String(), want)
	}
	require.Error(t, record(nil, w.LastEvent()))
	warnings := slog.NewTextHandler(&line, &slog.HandlerOptions{Level: slog.LevelWarn})
	require.Error(t, record(warnings, w.LastEvent()), "the handler would drop the event")
}
