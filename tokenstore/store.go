package tokenstore

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

// Key names a record, a mark or a tombstone. It is a hash, so that a store never holds a token. The
// zero Key names nothing.
type Key [sha256.Size]byte

// KeyOf hashes a name in the name space of a kind and an issuer. A name may have several parts. The
// length of each part is hashed too, so that two names never have the same encoding.
//
// Tokens uses the kinds token, grant, owner, relation, generation, delegation, delegations, ended
// and "ended delegation". For other things, such as sessions or assertions, use other kinds.
func KeyOf(kind, issuer string, name ...string) Key {
	buf := make([]byte, 0, 256)
	add := func(part string) {
		buf = binary.BigEndian.AppendUint64(buf, uint64(len(part)))
		buf = append(buf, part...)
	}
	add(kind)
	add(issuer)
	for _, part := range name {
		add(part)
	}
	return sha256.Sum256(buf)
}

// text returns the key in base64url, for the ID of a delegation or a position in a list.
func (k Key) text() string { return base64.RawURLEncoding.EncodeToString(k[:]) }

// parseKey is the inverse of text.
func parseKey(text string) (Key, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return Key{}, err
	}
	if len(raw) != len(Key{}) {
		return Key{}, fmt.Errorf("key has %d bytes, want %d", len(raw), len(Key{}))
	}
	return Key(raw), nil
}

// TokenKey returns the key of a token of any type and issuer: the key of its record, and the key by
// which it is an ancestor of other tokens. A token without Issuer or ID has the zero key.
func TokenKey(t tokenexchange.Token) Key {
	if t.Issuer == "" || t.ID == "" {
		return Key{}
	}
	return KeyOf("token", t.Issuer, t.ID)
}

// Limits of the contract between a Store and its callers.
const (
	// MaxAncestors is the greatest number of ancestors of a record. It bounds what one token can
	// make a store keep.
	MaxAncestors = 64

	// Linger is how long a store still knows a key after everything under it has expired. It is
	// the greatest difference between the clocks of the machines that share a store, and the
	// longest time that an exchange may take from verifying its subject token to Commit.
	Linger = time.Minute

	// MaxPage is the greatest number of records that one List looks at.
	MaxPage = 256
)

// Record is what a store keeps for one token.
type Record struct {
	Key Key // never zero

	// Ancestors are the keys that the record was made from. A caller of Commit gives the direct
	// ancestors, and the store adds theirs. Get and List return all of them, in no particular
	// order. Nil means that the record was made from nothing. An ancestor needs no record.
	Ancestors []Key

	Owner   Key       // the owner for List; zero means no owner
	Expires time.Time // not returned from this time on; fractions of a second are dropped
	Data    []byte    // opaque to the store
	Spent   bool      // whether there is a Mark for Key; Commit ignores it
}

// Mark spends a key, which need not have a record. Only one batch can spend a key.
type Mark struct {
	Key   Key       // never zero
	Until time.Time // the least time that the store must remember the mark; see Store.Commit
}

// Batch is what one exchange writes.
type Batch struct {
	Put   []Record
	Spend []Mark
}

