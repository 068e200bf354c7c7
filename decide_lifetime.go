package tokenexchange

import (
	"math"
	"time"
)

// date is the time for a number of seconds since 1970.
func date(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }

// end is the latest second for what is made from a token. The expiry of evidence only limits its
// presentation, so the end that the evidence inherited counts instead.
func (q *question) end(t *Token) int64 {
	switch {
	case !t.Type.isEvidence():
		return q.second(t.Expires)
	case t.Lineage != nil && !t.Lineage.Ends.IsZero():
		return q.second(t.Lineage.Ends)
	}
	return math.MaxInt64
}

// past is the second of every date that has come.
const past = math.MinInt64

// second is the second of a date.
func (q *question) second(date time.Time) int64 {
	if !date.After(q.Now) {
		return past // so is a date beyond what a time can hold: it is before every other one
	}
	return date.Unix()
}

// expiry is the latest second for a token that the rule gives so long (D25).
func (q *question) expiry(r *compiledRule, lifetime time.Duration) int64 {
	return min(q.endsUnder(r), q.now+int64(lifetime/time.Second))
}

// endsUnder is the latest second for whatever is made from the presented tokens under the rule.
func (q *question) endsUnder(r *compiledRule) int64 {
	if r.OutliveSubject || r.OutliveActor {
		return q.outlived(r)
	}
	return q.ends
}

// refreshExpiry is the latest second for a refresh token. A grant that begins with a login ends
// at Subject.Until, which rotation does not move.
func (q *question) refreshExpiry(r *compiledRule) int64 {
	expires := q.expiry(r, r.RefreshLifetime)
	if q.evidence && !q.Subject.Until.IsZero() {
		expires = min(expires, q.second(q.Subject.Until))
	}
	return expires
}

// outlived is q.ends where one of the tokens may be outlived, until the session ends that it comes from.
func (q *question) outlived(r *compiledRule) int64 {
	end := func(s *Subject, outlive bool) int64 {
		if !outlive || s.Until.IsZero() || s.Token.Type.isEvidence() {
			return q.end(&s.Token)
		}
		until := q.second(s.Until)
		if l := s.Token.Lineage; l != nil && !l.Ends.IsZero() {
			until = min(until, q.second(l.Ends)) // the end of a grant, which no later answer moves
		}
		return until
	}
	latest := end(&q.Subject, r.OutliveSubject)
	if q.actor != nil {
		latest = min(latest, end(q.Actor, r.OutliveActor))
	}
	return latest
}

func (q *question) lifetime(r *compiledRule) string {
	if q.expires = q.expiry(r, r.Lifetime); q.expires < q.soonest {
		return "D25: less than a second would be left"
	}
	return ""
}
