package tokenexchange

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// AuditSink records every outcome, refusals and failures included. If it returns an error, no token
// leaves.
//
// The context of the call is not cancelled with the request. It ends after Exchanger.RecordTimeout;
// a sink that has not returned by then has failed, even if it records the event later. Such a call
// keeps its goroutine until it returns, so a sink should obey its context.
type AuditSink interface {
	RecordExchange(ctx context.Context, ev Event) error
}

// Event is one outcome. Facts is as complete as the exchange got. Decision is zero if the exchange
// was refused. An event contains no token, and no Token.Claims, which may contain tokens.
type Event struct {
	Time     time.Time
	Facts    Facts
	Decision Decision
	TokenID  string // IssuedToken.ID; empty if no token was issued
	Err      error  // nil if granted; an *Error has the rule and the reason
}

// LogValue returns the parties, the client, the rule, the request and the result, for log/slog.
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
	attrs = append(attrs, nonEmpty(text("rule", e.Rule), text("reason", e.Reason), text("detail", e.Detail))...)
	if e.Err != nil {
		attrs = append(attrs, slog.String("cause", e.Err.Error()))
	}
	return slog.GroupValue(attrs...)
}

// logAttrs describes the party, or the party that the token names if it has not been resolved.
func (s Subject) logAttrs(key string) []slog.Attr {
	id := s.Identity
	if id == (Identity{}) {
		id = Identity{Issuer: s.Token.Issuer, ID: s.Token.Subject}
	}
	return group(key, text("iss", id.Issuer), text("kind", string(id.Kind)), text("tenant", id.Tenant),
		text("id", id.ID), text("token_type", string(s.Token.Type)), text("token_id", s.Token.ID),
		text("token_client", s.Token.ClientID), text("chain", s.Token.Actor.path()))
}

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

// path returns the chain in one line, the current actor first. Quotes keep the names apart.
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

// LogSink records through a slog.Handler. It takes a handler and not a *slog.Logger, because a
// Logger hides a failing write. The zero LogSink fails.
type LogSink struct{ Handler slog.Handler }

// RecordExchange writes one record of level Info with the attributes of the event. It fails if the
// handler fails or is not enabled for Info.
func (s LogSink) RecordExchange(ctx context.Context, ev Event) error {
	if s.Handler == nil || !s.Handler.Enabled(ctx, slog.LevelInfo) {
		return errors.New("tokenexchange: LogSink has no handler that is enabled for level Info")
	}
	r := slog.NewRecord(ev.Time, slog.LevelInfo, "token exchange", 0)
	r.AddAttrs(ev.LogValue().Group()...)
	return s.Handler.Handle(ctx, r)
}
