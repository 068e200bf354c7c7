package tokenexchange

import (
	"math"
	"time"
)

// date is the time for a number of seconds since 1970.
func date(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }

// end is the second in which a token ends what can be made from it; evidence does not.
func (q *question) end(t *Token) int64 {
	if t.Type.isEvidence() {
		return math.MaxInt64
	}
	return q.second(t.Expires)
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
	ends := q.ends
	if r.OutliveSubject || r.OutliveActor {
		ends = q.outlived(r)
	}
	return min(ends, q.now+int64(lifetime/time.Second))
}

// outlived is q.ends where one of the tokens may be outlived, until the session ends that it comes from.
func (q *question) outlived(r *compiledRule) int64 {
	end := func(s *Subject, outlive bool) int64 {
		if outlive && !s.Until.IsZero() && !s.Token.Type.isEvidence() {
			return q.second(s.Until)
		}
		return q.end(&s.Token)
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
