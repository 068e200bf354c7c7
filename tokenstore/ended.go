package tokenstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
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
	records, err := t.ended(ctx, about)
	if err != nil {
		return nil, err
	}
	var list []EndedDelegation
	for _, r := range records {
		if !r.Allowed {
			list = append(list, r.EndedDelegation)
		}
	}
	return list, nil
}

// AllowDelegation lets a party act for the user through the client again, after EndDelegation. The
// id is that of an EndedDelegation. Tokens from before stay inactive. ErrUnknown: the user has not
// ended such a delegation, or has allowed it.
func (t *Tokens) AllowDelegation(ctx context.Context, about tokenexchange.Identity,
	id string) error {
	records, err := t.ended(ctx, about)
	if err != nil {
		return err
	}
	for _, r := range records {
		if r.ID == id && !r.Allowed {
			r.Allowed = true
			return t.remember(ctx, about, r)
		}
	}
	return ErrUnknown
}

// relation names a party and the client through which it acts, among the delegations of one user.
type relation [untilAt - relationAt]byte

func (r relation) String() string { return base64.RawURLEncoding.EncodeToString(r[:]) }

// relationOf returns the relation of a decision. The party is the outermost actor; of a ticket, the
// one that may act; where no actor is named, the client itself. A client and a user of the same
// name are two parties.
func relationOf(d tokenexchange.Decision) (r relation) {
	issuer, subject, isClient := d.Issuer, d.Client, true
	switch actor := d.Facts.Actor; {
	case d.Actor != nil:
		issuer, subject = d.Actor.Issuer, d.Actor.Subject
		isClient = d.Actor.ClientID == d.Actor.Subject
	case actor != nil:
		issuer, subject, isClient = actor.Issuer, actor.ID, actor.Kind == tokenexchange.KindClient
	}
	kind := "user"
	if isClient {
		kind = "client"
	}
	owner := ownerKey(d.Facts.Subject.Identity)
	hash := KeyOf("relation", d.Issuer, string(owner[:]), kind, issuer, subject, d.Client)
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
}

// endedKey is the owner of the records that say what a user has ended.
func endedKey(about tokenexchange.Identity) Key {
	owner := ownerKey(about)
	return KeyOf("ended", about.Issuer, string(owner[:]))
}

// ended returns the last record of each relation, the latest first.
func (t *Tokens) ended(ctx context.Context, about tokenexchange.Identity) ([]endedRecord, error) {
	latest := map[string]endedRecord{}
	for record, err := range t.records(ctx, endedKey(about)) {
		if err != nil {
			return nil, err
		}
		var r endedRecord
		if err := json.Unmarshal(record.Data, &r); err != nil {
			return nil, errors.Join(errData, err)
		}
		known, seen := latest[r.ID]
		if !seen || r.Ended.After(known.Ended) || r.Allowed && r.Ended.Equal(known.Ended) {
			latest[r.ID] = r
		}
	}
	return slices.SortedFunc(maps.Values(latest), func(a, b endedRecord) int {
		return cmp.Or(b.Ended.Compare(a.Ended), strings.Compare(a.ID, b.ID))
	}), nil
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

// generationKey is an ancestor of all tokens of a relation that were issued between two ends of it.
// One tombstone for it ends them, and a Commit that is under way as well.
func generationKey(issuer string, r relation, lastEnd time.Time) Key {
	generation := ""
	if !lastEnd.IsZero() {
		generation = lastEnd.UTC().Format(time.RFC3339Nano)
	}
	return KeyOf("generation", issuer, string(r[:]), generation)
}

// generation returns the generation that tokens of the decision belong to. It refuses a decision
// whose delegation the user has ended.
func (i *issue) generation(ctx context.Context) (Key, error) {
	relation := relationOf(i.d)
	records, err := i.ended(ctx, i.d.Facts.Subject.Identity)
	if err != nil {
		return Key{}, err
	}
	begun := i.d.Facts.Subject.Token.Begun()
	for _, r := range records {
		switch {
		case r.ID != relation.String():
		case !r.Allowed && !begun.After(r.Ended):
			return Key{}, no(fmt.Sprintf("the user ended this delegation at %s; "+
				"the subject token begins with %s",
				r.Ended.Format(time.RFC3339), loginAt(begun)), ErrRevoked)
		default:
			return generationKey(i.d.Issuer, relation, r.Ended), nil
		}
	}
	return generationKey(i.d.Issuer, relation, time.Time{}), nil
}

func loginAt(begun time.Time) string {
	if begun.IsZero() {
		return "no login"
	}
	return "a login at " + begun.Format(time.RFC3339)
}
