package tokenexchange

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// AuditSink records every outcome, refusals and failures included (I07). If it returns an error, no
// token leaves (I06). It is called once for each exchange, by several goroutines at a time.
//
// The context of the call is not cancelled with the request. It ends after Exchanger.RecordTimeout;
// a sink that has not returned by then has failed, even if it records the event later. Such a call
// keeps its goroutine until it returns, so a sink should obey its context.
type AuditSink interface {
	RecordExchange(ctx context.Context, ev Event) error
}

// Event is one outcome. Facts is as complete as the exchange got: after a malformed form, it has
// only the grant, the issuer, the client and the time. Decision is zero if the exchange was
// refused. An event contains no token, and no Token.Claims, which may contain tokens (I08).
type Event struct {
	Time     time.Time // the time of the exchange; never zero
	Facts    Facts
	Decision Decision
	TokenID  string // IssuedToken.ID; empty if no token was issued
	Err      error  // nil if granted; an *Error has the rule and the reason
}

// LogValue returns the parties, the client, the rule, the request and the result, for log/slog. The
// outcome is "granted", "refused" or, if the server is at fault, "failed". Empty attributes are
// left out. docs/debugging.md explains them.
func (ev Event) LogValue() slog.Value {
	f := ev.Facts
	outcome := "granted"
	if ev.Err != nil {
		outcome = "refused"
		if AsError(ev.Err).Code.Status() >= 500 {
			outcome = "failed"
		}
	}
	attrs := []slog.Attr{
		slog.String("outcome", outcome),
		slog.String("grant", f.Grant),
		slog.String("issuer", f.Issuer),
		slog.String("client", f.Client.ID),
	}
	attrs = append(attrs, f.Subject.logAttrs("subject")...)
	if f.Actor != nil {
		attrs = append(attrs, f.Actor.logAttrs("actor")...)
	}
	attrs = append(attrs, group("asked",
		text("type", string(f.Request.RequestedTokenType)),
		list("targets", f.Request.Targets()),
		text("scope", f.Request.Scope.String()),
	)...)
	if ev.Err == nil {
		return slog.GroupValue(append(attrs, ev.Decision.logAttrs(ev.TokenID)...)...)
	}
	e := AsError(ev.Err)
	attrs = append(attrs, slog.String("error", string(e.Code)))
	attrs = append(attrs, nonEmpty(
		text("rule", e.Rule), text("reason", e.Reason), text("detail", e.Detail))...)
	if e.Err != nil {
		attrs = append(attrs, slog.String("cause", e.Err.Error()))
	}
	return slog.GroupValue(attrs...)
}

// logAttrs describes the party. A party that has not been resolved is described as the token names
// it.
func (s Subject) logAttrs(key string) []slog.Attr {
	id := s.Identity
	if id == (Identity{}) {
		id = Identity{Issuer: s.Token.Issuer, ID: s.Token.Subject}
	}
	return group(key,
		text("iss", id.Issuer),
		text("kind", string(id.Kind)),
		text("tenant", id.Tenant),
		text("id", id.ID),
		text("token_type", string(s.Token.Type)),
		text("token_id", s.Token.ID),
		text("token_client", s.Token.ClientID),
		text("chain", s.Token.Actor.path()),
	)
}

// logAttrs describes the result. Event.LogValue describes the facts.
func (d Decision) logAttrs(tokenID string) []slog.Attr {
	attrs := []slog.Attr{slog.String("rule", d.Rule), slog.String("mode", string(d.Mode))}
	return append(attrs, group("granted",
		text("type", string(d.Type)),
		list("targets", d.Audience),
		text("scope", d.Scope.String()),
		text("expanded", d.Expanded.String()),
		text("tenant", d.Subject.Tenant),
		text("chain", d.Actor.path()),
		slog.Time("expires", d.Expires),
		text("token_id", tokenID),
		slog.Bool("id_token", d.IDToken),
		slog.Bool("refresh_token", d.RefreshToken),
	)...)
}

// path returns the chain in one line, the current actor first: "ai-agent" < "bob". Quotes keep
// apart names that contain spaces or "<". It is empty for a nil chain.
func (a *Actor) path() string {
	text := ""
	for ; a != nil; a = a.Prior {
		if text != "" {
			text += " < "
		}
		text += fmt.Sprintf("%q", a.Subject)
	}
	return text
}

// text returns an attribute, or the empty attribute for an empty value.
func text(key, value string) slog.Attr {
	if value == "" {
		return slog.Attr{}
	}
	return slog.String(key, value)
}

// list returns an attribute for several values, or the empty attribute for none.
func list(key string, values []string) slog.Attr {
	if len(values) == 0 {
		return slog.Attr{}
	}
	return slog.Any(key, values)
}

// nonEmpty drops empty attributes, which some handlers of log/slog do not expect in a group.
func nonEmpty(attrs ...slog.Attr) []slog.Attr {
	return slices.DeleteFunc(attrs, func(a slog.Attr) bool { return a.Equal(slog.Attr{}) })
}

// group returns a group of the non-empty attributes, or nil.
func group(key string, attrs ...slog.Attr) []slog.Attr {
	if attrs = nonEmpty(attrs...); len(attrs) == 0 {
		return nil
	}
	return []slog.Attr{{Key: key, Value: slog.GroupValue(attrs...)}}
}
