package tokenexchangetest

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

// CheckIssuer reports where a TokenIssuer breaks its contract, all findings joined; nil if it keeps it. It asks for
// tokens of d, which should be what a policy decided, and of the same decision with and without a refresh token and an ID
// token and with a second to live. For more than d asks for, an error is a good answer: an issuer need not be able to
// make everything. For d itself, and for less, it is not.
//
// Every token that it gets it discards. What cannot be seen from outside is not checked: whether a discarded token is
// good for nothing, and how long refresh and ID tokens live. A call may take until ctx ends, and 10 seconds at most.
func CheckIssuer(ctx context.Context, issuer tokenexchange.TokenIssuer, d tokenexchange.Decision) error {
	if err := d.Check(); err != nil {
		return fmt.Errorf("tokenexchangetest: CheckIssuer needs a complete decision; this is %w", err)
	}
	c := issuerCheck{checker: &checker{ctx: ctx}, issuer: issuer, d: d, had: map[string]bool{}}
	return c.run(c.nothing, c.variants, c.brief, c.crowd, c.cancel)
}

type issuerCheck struct {
	*checker
	issuer tokenexchange.TokenIssuer
	d      tokenexchange.Decision

	hadMu sync.Mutex
	had   map[string]bool // everything that must not come twice
}

func (c *issuerCheck) nothing() {
	if err := c.issue(c.ctx, "the zero Decision", tokenexchange.Decision{}, nil); err == nil {
		c.find(nil, "IssueToken for the zero Decision made a token")
	}
}

func (c *issuerCheck) variants() {
	for _, refresh := range []bool{c.d.RefreshToken, !c.d.RefreshToken} {
		for _, id := range []bool{c.d.IDToken, !c.d.IDToken} {
			more := refresh && !c.d.RefreshToken || id && !c.d.IDToken
			if more && (c.d.Subject.Kind != tokenexchange.KindUser || c.d.Type == tokenexchange.TypeIDToken) {
				continue // no policy decides that (D23)
			}
			what := "the decision"
			if refresh != c.d.RefreshToken || id != c.d.IDToken {
				what = fmt.Sprintf("a decision with RefreshToken %t and IDToken %t", refresh, id)
			}
			c.need(c.issue(c.ctx, what, c.with(refresh, id), c.hold), more, what)
		}
	}
}

// with is the decision with other tokens beside the first.
func (c *issuerCheck) with(refresh, id bool) tokenexchange.Decision {
	v := c.d
	v.RefreshToken, v.IDToken = refresh, id
	switch {
	case !refresh:
		v.RefreshExpires = time.Time{}
	case !c.d.RefreshToken:
		v.RefreshExpires = v.Expires
	}
	return v
}

// brief asks for a life so short that an issuer with a lifetime of its own exceeds it.
func (c *issuerCheck) brief() {
	v := c.d
	v.Expires = v.Issued.Add(time.Second)
	c.need(c.issue(c.ctx, "a second", v, c.hold), true, "a second")
}

func (c *issuerCheck) crowd() {
	const what = "the decision, concurrently,"
	together(func(int) { c.need(c.issue(c.ctx, what, c.d, c.hold), false, what) })
}

// cancel: an issuer that asks nobody need not look at its context, but no store that is out of reach is a refusal.
func (c *issuerCheck) cancel() {
	if err := c.issue(c.cancelled(), "a cancelled context", c.d, c.hold); answered(err) && isRefusal(err) {
		c.find(err, "IssueToken under a cancelled context refused, which is for what the client did wrong")
	}
}

// need notes an error where there should be a token.
func (c *issuerCheck) need(err error, mayFail bool, what string) {
	if answered(err) && err != nil && !mayFail {
		c.find(err, "IssueToken for %s failed", what)
	}
}

// issue asks for the tokens of one decision, looks at them and discards them.
func (c *issuerCheck) issue(ctx context.Context, what string, d tokenexchange.Decision,
	look func(what string, d tokenexchange.Decision, t tokenexchange.IssuedToken)) error {
	given := deepCopy(d)
	t, err := ask(c.checker, "IssueToken for "+what, func() (tokenexchange.IssuedToken, error) {
		return c.issuer.IssueToken(ctx, given)
	})
	if !answered(err) {
		return err
	}
	if !reflect.DeepEqual(given, d) {
		c.find(nil, "IssueToken for %s changed the decision that it was given", what)
	}
	if err == nil && look != nil {
		look(what, d, t)
	}
	if t.Discard == nil {
		return err
	}
	_, undo := ask(c.checker, "Discard", func() (any, error) { return nil, t.Discard(context.WithoutCancel(c.ctx)) })
	if answered(undo) && undo != nil {
		c.find(undo, "Discard failed")
	}
	return err
}

// hold compares what was made with what was decided.
func (c *issuerCheck) hold(what string, d tokenexchange.Decision, t tokenexchange.IssuedToken) {
	bad := func(is bool, finding string) {
		if is {
			c.find(nil, "IssueToken for %s %s", what, finding)
		}
	}
	bad(t.Value == "", "made an empty token")
	bad(t.ID == "", "made a token without ID, so that no event can name it")
	bad(t.Expires.After(d.Expires), "made a token that lives longer than was decided (I04)")
	bad(t.Expires.Sub(d.Issued) < time.Second, "made a token that has expired already")
	bad(t.RefreshToken != "" && !d.RefreshToken, "made a refresh token that was not decided")
	bad(t.RefreshToken == "" && d.RefreshToken, "left out the refresh token")
	bad(d.RefreshToken && (t.RefreshExpires.IsZero() || t.RefreshExpires.After(d.RefreshExpires)), "made a refresh token that outlives the decision")
	bad(t.IDToken != "" && !d.IDToken, "made an ID token that was not decided")
	bad(t.IDToken == "" && d.IDToken, "left out the ID token")
	for _, secret := range []string{t.Value, t.RefreshToken, t.IDToken} {
		bad(secret != "" && strings.Contains(t.ID, secret), "made an ID that contains a token (I08)")
	}
	bad(c.again("id", t.ID), "made an ID twice")
	bad(c.again("token", t.Value), "made a token twice")
	bad(c.again("token", t.RefreshToken), "made a refresh token that it had made before, or the token itself once more")
}

// again reports whether a text that is not empty has come before.
func (c *issuerCheck) again(kind, text string) bool {
	c.hadMu.Lock()
	defer c.hadMu.Unlock()
	key := kind + " " + text
	before := c.had[key]
	c.had[key] = true
	return before && text != ""
}
