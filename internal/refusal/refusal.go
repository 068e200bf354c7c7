// Package refusal makes the refusals of the packages beside tokenexchange: a code for the client,
// and for the operator a stable reason and a detail. docs/debugging.md lists the reasons.
package refusal

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/go-tokenexchange/tokenexchange"
)

// New returns a refusal. The detail is a sentence with the offending value and with what is
// allowed. It never contains a token or another secret. A row of the rule book follows in brackets.
func New(code tokenexchange.Code, reason, detail string, args ...any) *tokenexchange.Error {
	return &tokenexchange.Error{Code: code, Reason: reason, Detail: fmt.Sprintf(detail, args...)}
}

// WithCause returns a refusal that wraps its cause.
func WithCause(cause error, code tokenexchange.Code, reason, detail string, args ...any,
) *tokenexchange.Error {
	e := New(code, reason, detail, args...)
	e.Err = cause
	return e
}

// Wrap returns err with another code. It keeps the reason and the detail of err. The given ones are
// for an err without, such as most errors of a host.
func Wrap(err error, code tokenexchange.Code, reason, detail string, args ...any,
) *tokenexchange.Error {
	inner := tokenexchange.AsError(err)
	if inner.Reason == "" && inner.Detail == "" {
		return WithCause(err, code, reason, detail, args...)
	}
	e := &tokenexchange.Error{Code: code, Rule: inner.Rule, Reason: inner.Reason,
		Detail: inner.Detail, Err: err}
	if own, ok := err.(*tokenexchange.Error); ok && own.Code == inner.Code {
		e.Err = own.Err // the other fields have the rest
	}
	return e
}

// Actor returns an actor, with the actors before it, for a detail.
func Actor(a *tokenexchange.Actor) string {
	text, _ := json.Marshal(a)
	return string(text)
}

// Party returns an identity for a detail.
func Party(id tokenexchange.Identity) string {
	kind := cmp.Or(string(id.Kind), "party")
	if id.Tenant == "" {
		return fmt.Sprintf("%s %q of %q", kind, id.ID, id.Issuer)
	}
	return fmt.Sprintf("%s %q in %q of %q", kind, id.ID, id.Tenant, id.Issuer)
}
