package tokenexchange

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// AuditSink records every outcome, refusals and failures included. An error means that no token leaves. It is called
// under a context that is not cancelled with the request.
type AuditSink interface {
	RecordExchange(ctx context.Context, ev Event) error
}

// Event is one outcome. Facts is as complete as the exchange got; Decision is zero if it was refused. It holds no token.
type Event struct {
	Time     time.Time
	Facts    Facts
	Decision Decision
	TokenID  string // IssuedToken.ID; empty if nothing was issued
	Err      error  // nil if granted; an *Error says which rule and why
}

// LogValue names both people, the client, the rule, what was asked and what was granted.
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
		slog.Attr{Key: "subject", Value: f.Subject.logValue()},
	}
	if f.Actor != nil {
		attrs = append(attrs, slog.Attr{Key: "actor", Value: f.Actor.logValue()})
	}
	attrs = append(attrs, slog.Group("asked",
		optional("type", string(f.Request.RequestedTokenType)),
		optionalList("targets", f.Request.Targets()),
		optional("scope", f.Request.Scope.String()),
	))
	if ev.Err != nil {
		e := AsError(ev.Err)
		attrs = append(attrs, slog.String("error", string(e.Code)), optional("rule", e.Rule), optional("reason", e.Reason))
		if e.Err != nil {
			attrs = append(attrs, slog.String("cause", e.Err.Error()))
		}
	} else {
		attrs = append(attrs, ev.Decision.logAttrs(ev.TokenID)...)
	}
	return slog.GroupValue(attrs...)
}

// logValue says who somebody is, and who their token says they are where nobody has resolved it.
func (s Subject) logValue() slog.Value {
	id := s.Identity
	if id == (Identity{}) {
		id = Identity{Issuer: s.Token.Issuer, ID: s.Token.Subject}
	}
	return slog.GroupValue(optional("iss", id.Issuer), optional("kind", string(id.Kind)), optional("tenant", id.Tenant),
		optional("id", id.ID), optional("token_type", string(s.Token.Type)), optional("token_id", s.Token.ID),
		optional("token_client", s.Token.ClientID), optional("chain", s.Token.Actor.path()))
}

func (d Decision) logAttrs(tokenID string) []slog.Attr {
	return []slog.Attr{
		slog.String("rule", d.Rule),
		slog.String("mode", string(d.Mode)),
		slog.Group("granted",
			slog.String("type", string(d.Type)),
			slog.Any("targets", d.Audience),
			optional("scope", d.Scope.String()),
			optional("expanded", d.Expanded.String()),
			optional("tenant", d.Subject.Tenant),
			optional("chain", d.Actor.path()),
			slog.Time("expires", d.Expires),
			slog.String("token_id", tokenID),
			slog.Bool("id_token", d.IDToken),
			slog.Bool("refresh_token", d.RefreshToken),
		),
	}
}

// path is the chain in one line, the current actor first. Names are quoted, so that none can pretend to be two.
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

// optional is an attribute that is left out where it says nothing.
func optional(key, value string) slog.Attr {
	if value == "" {
		return slog.Attr{}
	}
	return slog.String(key, value)
}

func optionalList(key string, values []string) slog.Attr {
	if len(values) == 0 {
		return slog.Attr{}
	}
	return slog.Any(key, values)
}

// LogSink records through a slog.Handler. It takes the handler, not a *slog.Logger, because a Logger hides a failing
// write. The zero LogSink fails.
type LogSink struct{ Handler slog.Handler }

// RecordExchange writes one record of level Info, the event's attributes on top level. It fails where the handler fails
// or is not enabled for Info.
func (s LogSink) RecordExchange(ctx context.Context, ev Event) error {
	if s.Handler == nil || !s.Handler.Enabled(ctx, slog.LevelInfo) {
		return errors.New("tokenexchange: audit log without a handler that is enabled for Info")
	}
	r := slog.NewRecord(ev.Time, slog.LevelInfo, "token exchange", 0)
	r.AddAttrs(ev.LogValue().Group()...)
	return s.Handler.Handle(ctx, r)
}
