package tokenstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/refusal"
)

// EndedDelegation records that a user has ended the delegations of a party through a client. Until
// the user allows them again, the party gets no token for the user through that client, unless the
// subject token descends from a login of the user after Ended.
type EndedDelegation struct {
	ID     string               // for AllowDelegation; it is not Delegation.ID, and not a secret
	Actor  *tokenexchange.Actor // Delegation.Actor; nil if the client acted as the user
	Client string               // Delegation.Client
	Ended  time.Time            // when EndDelegation was called
}

// defaultRememberEnded is the meaning of a zero Tokens.RememberEnded. It is longer than any grant.
const defaultRememberEnded = 10 * 365 * 24 * time.Hour

// EndedDelegations returns the delegations that a user has ended and not allowed again, the latest
// first. Each is listed for the time Tokens.RememberEnded, even after the user has logged in again.
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

// AllowDelegation lets a party act for the user through a client again, after EndDelegation. The id
// is the ID of an EndedDelegation. Revoked tokens stay revoked. ErrUnknown: the user has not ended
// such a delegation, or has allowed it already.
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

// relations returns the relations of a decision. Delegations shows the first. A ticket may have
// two, of the party that may act with it and of the party that acts already.
func relations(d tokenexchange.Decision, mayAct *tokenexchange.Actor) (list []relation) {
	if mayAct != nil && isEvidence(d.Type) {
		list = append(list, relationOf(d, *mayAct))
	}
	switch actor := d.Facts.Actor; {
	case d.Actor != nil:
		list = append(list, relationOf(d, *d.Actor))
	case actor != nil: // package grants mints a ticket for this party
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

// relationOf returns the relation of a party. A client and a user with the same ID are two parties.
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

// endedRecord is the data of an ended delegation in the store. It stays after the user has allowed
// the delegation, because the time of the last end names the generation of new tokens (see
// generationKey).
type endedRecord struct {
	EndedDelegation
	Allowed bool // whether the user has allowed the delegation again
	key     Key
}

// endedKey is the owner of the records about the delegations that a user has ended.
func endedKey(about tokenexchange.Identity) Key {
	owner := ownerKey(about)
	return KeyOf("ended", about.Issuer, string(owner[:]))
}

// ended returns the records of each relation by its ID, the latest first. A relation has several
// records only if forget has failed.
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

// remember writes a record that a delegation has ended or is allowed again.
func (t *Tokens) remember(ctx context.Context, about tokenexchange.Identity, r endedRecord) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	now := t.now()
	record := Record{Key: KeyOf("ended delegation", about.Issuer, rand.Text()),
		Owner: endedKey(about), Data: data,
		Expires: now.Add(cmp.Or(t.RememberEnded, defaultRememberEnded))}
	return t.Store.Commit(ctx, now, Batch{Put: []Record{record}})
}

// forget removes records that a later one has replaced. A record that it fails to remove does no
// harm.
func (t *Tokens) forget(ctx context.Context, records []endedRecord) {
	for _, r := range records {
		_ = t.Store.Discard(ctx, Batch{Put: []Record{{Key: r.key}}})
	}
}

// generationKey is an ancestor of all tokens of a relation that are issued between two ends of it.
// One tombstone revokes them, and makes a Commit that is under way fail.
func generationKey(issuer string, r relation, lastEnd time.Time) Key {
	return KeyOf("generation", issuer, string(r[:]), generationName(lastEnd))
}

// generationName names a generation by the end before it. It is empty for the first one.
func generationName(lastEnd time.Time) string {
	if lastEnd.IsZero() {
		return ""
	}
	return lastEnd.UTC().Format(time.RFC3339Nano)
}

// lastEnds returns the time at which the user last ended each relation, or zero if the user never
// has. It refuses the decision if one of the relations is still ended.
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
			return nil, refusal.WithCause(ErrRevoked, tokenexchange.InvalidRequest,
				"delegation_ended",
				"the user ended this delegation at %s; the subject token begins with %s (D11)",
				last.Ended.Format(time.RFC3339), loginAt(begun))
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
