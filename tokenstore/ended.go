package tokenstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

// EndedDelegation says that a user has ended what a party may do through a client. Until the user
// allows it again, the party gets no token for the user through that client, unless the subject
// token descends from a login of the user after Ended.
type EndedDelegation struct {
	ID     string               // for AllowDelegation; not Delegation.ID, and not a secret
	Actor  *tokenexchange.Actor // Delegation.Actor; nil: the client acted as the user
	Client string               // Delegation.Client
	Ended  time.Time            // when EndDelegation was called
}

// endedForever is how long an ended delegation is remembered where Tokens.RememberEnded is zero.
// It is longer than any grant lasts.
const endedForever = 10 * 365 * 24 * time.Hour

// EndedDelegations returns the delegations that a user has ended and not allowed again, the latest
// first. Each is listed for as long as Tokens.RememberEnded says, also after the user has logged in
// anew.
func (t *Tokens) EndedDelegations(ctx context.Context, about tokenexchange.Identity) (
	[]EndedDelegation, error) {
	ended, err := t.ended(ctx, about)
	if err != nil {
		return nil, err
	}
	var list []EndedDelegation
	for _, records := range ended {
		if last := records[0]; !last.Allowed {
			list = append(list, last.EndedDelegation)
		}
	}
	slices.SortFunc(list, func(a, b EndedDelegation) int {
		return cmp.Or(b.Ended.Compare(a.Ended), strings.Compare(a.ID, b.ID))
	})
	return list, nil
}

// AllowDelegation lets a party act for the user through the client again, after EndDelegation. The
// id is that of an EndedDelegation. Tokens from before stay inactive. ErrUnknown: the user has not
// ended such a delegation, or has allowed it.
func (t *Tokens) AllowDelegation(ctx context.Context, about tokenexchange.Identity,
	id string) error {
	ended, err := t.ended(ctx, about)
	if err != nil {
		return err
	}
	records := ended[id]
	if len(records) == 0 || records[0].Allowed {
		return ErrUnknown
	}
	allowed := records[0]
	allowed.Allowed = true
	if err := t.remember(ctx, about, allowed); err != nil {
		return err
	}
	t.forget(ctx, records)
	return nil
}

// relation names a party and the client through which it acts, among the delegations of one user.
type relation [untilAt - relationAt]byte

func (r relation) String() string { return base64.RawURLEncoding.EncodeToString(r[:]) }

// relations returns the relations of a decision; the first is the one that Delegations shows. A
// ticket may have two: that of the party that may act, and that of the party that acts already.
func relations(d tokenexchange.Decision, mayAct *tokenexchange.Actor) (list []relation) {
	if mayAct != nil && isEvidence(d.Type) {
		list = append(list, relationOf(d, *mayAct))
	}
	switch actor := d.Facts.Actor; {
	case d.Actor != nil:
		list = append(list, relationOf(d, *d.Actor))
	case actor != nil: // a door mints a ticket for this party
		party := tokenexchange.Actor{Issuer: actor.Issuer, Subject: actor.ID}
		if actor.Kind == tokenexchange.KindClient {
			party.ClientID = actor.ID
		}
		list = append(list, relationOf(d, party))
	default:
		list = append(list, relationOf(d, tokenexchange.Actor{ClientID: d.Client}))
	}
	return list
}

// relationOf returns the relation of a party. A client and a user of the same name are two parties.
func relationOf(d tokenexchange.Decision, party tokenexchange.Actor) (r relation) {
	subject, kind := cmp.Or(party.Subject, party.ClientID), "user"
	if subject == party.ClientID {
		kind = "client"
	}
	owner := ownerKey(d.Facts.Subject.Identity)
	hash := KeyOf("relation", d.Issuer, string(owner[:]), kind, cmp.Or(party.Issuer, d.Issuer),
		subject, d.Client)
	copy(r[:], hash[:])
	return r
}

