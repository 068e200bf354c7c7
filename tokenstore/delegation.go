package tokenstore

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

// Delegation is what somebody may do for a user: the live tokens that an exchange has given to another party, and all that
// was made from them. An exchanged token joins the delegation of its subject token, whoever acts next, and an exchange of
// the same tokens by the same client once more adds to the same delegation.
//
// Where nobody acts and the client is the one that the subject token was issued to, it is the user's own: a login, or a
// narrower token out of one. No delegation has these, List does.
type Delegation struct {
	ID       string                // its name for EndDelegation; no secret, and of no use to anybody but the user
	Actor    *tokenexchange.Actor  // who acts, with the chain that was there before; of a ticket, who may. Nil: nobody is named, Client is the user
	Client   string                // through which it was given
	Audience []string              // where any of its tokens is good, ID tokens aside; sorted
	Scope    tokenexchange.Scope   // what any of its tokens allows; sorted
	Since    time.Time             // when the first of its tokens was issued, of those that live or were renewed by a refresh
	Until    time.Time             // when the last of its tokens expires
	Tokens   []tokenexchange.Token // the live ones, in the order in which they were issued; never empty
}

// Delegations returns who acts for somebody, as far as tokens of exchanges are live, the longest
// first. It reads all tokens about somebody, page after page. A token that is issued or ends while
// it reads may be missing.
func (t *Tokens) Delegations(ctx context.Context, about tokenexchange.Identity) ([]Delegation, error) {
	owner := ownerKey(about)
	var found []finding
	members := map[Key]int{}
	for f, err := range t.all(ctx, about) {
		if err != nil {
			return nil, err
		}
		if f.Spent {
			continue
		}
		found = append(found, f)
		for _, key := range f.delegations(owner) {
			members[key]++
		}
	}
	families := map[Key][]finding{}
	for _, f := range found {
		if keys := f.delegations(owner); len(keys) > 0 {
			// What was given on within a delegation has the keys of both, and the outer one has at least as many members. Where
			// no other member lives any more, the outer one is that which can still be added to for longer.
			outer := slices.MaxFunc(keys, func(a, b Key) int {
				return cmp.Or(members[a]-members[b], bytes.Compare(a[untilAt:markAt], b[untilAt:markAt]), bytes.Compare(a[:], b[:]))
			})
			families[outer] = append(families[outer], f)
		}
	}
	list := make([]Delegation, 0, len(families))
	for key, family := range families {
		list = append(list, newDelegation(key, owner, family))
	}
	slices.SortFunc(list, func(a, b Delegation) int {
		return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.ID, b.ID))
	})
	return list, nil
}

// EndDelegation makes every token of a delegation inactive at once, and of every other delegation
// of the same party through the same client. The tokens that these were made from stay: the logins
// of the user and of the actor. From then on that party gets no token for the user through that
// client, whatever token of the user is presented, until the user allows it (AllowDelegation) or
// logs in anew: a subject token that descends from a login after that moment is accepted, while a
// user id never is. An exchange that is under way is either ended with the rest or refused.
// ErrUnknown: the user has no such delegation, or it has ended.
func (t *Tokens) EndDelegation(ctx context.Context, about tokenexchange.Identity, id string) error {
	key, err := parseKey(id)
	if err != nil {
		return ErrUnknown
	}
	relation := relationIn(key)
	var family []finding
	related := map[Key]bool{}
	for f, err := range t.all(ctx, about) {
		if err != nil {
			return err
		}
		// A refresh token may be used up while pages are read, and its successor be missing. So a
		// spent record counts too.
		for _, k := range f.delegations(ownerKey(about)) {
			if k == key {
				family = append(family, f)
			}
			if relationIn(k) == relation {
				related[k] = true
			}
		}
	}
	if len(family) == 0 {
		return ErrUnknown
	}
	ended, err := t.ended(ctx, about)
	if err != nil {
		return err
	}
	before := ended[relation.String()]
	now := t.now()
	if len(before) > 0 && !now.After(before[0].Ended) {
		now = before[0].Ended.Add(1) // the clock of another machine is ahead
	}
	// An exchange that is under way either reads this record, or its tokens belong to a generation
	// that is revoked next. All earlier ones are, since an earlier end may have stopped half-way.
	shown := newDelegation(key, ownerKey(about), family)
	err = t.remember(ctx, about, endedRecord{EndedDelegation: EndedDelegation{
		ID: relation.String(), Actor: shown.Actor, Client: shown.Client, Ended: now}})
	if err != nil {
		return err
	}
	related[generationKey(about.Issuer, relation, time.Time{})] = true
	for _, r := range before {
		related[generationKey(about.Issuer, relation, r.Ended)] = true
	}
	until := later(usableUntil(key), now.Add(Linger))
	for k := range related {
		if err := t.Store.Revoke(ctx, now, k, until); err != nil {
			return err
		}
	}
	t.forget(ctx, before)
	return nil
}

