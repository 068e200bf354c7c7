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

// Delegation is what a party may do for a user: the live tokens that an exchange has issued to
// another party, and everything that was made from them. A token that is exchanged stays in the
// delegation of its subject token, whichever party acts next. If the same client exchanges the same
// tokens again, the new tokens join the same delegation.
//
// Tokens without an actor, issued to the client of the subject token, are the user's own: logins
// and narrower tokens made from them. They are in no delegation, but in List.
type Delegation struct {
	// ID is the name for EndDelegation. It is not a secret, and only the user can use it.
	ID string

	// Actor is the party that acts, with the actors before it, or the party that may act with a
	// ticket. Nil means that no party is named and that Client acts as the user.
	Actor *tokenexchange.Actor

	// Client is the client that the first tokens were issued to.
	Client string

	Audience []string              // of all tokens except ID tokens, sorted
	Scope    tokenexchange.Scope   // of all tokens, sorted
	Since    time.Time             // when the first live token, or its grant, was issued
	Until    time.Time             // when the last token expires
	Tokens   []tokenexchange.Token // the live tokens in the order in which they were issued
}

// Delegations returns the delegations of a user that have live tokens, the oldest first. It reads
// all tokens about the user, page by page. A token that is issued or ends meanwhile may be missing.
func (t *Tokens) Delegations(ctx context.Context, about tokenexchange.Identity) (
	[]Delegation, error) {
	owner := ownerKey(about)
	var live []storedToken
	members := map[Key]int{}
	for s, err := range t.all(ctx, about) {
		if err != nil {
			return nil, err
		}
		if s.Spent {
			continue
		}
		live = append(live, s)
		for _, key := range s.delegations(owner) {
			members[key]++
		}
	}
	families := map[Key][]storedToken{}
	for _, s := range live {
		if keys := s.delegations(owner); len(keys) > 0 {
			key := outermost(keys, members)
			families[key] = append(families[key], s)
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

// outermost returns the delegation in which the others began. A token that was exchanged within a
// delegation may have the keys of both, and the outer delegation has at least as many members. If
// both have the same members, the outer one is the one whose tokens can be exchanged for longer.
func outermost(keys []Key, members map[Key]int) Key {
	return slices.MaxFunc(keys, func(a, b Key) int {
		return cmp.Or(members[a]-members[b],
			bytes.Compare(a[untilAt:markAt], b[untilAt:markAt]), compareKeys(a, b))
	})
}

// EndDelegation revokes every token of a delegation at once, and every token of the other
// delegations of the same party through the same client. The tokens that those were made from,
// which are the logins of the user and of the actor, stay live.
//
// From then on the party gets no token for the user through that client, until the user allows it
// with AllowDelegation or logs in again: a subject token is accepted if it descends from a later
// login, and a user ID never is. An exchange that is under way is refused, or its tokens are
// revoked with the others.
//
// ErrUnknown: the user has no such delegation, or it has ended.
func (t *Tokens) EndDelegation(ctx context.Context, about tokenexchange.Identity, id string) error {
	key, err := parseKey(id)
	if err != nil {
		return ErrUnknown
	}
	relation := relationIn(key)
	var family []storedToken
	related := map[Key]bool{}
	for s, err := range t.all(ctx, about) {
		if err != nil {
			return err
		}
		// Spent records count too: while the pages are read, a refresh token may be used up after
		// the page on which its successor would be.
		for _, k := range s.delegations(ownerKey(about)) {
			if k == key {
				family = append(family, s)
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
	// that is revoked next. All earlier generations are revoked again, because an earlier call may
	// have failed half-way.
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

// newDelegation sums up the tokens of a delegation. Actor and Client are those of a token that was
// exchanged the fewest times.
func newDelegation(key, owner Key, family []storedToken) Delegation {
	slices.SortFunc(family, func(a, b storedToken) int {
		return cmp.Or(a.token.Issued.Compare(b.token.Issued),
			strings.Compare(a.token.ID, b.token.ID))
	})
	first := slices.MinFunc(family, func(a, b storedToken) int {
		return len(a.delegations(owner)) - len(b.delegations(owner))
	}).token
	d := Delegation{ID: key.text(), Actor: first.Actor, Client: first.ClientID,
		Since: family[0].token.Issued}
	if isTicket(first, first.Issuer) {
		d.Actor = first.MayAct
	}
	for _, s := range family {
		d.Tokens = append(d.Tokens, s.token)
		d.Scope = append(d.Scope, s.token.Scope...)
		if s.token.Type != tokenexchange.TypeIDToken {
			d.Audience = append(d.Audience, s.token.Audience...)
		}
		d.Until = later(d.Until, s.token.Expires)
		if s.grant != nil && !s.grant.Since.IsZero() && s.grant.Since.Before(d.Since) {
			d.Since = s.grant.Since
		}
	}
	slices.Sort(d.Audience)
	slices.Sort(d.Scope)
	d.Audience, d.Scope = slices.Compact(d.Audience), slices.Compact(d.Scope)
	return d
}

// delegations returns the keys of the delegations of an owner that the token is in. There are
// several if the token was exchanged within a delegation.
func (s storedToken) delegations(owner Key) []Key {
	var list []Key
	mark := delegationMark(owner)
	for _, key := range s.Ancestors {
		if bytes.Equal(key[markAt:], mark) {
			list = append(list, key)
		}
	}
	return list
}

// The key of a delegation has no record. It is an ancestor of every token in the delegation, so one
// tombstone ends all of them. Its layout tells it from other ancestors, which are hashes, without
// asking the store: a hash of the exchanged tokens, the client and the mode, then the relation, the
// time until which the exchanged tokens can be exchanged again, and a mark of the owner.
const (
	relationAt = 8
	untilAt    = 16
	markAt     = 24
)

// isOwn reports whether the tokens of a decision are the user's own: there is no actor, and the
// client is the one that the subject token was issued to.
func isOwn(d tokenexchange.Decision) bool {
	return d.Actor == nil && d.Client == d.Facts.Subject.Token.ClientID
}

// delegationKey returns the key of the delegation that a decision begins or adds to, after the last
// end of its relation.
func delegationKey(d tokenexchange.Decision, relation relation, lastEnd time.Time) Key {
	subject, actor := d.Facts.Subject.Token, tokenexchange.Token{}
	if d.Facts.Actor != nil {
		actor = d.Facts.Actor.Token
	}
	from, by, issued := TokenKey(subject), TokenKey(actor), ""
	if (from == Key{}) && (by == Key{}) {
		// Without tokens that have a name, a later exchange begins another delegation.
		issued = d.Issued.UTC().Format(time.RFC3339)
	}
	owner := ownerKey(d.Facts.Subject.Identity)
	// The owner is in the hash as well as in the mark, so that the keys for different users begin
	// differently even if no token has a name. A store may find keys by how they begin.
	key := KeyOf("delegation", d.Issuer, string(from[:]), string(by[:]), d.Client,
		string(d.Mode), issued, string(owner[:]), generationName(lastEnd))
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

// usableUntil returns the time until which the tokens that began a delegation can be exchanged.
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