// relationIn returns the relation that the key of a delegation names.
func relationIn(key Key) (r relation) {
	copy(r[:], key[relationAt:])
	return r
}

// endedRecord is what the store keeps of an ended delegation. The time of the last end is kept
// after the user has allowed the delegation: it names the generation of the tokens, see
// generationKey.
type endedRecord struct {
	EndedDelegation
	Allowed bool
	key     Key
}

// endedKey is the owner of the records that say what a user has ended.
func endedKey(about tokenexchange.Identity) Key {
	owner := ownerKey(about)
	return KeyOf("ended", about.Issuer, string(owner[:]))
}

// ended returns the records of each relation by its ID, the latest first. Usually there is one:
// older ones are left over where forget failed.
func (t *Tokens) ended(ctx context.Context, about tokenexchange.Identity) (
	map[string][]endedRecord, error) {
	ended := map[string][]endedRecord{}
	for record, err := range t.records(ctx, endedKey(about)) {
		if err != nil {
			return nil, err
		}
		r := endedRecord{key: record.Key}
		if err := json.Unmarshal(record.Data, &r); err != nil {
			return nil, errors.Join(errData, err)
		}
		ended[r.ID] = append(ended[r.ID], r)
	}
	for _, records := range ended {
		slices.SortFunc(records, func(a, b endedRecord) int {
			if c := b.Ended.Compare(a.Ended); c != 0 || a.Allowed == b.Allowed {
				return c
			}
			if a.Allowed {
				return -1
			}
			return 1
		})
	}
	return ended, nil
}

// remember records the end of a delegation, or that it is allowed again.
func (t *Tokens) remember(ctx context.Context, about tokenexchange.Identity, r endedRecord) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	now := t.now()
	record := Record{Key: KeyOf("ended delegation", about.Issuer, rand.Text()),
		Owner: endedKey(about), Expires: now.Add(cmp.Or(t.RememberEnded, endedForever)), Data: data}
	return t.Store.Commit(ctx, now, Batch{Put: []Record{record}})
}

// forget drops records that a later one has replaced. Where that fails, they stay and do no harm.
func (t *Tokens) forget(ctx context.Context, records []endedRecord) {
	for _, r := range records {
		_ = t.Store.Discard(ctx, Batch{Put: []Record{{Key: r.key}}})
	}
}

// generationKey is an ancestor of all tokens of a relation that were issued between two ends of it.
// One tombstone for it ends them, and a Commit that is under way as well.
func generationKey(issuer string, r relation, lastEnd time.Time) Key {
	return KeyOf("generation", issuer, string(r[:]), generationName(lastEnd))
}

// generationName is empty before the first end.
func generationName(lastEnd time.Time) string {
	if lastEnd.IsZero() {
		return ""
	}
	return lastEnd.UTC().Format(time.RFC3339Nano)
}

// lastEnds returns when the user last ended each relation; zero: never. It refuses a decision if
// one of them is ended.
func (i *issue) lastEnds(ctx context.Context, relations []relation) ([]time.Time, error) {
	ended, err := i.ended(ctx, i.d.Facts.Subject.Identity)
	if err != nil {
		return nil, err
	}
	ends, begun := make([]time.Time, len(relations)), i.d.Facts.Subject.Token.Begun()
	for n, r := range relations {
		records := ended[r.String()]
		if len(records) == 0 {
			continue
		}
		last := records[0]
		if !last.Allowed && !begun.After(last.Ended) {
			return nil, no(fmt.Sprintf("the user ended this delegation at %s; "+
				"the subject token begins with %s",
				last.Ended.Format(time.RFC3339), loginAt(begun)), ErrRevoked)
		}
		ends[n] = last.Ended
	}
	return ends, nil
}

func loginAt(begun time.Time) string {
	if begun.IsZero() {
		return "no login"
	}
	return "a login at " + begun.Format(time.RFC3339)
}
