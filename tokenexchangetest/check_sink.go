package tokenexchangetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

// CheckSink tests whether an AuditSink meets its contract. It returns all findings joined, or nil.
// It records events of its own: granted, refused and malformed exchanges, of an issuer that does
// not exist.
//
// recorded returns the events that the sink has recorded, in any order, and may return other events
// too. CheckSink calls it right after RecordExchange has returned nil, when the event must be
// there. It reads only Facts.Client.ID, Facts.Subject.ID, TokenID and whether Err is nil, so other
// fields may be zero. If recorded is nil, CheckSink cannot find lost or mixed events.
//
// As in an exchange, the context of a call is not cancelled and has no deadline. One call has a
// cancelled context: it may fail, but if it returns nil, the event must be recorded. A call may
// take until ctx ends, and 10 seconds at most.
func CheckSink(ctx context.Context, sink tokenexchange.AuditSink,
	recorded func() []tokenexchange.Event) error {
	c := sinkCheck{checker: &checker{ctx: ctx}, sink: sink, recorded: recorded, suffix: rand.Text()}
	return c.run(c.oneByOne, c.concurrent, c.cancel)
}

type sinkCheck struct {
	*checker
	sink     tokenexchange.AuditSink
	recorded func() []tokenexchange.Event
	suffix   string                // tells the events of this check from all others
	events   []tokenexchange.Event // the events that the sink must have recorded
}

// oneByOne records one event of each sort.
func (c *sinkCheck) oneByOne() {
	for i := range 4 {
		ev := c.sample(i)
		if c.record(context.WithoutCancel(c.ctx), "an event", ev) == nil {
			c.events = append(c.events, ev)
			c.compare("an event")
		}
	}
}

func (c *sinkCheck) concurrent() {
	const input = "an event in a concurrent call"
	confirmed := make([]bool, parallelCalls)
	concurrently(func(i int) {
		confirmed[i] = c.record(context.WithoutCancel(c.ctx), input, c.sample(4+i)) == nil
	})
	for i, ok := range confirmed {
		if ok {
			c.events = append(c.events, c.sample(4+i))
		}
	}
	c.compare(input)
}

// cancel records an event under a cancelled context, which no exchange does. The sink may return an
// error.
func (c *sinkCheck) cancel() {
	const input = "an event under a cancelled context"
	ev := c.sample(4 + parallelCalls)
	_, err := call(c.checker, "RecordExchange for "+input, func() (any, error) {
		return nil, c.sink.RecordExchange(c.cancelled(), ev)
	})
	if err == nil {
		c.events = append(c.events, ev)
		c.compare(input)
	}
}

func (c *sinkCheck) record(ctx context.Context, input string, ev tokenexchange.Event) error {
	_, err := call(c.checker, "RecordExchange for "+input, func() (any, error) {
		return nil, c.sink.RecordExchange(ctx, ev)
	})
	if returned(err) && err != nil {
		c.find(err, "RecordExchange for %s failed", input)
	}
	return err
}

// compare looks for every confirmed event among the recorded ones. An event that is lost or
// differs is a finding once and is not looked for again.
func (c *sinkCheck) compare(input string) {
	if c.recorded == nil {
		return
	}
	list, err := call(c.checker, "recorded", func() ([]tokenexchange.Event, error) {
		return c.recorded(), nil
	})
	if err != nil {
		return
	}
	byClient := make(map[string][]tokenexchange.Event, len(list))
	for _, ev := range list {
		byClient[ev.Facts.Client.ID] = append(byClient[ev.Facts.Client.ID], ev)
	}
	c.events = slices.DeleteFunc(c.events, func(want tokenexchange.Event) (bad bool) {
		found := byClient[want.Facts.Client.ID]
		if bad = len(found) == 0; bad {
			c.find(nil, "RecordExchange for %s returned nil but did not record it (I06)", input)
		}
		for _, ev := range found {
			if ev.Facts.Subject.ID != want.Facts.Subject.ID || ev.TokenID != want.TokenID ||
				(ev.Err == nil) != (want.Err == nil) {
				c.find(nil, "RecordExchange for %s recorded another subject, token or outcome",
					input)
				bad = true
			}
		}
		return bad
	})
}

// sample returns event number i. Four sorts take turns: granted, granted with an actor, refused by
// the policy, malformed.
func (c *sinkCheck) sample(i int) tokenexchange.Event {
	const issuer, api = "https://as.invalid", "https://api.invalid"
	name := func(role string) string { return fmt.Sprintf("%s-%d-%s", role, i, c.suffix) }
	now := time.Date(2025, 1, 1, 0, 0, i, 0, time.UTC)
	ev := tokenexchange.Event{Time: now, Facts: tokenexchange.Facts{
		Grant: tokenexchange.GrantType, Issuer: issuer,
		Client: tokenexchange.Client{ID: name("client")}, Now: now,
	}}
	if i%4 == 3 {
		ev.Err = &tokenexchange.Error{
			Code: tokenexchange.InvalidRequest, Reason: "parameter_malformed",
		}
		return ev
	}
	party := func(kind tokenexchange.Kind, id string) tokenexchange.Subject {
		return tokenexchange.Subject{
			Identity: tokenexchange.Identity{Issuer: issuer, Kind: kind, ID: id},
			Token: tokenexchange.Token{
				Type: tokenexchange.TypeAccessToken, ID: name("parent"), Issuer: issuer,
				Subject: id, Audience: []string{api}, Expires: now.Add(time.Hour),
			},
		}
	}
	ev.Facts.Subject = party(tokenexchange.KindUser, name("subject"))
	ev.Facts.Request = tokenexchange.Request{
		SubjectTokenType: tokenexchange.TypeAccessToken, Audience: []string{api},
	}
	if i%4 == 2 {
		ev.Err = &tokenexchange.Error{
			Code: tokenexchange.InvalidTarget, Rule: "sample", Reason: "target_not_allowed",
		}
		return ev
	}
	ev.TokenID = name("token")
	ev.Decision = tokenexchange.Decision{
		Rule: "sample", Mode: tokenexchange.Impersonate, Issuer: issuer,
		Client: ev.Facts.Client.ID, Subject: ev.Facts.Subject.Identity,
		Audience: []string{api}, Scope: tokenexchange.Scope{"read"},
		Type: tokenexchange.TypeAccessToken, Issued: now, Expires: now.Add(time.Minute),
		Facts: ev.Facts,
	}
	if i%4 == 1 {
		actor := party(tokenexchange.KindClient, name("actor"))
		ev.Facts.Actor, ev.Decision.Facts.Actor = &actor, &actor
		ev.Decision.Mode = tokenexchange.Delegate
		ev.Decision.Actor = &tokenexchange.Actor{Issuer: issuer, Subject: actor.ID}
	}
	return ev
}
