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

// CheckIssuer tests whether a TokenIssuer meets its contract. It returns all findings joined, or
// nil.
//
// It asks for tokens of d, which should come from a policy, and of variants of d: with and without
// a refresh token and an ID token, and with a lifetime of one second. The issuer must make the
// tokens of d and of every variant that asks for fewer tokens. It may return an error for a variant
// that asks for more, since an issuer need not support everything.
//
// CheckIssuer discards every token. It cannot see whether a discarded token is refused, nor how
// long refresh tokens and ID tokens live. A call may take until ctx ends, and 10 seconds at most.
func CheckIssuer(ctx context.Context, issuer tokenexchange.TokenIssuer,
	d tokenexchange.Decision) error {
	if err := d.Check(); err != nil {
		return fmt.Errorf("tokenexchangetest: CheckIssuer needs a complete decision, got %w", err)
	}
	c := issuerCheck{checker: &checker{ctx: ctx}, issuer: issuer, d: d, seen: map[string]bool{}}
	return c.run(c.refusesZero, c.variants, c.shortLived, c.concurrent, c.cancel)
}

type issuerCheck struct {
	*checker
	issuer tokenexchange.TokenIssuer
	d      tokenexchange.Decision

	seenMu sync.Mutex
	seen   map[string]bool // all tokens and IDs so far
}

func (c *issuerCheck) refusesZero() {
	if err := c.issue(c.ctx, "the zero Decision", tokenexchange.Decision{}, nil); err == nil {
		c.find(nil, "IssueToken for the zero Decision made a token")
	}
}

func (c *issuerCheck) variants() {
	for _, refresh := range []bool{c.d.RefreshToken, !c.d.RefreshToken} {
		for _, id := range []bool{c.d.IDToken, !c.d.IDToken} {
			more := refresh && !c.d.RefreshToken || id && !c.d.IDToken
			aboutUser := c.d.Subject.Kind == tokenexchange.KindUser
			if more && (!aboutUser || c.d.Type == tokenexchange.TypeIDToken) {
				continue // no policy decides this (D23)
			}
			input := "the decision"
			if refresh != c.d.RefreshToken || id != c.d.IDToken {
				input = fmt.Sprintf("a decision with RefreshToken %t and IDToken %t", refresh, id)
			}
			err := c.issue(c.ctx, input, c.variant(refresh, id), c.inspect)
			if !more {
				c.succeeds(input, err)
			}
		}
	}
}

// variant returns the decision with and without a refresh token and an ID token.
func (c *issuerCheck) variant(refresh, id bool) tokenexchange.Decision {
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

// shortLived asks for a lifetime of one second. An issuer that applies a fixed lifetime of its own
// exceeds it.
func (c *issuerCheck) shortLived() {
	v := c.d
	v.Expires = v.Issued.Add(time.Second)
	_ = c.issue(c.ctx, "a lifetime of one second", v, c.inspect) // the issuer may refuse
}

func (c *issuerCheck) concurrent() {
	const input = "the decision in a concurrent call"
	concurrently(func(int) { c.succeeds(input, c.issue(c.ctx, input, c.d, c.inspect)) })
}

// cancel calls the issuer under a cancelled context. An issuer that makes no call of its own may
// ignore the context. Otherwise it must fail: a refusal would blame the client.
func (c *issuerCheck) cancel() {
	err := c.issue(c.cancelled(), "a cancelled context", c.d, c.inspect)
	if returned(err) && isRefusal(err) {
		c.find(err, "IssueToken refused the decision under a cancelled context; "+
			"that is a failure, which has no Code (I12)")
	}
}

// succeeds expects that err is nil.
func (c *issuerCheck) succeeds(input string, err error) {
	if returned(err) && err != nil {
		c.find(err, "IssueToken for %s failed", input)
	}
}

// issue asks for the tokens of one decision, calls inspect unless it is nil, and discards the
// tokens.
func (c *issuerCheck) issue(ctx context.Context, input string, d tokenexchange.Decision,
	inspect func(string, tokenexchange.Decision, tokenexchange.IssuedToken)) error {
	given := deepCopy(d)
	t, err := call(c.checker, "IssueToken for "+input, func() (tokenexchange.IssuedToken, error) {
		return c.issuer.IssueToken(ctx, given)
	})
	if !returned(err) {
		return err
	}
	if !reflect.DeepEqual(given, d) {
		c.find(nil, "IssueToken for %s modified its argument", input)
	}
	if err == nil && inspect != nil {
		inspect(input, d, t)
	}
	if t.Discard != nil {
		c.discard(t)
	}
	return err
}

// inspect compares the tokens with the decision.
func (c *issuerCheck) inspect(input string, d tokenexchange.Decision, t tokenexchange.IssuedToken) {
	findIf := func(found bool, finding string) {
		if found {
			c.find(nil, "IssueToken for %s %s", input, finding)
		}
	}
	findIf(t.Value == "", "made an empty token")
	findIf(t.ID == "", "made a token without ID, which audit events need")
	findIf(t.Expires.After(d.Expires), "made a token that expires later than decided (I04)")
	findIf(t.Expires.Sub(d.Issued) < time.Second, "made a token that has already expired")
	findIf(t.RefreshToken != "" && !d.RefreshToken, "made a refresh token that was not decided")
	findIf(t.RefreshToken == "" && d.RefreshToken, "made no refresh token")
	findIf(d.RefreshToken && t.RefreshExpires.IsZero(), "made a refresh token without expiry")
	findIf(d.RefreshToken && t.RefreshExpires.After(d.RefreshExpires),
		"made a refresh token that expires later than decided")
	findIf(t.IDToken != "" && !d.IDToken, "made an ID token that was not decided")
	findIf(t.IDToken == "" && d.IDToken, "made no ID token")
	for _, secret := range []string{t.Value, t.RefreshToken, t.IDToken} {
		findIf(secret != "" && strings.Contains(t.ID, secret),
			"made an ID that contains a token (I08)")
	}
	findIf(c.repeats("id", t.ID), "made the same ID twice")
	findIf(c.repeats("token", t.Value), "made the same token twice")
	findIf(c.repeats("token", t.RefreshToken), "made a refresh token that equals an earlier token")
}

// repeats reports whether the text is not empty and was passed to repeats before.
func (c *issuerCheck) repeats(kind, text string) bool {
	c.seenMu.Lock()
	defer c.seenMu.Unlock()
	key := kind + " " + text
	repeated := c.seen[key]
	c.seen[key] = true
	return repeated && text != ""
}

// discard calls Discard and reports whether it succeeded; a failure is a finding. The context of
// the call is not cancelled with the check, as an Exchanger's is not cancelled with the request.
func (c *checker) discard(t tokenexchange.IssuedToken) (ok bool) {
	_, err := call(c, "Discard", func() (any, error) {
		return nil, t.Discard(context.WithoutCancel(c.ctx))
	})
	if returned(err) && err != nil {
		c.find(err, "Discard failed")
	}
	return err == nil
}