// Store keeps records, marks and tombstones. It is safe for concurrent use. Every method takes the
// current time as an argument, changes nothing if it returns an error, and returns the error of a
// context that is done before the call. An error other than a Refusal is a failure: the answer is
// unknown, and a Commit may or may not have happened.
//
// With a database, Get can be one round trip and Commit one atomic write. The database needs a row
// for every key that is or was an ancestor, with its tombstone and the time until which it is
// known. Commit checks the rows of all ancestors and extends those that would be forgotten too
// early. It need not lock them, because Get checks the tombstones of all ancestors again.
type Store interface {
	// Commit writes the whole batch, or nothing. Its refusals are:
	//
	//   - ErrRevoked: an ancestor, a key of the batch or a key to be spent is revoked.
	//   - ErrSpent: another batch has spent one of the marks.
	//   - ErrExists: one of the keys has a record.
	//   - ErrTooMany: a record would have more than MaxAncestors ancestors.
	//
	// Where several apply, it returns any of them. A batch that Batch.Check refuses is an error
	// too.
	//
	// The ancestors of a record are the given ones and the ancestors of each that the store knows.
	// The store knows a key until everything that was put under it or made from it has expired, and
	// for Linger after that. The Commit of a record extends this time for all its ancestors. So a
	// tombstone and a mark live as long as the last token that was made from their key.
	Commit(ctx context.Context, now time.Time, b Batch) error

	// Discard undoes a Commit of this very batch, and nothing else: its records are unknown again,
	// and its marks are unspent unless another batch has spent them. Tombstones stay. If the Commit
	// did not happen, or is discarded already, Discard does nothing. Two batches are the same if
	// they put the same keys.
	Discard(ctx context.Context, b Batch) error

	// Get returns a record whose slices the caller may change. ErrUnknown: there is no record, or
	// it has expired. ErrRevoked: the key or an ancestor is revoked, with or without a record.
	Get(ctx context.Context, now time.Time, key Key) (Record, error)

	// Revoke puts a tombstone on a key: from the moment that it returns, the key and everything
	// that was or will be made from it is revoked. The key need not be known. The tombstone stays
	// until the given time, and for as long as the store knows the key.
	Revoke(ctx context.Context, now time.Time, key Key, until time.Time) error

	// List returns one page of the records of an owner, in ascending order of their keys as bytes.
	// It looks at the first records of the owner whose keys are greater than after, limit of them
	// or MaxPage, whichever is less, and returns those that Get would return. Expired and revoked
	// records are left out, so a page may have fewer records than limit, or none, although more
	// follow. A limit below 1 is an error.
	//
	// next is the last key that List has looked at, and the value of after for the next page. It is
	// always greater than after. A zero next means that there are no more records. A zero after
	// starts the list. The key after need not have a record. The zero owner has no records.
	//
	// Records may be put and may end between the pages. A record that is live all the time is on
	// exactly one page, and no record is on two. A record that is put or ends meanwhile may be
	// missing.
	//
	// The time for a page does not depend on how many records the owner has, nor on how many of
	// them come before the page. A database does this with an index and
	// WHERE owner = ? AND key > ? ORDER BY key LIMIT ?.
	List(ctx context.Context, now time.Time, owner, after Key, limit int) (
		page []Record, next Key, err error)
}

// Refusal is an error of a Store that is an answer and not a failure. In an exchange it has the
// code InvalidRequest, except ErrExists.
type Refusal string

// The refusals.
const (
	ErrUnknown Refusal = "tokenstore: unknown or expired"
	ErrRevoked Refusal = "tokenstore: revoked"
	ErrSpent   Refusal = "tokenstore: already spent"
	ErrTooMany Refusal = "tokenstore: too many ancestors"
	ErrExists  Refusal = "tokenstore: the key already has a record"
)

// Error returns the text.
func (r Refusal) Error() string { return string(r) }

// Unwrap returns the code with which an exchange is refused. It is nil for ErrExists: two tokens
// with one name are a fault of this server, not of the request.
func (r Refusal) Unwrap() error {
	if r == ErrExists {
		return nil
	}
	return tokenexchange.InvalidRequest
}

// Check returns an error for a batch that no Store accepts, and every Commit begins with it. It
// refuses an empty batch, a zero key or ancestor, a key that is put or spent twice, a record that
// is made from another record of the batch, and a record or mark that has expired at now.
func (b Batch) Check(now time.Time) error {
	if len(b.Put)+len(b.Spend) == 0 {
		return errors.New("tokenstore: empty batch")
	}
	put, spent := make(map[Key]bool, len(b.Put)), make(map[Key]bool, len(b.Spend))
	for _, r := range b.Put {
		switch {
		case r.Key == Key{} || put[r.Key]:
			return errors.New("tokenstore: record with a zero or duplicate key")
		case r.Expires.Unix() <= now.Unix():
			return errors.New("tokenstore: record has expired")
		}
		put[r.Key] = true
	}
	for _, r := range b.Put {
		for _, a := range r.Ancestors {
			if (a == Key{}) || put[a] {
				return errors.New("tokenstore: ancestor is zero or in the same batch")
			}
		}
	}
	for _, m := range b.Spend {
		switch {
		case m.Key == Key{} || spent[m.Key]:
			return errors.New("tokenstore: mark with a zero or duplicate key")
		case !m.Until.After(now):
			return errors.New("tokenstore: mark has expired")
		}
		spent[m.Key] = true
	}
	return nil
}