// newDelegation says what a family has in common. Its first tokens are those that were given on least often.
func newDelegation(key, owner Key, family []finding) Delegation {
	slices.SortFunc(family, func(a, b finding) int {
		return cmp.Or(a.token.Issued.Compare(b.token.Issued), strings.Compare(a.token.ID, b.token.ID))
	})
	first := slices.MinFunc(family, func(a, b finding) int { return len(a.delegations(owner)) - len(b.delegations(owner)) }).token
	d := Delegation{ID: key.text(), Actor: first.Actor, Client: first.ClientID,
		Since: family[0].token.Issued}
	if isTicket(first, first.Issuer) {
		d.Actor = first.MayAct
	}
	for _, f := range family {
		d.Tokens = append(d.Tokens, f.token)
		d.Scope = append(d.Scope, f.token.Scope...)
		if f.token.Type != tokenexchange.TypeIDToken {
			d.Audience = append(d.Audience, f.token.Audience...)
		}
		d.Until = later(d.Until, f.token.Expires)
		if f.grant != nil && !f.grant.Since.IsZero() && f.grant.Since.Before(d.Since) {
			d.Since = f.grant.Since
		}
	}
	slices.Sort(d.Audience)
	slices.Sort(d.Scope)
	d.Audience, d.Scope = slices.Compact(d.Audience), slices.Compact(d.Scope)
	return d
}

// delegations are those of an owner that the token is of: more than one, where it was given on.
func (f finding) delegations(owner Key) []Key {
	var list []Key
	mark := delegationMark(owner)
	for _, key := range f.Ancestors {
		if bytes.Equal(key[markAt:], mark) {
			list = append(list, key)
		}
	}
	return list
}

// The key of a delegation has no record: it is one more ancestor of every token of it, so one tombstone ends them all. It
// can be told from other ancestors, which are hashes, without asking the store. It begins with a
// hash of what the tokens were made from, by which client and how. Then come the relation, the time
// until which the tokens can be exchanged, and a mark of the owner.
const (
	relationAt = 8
	untilAt    = 16
	markAt     = 24
)

// isOwn reports whether a decision gives nothing to any party but the user: no actor is named, and
// the client is the one that the subject token was issued to.
func isOwn(d tokenexchange.Decision) bool {
	return d.Actor == nil && d.Client == d.Facts.Subject.Token.ClientID
}

// delegationKey names the delegation that a decision begins or adds to, after the last end of its
// relation.
func delegationKey(d tokenexchange.Decision, relation relation, lastEnd time.Time) Key {
	subject, actor := d.Facts.Subject.Token, tokenexchange.Token{}
	if d.Facts.Actor != nil {
		actor = d.Facts.Actor.Token
	}
	from, by, again := TokenKey(subject), TokenKey(actor), ""
	if (from == Key{}) && (by == Key{}) {
		again = d.Issued.UTC().Format(time.RFC3339) // names only: another time it is no exchange of the same tokens
	}
	owner := ownerKey(d.Facts.Subject.Identity)
	// The owner is part of the hash as well as of the mark: a store finds keys by how they begin, and users who are names all
	// begin alike otherwise.
	key := KeyOf("delegation", d.Issuer, string(from[:]), string(by[:]), d.Client, string(d.Mode), again,
		string(owner[:]), generationName(lastEnd))
	var until time.Time
	for _, tok := range []tokenexchange.Token{subject, actor} {
		if tok.ID != "" && (until.IsZero() || tok.Expires.Before(until)) {
			until = tok.Expires
		}
	}
	copy(key[relationAt:], relation[:])
	binary.BigEndian.PutUint64(key[untilAt:], uint64(max(until.Unix(), 0)))
	copy(key[markAt:], delegationMark(owner))
	return key
}

// usableUntil is how long the tokens that a delegation was made from can be exchanged.
func usableUntil(key Key) time.Time {
	return time.Unix(int64(binary.BigEndian.Uint64(key[untilAt:])), 0).UTC()
}

func delegationMark(owner Key) []byte {
	mark := KeyOf("delegations", "", string(owner[:]))
	return mark[markAt:]
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
