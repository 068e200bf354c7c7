package tokenexchangetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

// CheckSink reports where an AuditSink breaks its contract, all findings joined; nil if it keeps it. It records events of
// its own making, granted, refused and malformed ones, of an issuer that does not exist.
//
// recorded reads back what the sink has recorded, other events included, in any order. It is called between recordings
// and right after one, since an event that RecordExchange has confirmed is there. Only Facts.Client.ID,
// Facts.Subject.ID, TokenID and whether Err is nil are looked at, so that is all it need fill in. Where recorded is nil,
// nothing can be said about lost and mixed events.
//
// As in an exchange, the sink gets a context that does not end, save one that is cancelled, under which it may fail but
// not lose. A call may take until ctx ends, and 10 seconds at most.
func CheckSink(ctx context.Context, sink tokenexchange.AuditSink, recorded func() []tokenexchange.Event) error {
	c := sinkCheck{checker: &checker{ctx: ctx}, sink: sink, recorded: recorded, mark: rand.Text()}
	return c.run(c.oneByOne, c.crowd, c.cancel)
}

type sinkCheck struct {
	*checker
	sink     tokenexchange.AuditSink
	recorded func() []tokenexchange.Event
	mark     string                // makes the events of this check unlike all others
	events   []tokenexchange.Event // those that must be there
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

func (c *sinkCheck) crowd() {
	confirmed := make([]bool, crowd)
	together(func(i int) {
		confirmed[i] = c.record(context.WithoutCancel(c.ctx), "events, concurrently,", c.sample(4+i)) == nil
	})
	for i, ok := range confirmed {
		if ok {
			c.events = append(c.events, c.sample(4+i))
		}
	}
	c.compare("events, concurrently,")
}

// cancel: no exchange does that to a sink. One that takes the context's word must tell.
func (c *sinkCheck) cancel() {
	ev := c.sample(4 + crowd)
	_, err := ask(c.checker, "RecordExchange for an event under a cancelled context", func() (any, error) {
		return nil, c.sink.RecordExchange(c.cancelled(), ev)
	})
	if err == nil {
		c.events = append(c.events, ev)
		c.compare("an event under a cancelled context")
	}
}

func (c *sinkCheck) record(ctx context.Context, what string, ev tokenexchange.Event) error {
	_, err := ask(c.checker, "RecordExchange for "+what, func() (any, error) { return nil, c.sink.RecordExchange(ctx, ev) })
	if answered(err) && err != nil {
		c.find(err, "RecordExchange for %s failed", what)
	}
	return err
}

// compare reads back, and looks for every event that was confirmed; what it has told of, it does not look for again.
func (c *sinkCheck) compare(what string) {
	if c.recorded == nil {
		return
	}
	list, err := ask(c.checker, "reading back", func() ([]tokenexchange.Event, error) { return c.recorded(), nil })
	if err != nil {
		return
	}
	byClient := make(map[string][]tokenexchange.Event, len(list))
	for _, ev := range list {
		byClient[ev.Facts.Client.ID] = append(byClient[ev.Facts.Client.ID], ev)
	}
	c.events = slices.DeleteFunc(c.events, func(want tokenexchange.Event) (told bool) {
		found := byClient[want.Facts.Client.ID]
		if told = len(found) == 0; told {
			c.find(nil, "RecordExchange for %s lost one that it had confirmed (I06)", what)
		}
		for _, ev := range found {
			if ev.Facts.Subject.ID != want.Facts.Subject.ID || ev.TokenID != want.TokenID || (ev.Err == nil) != (want.Err == nil) {
				c.find(nil, "RecordExchange for %s recorded one with another's subject, token or outcome", what)
				told = true
			}
		}
		return told
	})
}

// sample is the event number i: in turn granted, granted with an actor, refused by the policy, malformed.
func (c *sinkCheck) sample(i int) tokenexchange.Event {
	const issuer = "https://as.invalid"
	name := func(what string) string { return fmt.Sprintf("%s-%d-%s", what, i, c.mark) }
	now := time.Date(2025, 1, 1, 0, 0, i, 0, time.UTC)
	ev := tokenexchange.Event{Time: now, Facts: tokenexchange.Facts{
		Grant: tokenexchange.GrantType, Issuer: issuer, Client: tokenexchange.Client{ID: name("client")}, Now: now}}
	if i%4 == 3 {
		ev.Err = &tokenexchange.Error{Code: tokenexchange.InvalidRequest, Reason: "the form is malformed"}
		return ev
	}
	party := func(kind tokenexchange.Kind, id string) tokenexchange.Subject {
		return tokenexchange.Subject{
			Identity: tokenexchange.Identity{Issuer: issuer, Kind: kind, ID: id},
			Token: tokenexchange.Token{Type: tokenexchange.TypeAccessToken, ID: name("parent"), Issuer: issuer, Subject: id,
				Audience: []string{"https://api.invalid"}, Expires: now.Add(time.Hour)},
		}
	}
	ev.Facts.Subject = party(tokenexchange.KindUser, name("subject"))
	ev.Facts.Request = tokenexchange.Request{SubjectTokenType: tokenexchange.TypeAccessToken, Audience: []string{"https://api.invalid"}}
	if i%4 == 2 {
		ev.Err = &tokenexchange.Error{Code: tokenexchange.InvalidTarget, Rule: "sample", Reason: "a target beyond the ceiling"}
		return ev
	}
	ev.TokenID = name("token")
	ev.Decision = tokenexchange.Decision{
		Rule: "sample", Mode: tokenexchange.Impersonate, Issuer: issuer, Client: ev.Facts.Client.ID, Subject: ev.Facts.Subject.Identity,
		Audience: []string{"https://api.invalid"}, Scope: tokenexchange.Scope{"read"}, Type: tokenexchange.TypeAccessToken,
		Issued: now, Expires: now.Add(time.Minute), Facts: ev.Facts,
	}
	if i%4 == 1 {
		actor := party(tokenexchange.KindClient, name("actor"))
		ev.Facts.Actor, ev.Decision.Facts.Actor, ev.Decision.Mode = &actor, &actor, tokenexchange.Delegate
		ev.Decision.Actor = &tokenexchange.Actor{Issuer: issuer, Subject: actor.ID}
	}
	return ev
}
