package tokenexchange

import "sync/atomic"

// denial is a refusal as it leaves a Policy. It is made when a rule first refuses for this reason, given to everybody
// whom the rule refuses for it afterwards, and never changed: a refusal costs no allocation (100 ns less), so a flood of
// requests that are refused leaves no garbage. It is no *Error since a host may change one of these.
type denial struct {
	code         Code
	rule, reason string
	next         *denial // of the same rule
}

// denials are those that one rule has made so far, a few dozen at most: every reason is a constant of this package.
type denials struct{ first atomic.Pointer[denial] }

// of returns the one for a reason.
func (l *denials) of(code Code, rule, reason string) *denial {
	for {
		first := l.first.Load()
		for d := first; d != nil; d = d.next {
			if d.reason == reason && d.code == code {
				return d
			}
		}
		d := &denial{code, rule, reason, first}
		if l.first.CompareAndSwap(first, d) {
			return d
		}
	}
}

// denial is why the rule that came furthest does not grant.
func (p *Policy) denial(r refusal) *denial {
	code := InvalidRequest
	switch r.stage {
	case stageTargets:
		code = InvalidTarget
	case stageScope:
		code = InvalidScope
	}
	if r.rule == nil {
		return p.denials.of(code, "", r.reason)
	}
	return r.rule.denials.of(code, r.rule.Name, r.reason)
}

// err makes an *Error that belongs to whoever asks for it.
func (d *denial) err() *Error {
	e := refuse(d.code, d.reason)
	e.Rule = d.rule
	return e
}

// Error is what the *Error says.
func (d *denial) Error() string { return d.err().Error() }

// MarshalText is what Error says.
func (d *denial) MarshalText() ([]byte, error) { return d.err().MarshalText() }

// Is reports whether target is the code.
func (d *denial) Is(target error) bool { return target == error(d.code) }

// As makes an *Error.
func (d *denial) As(target any) bool {
	e, ok := target.(**Error)
	if ok {
		*e = d.err()
	}
	return ok
}
