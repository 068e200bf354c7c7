package tokenexchange

import "time"

// unlimited is the end of tokens that set no limit. It is later than every date in a token.
var unlimited = time.Unix(1<<40, 0)

// wholeSeconds drops fractions, always towards the earlier time. The dates of a JWT are seconds.
func wholeSeconds(t time.Time) time.Time { return time.Unix(t.Unix(), 0).UTC() }

// earliest returns the earlier of two times. Neither may be the zero Time, which would win.
func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// end returns the latest end of anything made from the presented tokens under the rule (D25). It is
// unlimited if neither token sets a limit. Otherwise a client could exchange a token shortly before
// it expires, again and again, and keep access that the user has lost.
func (r *rule) end(f *Facts) time.Time {
	end := endOf(&f.Subject, r.outliveSubject)
	if f.Actor != nil {
		end = earliest(end, endOf(f.Actor, r.outliveActor))
	}
	return end
}

// endOf returns the latest end of anything made from one presented token. The expiry of evidence
// limits its presentation only: a ticket of two minutes may lead to a token of ten. The end that
// the evidence inherited counts instead.
func endOf(s *Subject, outlive bool) time.Time {
	inherited := unlimited
	if l := s.Token.Lineage; l != nil && !l.Ends.IsZero() {
		inherited = l.Ends
	}
	switch {
	case s.Token.Type.isEvidence():
		return inherited
	// Until is what the host knows of the session. Without it, the expiry stays the limit even
	// under a rule that lets the token be outlived.
	case outlive && !s.Until.IsZero():
		return earliest(s.Until, inherited)
	}
	return s.Token.Expires
}

// grantEnd returns Decision.Ends: zero if there is no limit. An issuer writes it into evidence, so
// that the next exchange obeys it.
func (r *rule) grantEnd(f *Facts) time.Time {
	if end := r.end(f); end != unlimited {
		return wholeSeconds(end)
	}
	return time.Time{}
}

// grantLifetime returns the expiry of the issued token (D25). A token that would expire within the
// second is refused: its exp would be equal to its iat.
func (r *rule) grantLifetime(f *Facts) (time.Time, *Error) {
	expires := r.expiry(f, r.lifetime)
	if expires.Sub(f.Now) < time.Second {
		return time.Time{}, refuse(InvalidRequest, "lifetime_too_short",
			"less than a second is left until %s, when the presented tokens end (D25)",
			timestamp(expires))
	}
	return expires, nil
}

// grantRefreshLifetime returns the expiry of the refresh token. A grant that begins with a login
// ends at Subject.Until, which rotation does not move (D25).
func (r *rule) grantRefreshLifetime(f *Facts) (time.Time, *Error) {
	expires := r.expiry(f, r.refreshLifetime)
	if f.Subject.Token.Type.isEvidence() && !f.Subject.Until.IsZero() {
		expires = earliest(expires, wholeSeconds(f.Subject.Until))
	}
	if expires.Sub(f.Now) < time.Second {
		return time.Time{}, refuse(InvalidRequest, "grant_ended",
			"the grant ended at Subject.Until, %s (D25)", timestamp(f.Subject.Until))
	}
	return expires, nil
}

// expiry returns the expiry of a token with the lifetime, in whole seconds.
func (r *rule) expiry(f *Facts, lifetime time.Duration) time.Time {
	return wholeSeconds(earliest(r.end(f), wholeSeconds(f.Now).Add(lifetime)))
}
