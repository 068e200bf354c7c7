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

// Key names a record, a mark or a tombstone. It is a hash, so that a store never holds a token. The zero Key names
// nothing.
type Key [sha256.Size]byte

// KeyOf hashes a name within the name space of a kind and an issuer, each part with its length, so that no two names
// have the same encoding. Names of one kind and issuer may have several parts. The kinds token, grant, owner,
// delegation and delegations are those of Tokens; what else has a name of its own (a session, an assertion) is another kind.
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

// text is the key in base64url: an id of a delegation, or a position in a list.
func (k Key) text() string { return base64.RawURLEncoding.EncodeToString(k[:]) }

// parseKey reads back what text has written.
func parseKey(text string) (Key, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return Key{}, err
	}
	if len(raw) != len(Key{}) {
		return Key{}, fmt.Errorf("%d bytes, a key has %d", len(raw), len(Key{}))
	}
	return Key(raw), nil
}

// TokenKey is the key of a token, of any kind and issuer: that of its record, if it is one of ours, and that by which it
// is the parent of others. A token without Issuer or ID cannot be named; its key is zero.
func TokenKey(t tokenexchange.Token) Key {
	if t.Issuer == "" || t.ID == "" {
		return Key{}
	}
	return KeyOf("token", t.Issuer, t.ID)
}

// Limits of the contract between a Store and those who use it.
const (
	// MaxAncestors is how many ancestors one record may have, which bounds what one token can make a store keep.
	MaxAncestors = 64

	// Linger is how long a store goes on knowing what has expired: the clocks of several machines may differ by as much,
	// and so long may an exchange take from its verified subject token to its Commit.
	Linger = time.Minute

	// MaxPage is how many records one List looks at, however many it is asked for.
	MaxPage = 256
)

// Record is what a store keeps for one token.
type Record struct {
	Key Key // never zero

	// Ancestors are what it was made from. Commit is given the direct ones, and adds theirs: a record that was got has
	// all of them, in no particular order. Nil: it was made from nothing. The store need not have a record of them.
	Ancestors []Key

	Owner   Key       // whose it is, for List; zero: nobody's
	Expires time.Time // it is not returned from then on; whole seconds, a fraction is dropped
	Data    []byte    // opaque to the store
	Spent   bool      // there is a Mark for Key; Commit does not look at it
}

// Mark spends a key, which need not have a record: of all batches that spend it, one succeeds.
type Mark struct {
	Key   Key       // never zero
	Until time.Time // how long the store must remember; what was made from the key may make it remember longer
}

// Batch is what one exchange writes.
type Batch struct {
	Put   []Record
	Spend []Mark
}

// Store keeps records, marks and tombstones. It is safe for concurrent use. Every method takes the time as data, changes
// nothing where it returns an error, and returns the context's error where the context is over before it began. Errors
// other than a Refusal are failures: nobody knows the answer, and a Commit may or may not have happened.
//
// The interface is made so that Get is one round trip and Commit one atomic write: a row for each key that is or was
// made from, with its tombstone and how long it is kept; a Commit that locks, extends and checks those of all ancestors.
type Store interface {
	// Commit writes all of the batch, or nothing. ErrRevoked: an ancestor, a key of the batch or one to be spent is
	// revoked. ErrSpent: another batch has spent one of the marks. ErrExists: there is a record of one of the keys.
	// ErrTooMany: a record would have more than MaxAncestors. Where several apply, it is any of them. A batch that Check
	// refuses is an error too.
	//
	// The ancestors of a record are those given, and those of each that the store knows. It knows a key until everything
	// that was put under it or made from it has expired, and Linger more; the Commit of a child prolongs that for all
	// its ancestors. So a tombstone lives as long as the last token that it must end.
	Commit(ctx context.Context, now time.Time, b Batch) error

	// Discard undoes what a Commit of this very batch has done, and nothing else: its records are unknown again, its marks
	// are unspent unless another batch has spent them; tombstones stay. Where the Commit did not happen, or has been
	// discarded, it does nothing. Two batches are the same if the keys they put are.
	Discard(ctx context.Context, b Batch) error

	// Get returns a record, with slices of its own. ErrUnknown: there is none, or it has expired. ErrRevoked: the key or
	// an ancestor of its record is revoked, whether or not there is a record.
	Get(ctx context.Context, now time.Time, key Key) (Record, error)

	// Revoke puts up a tombstone: the key and everything that was or will be made from it is revoked, from the moment it
	// returns. The key need not be known. The tombstone stays until then, and at least as long as the store knows the key.
	Revoke(ctx context.Context, now time.Time, key Key, until time.Time) error

	// List returns one page of the records of an owner, in ascending order of their keys as bytes.
	// It looks at the first records of the owner whose keys are greater than after, limit of them
	// or MaxPage, whichever is less, and returns those that Get would return: the others have
	// expired or are revoked. So a page may have fewer records than limit, or none, and more may
	// follow. A limit below 1 is an error.
	//
	// next is the key up to which it has looked, and the value of after for the next page; it is
	// always greater than after. A zero next means that there are no more, a zero after begins. No
	// record needs to have the key after. The zero owner has no records.
	//
	// Records may come and go between the pages. A record that is live all the time is on exactly
	// one page, and no record is on two. A record that is put or ends meanwhile may be missing.
	//
	// The time of a page does not depend on how many records the owner has, nor on how many of them
	// are before it: WHERE owner = ? AND key > ? ORDER BY key LIMIT ? with an index does it.
	List(ctx context.Context, now time.Time, owner, after Key, limit int) (
		page []Record, next Key, err error)
}

// Refusal is an answer of a Store that is no failure. As an error of an exchange it is invalid_request, save ErrExists.
type Refusal string

// The refusals.
const (
	ErrUnknown Refusal = "tokenstore: unknown or expired"
	ErrRevoked Refusal = "tokenstore: revoked"
	ErrSpent   Refusal = "tokenstore: spent"
	ErrTooMany Refusal = "tokenstore: made from too many others"
	ErrExists  Refusal = "tokenstore: the key is taken"
)

// Error returns the text.
func (r Refusal) Error() string { return string(r) }

// Unwrap returns the code with which an exchange refuses. It is nil for ErrExists: two tokens of one name are a fault of
// this server, and no fault of a request.
func (r Refusal) Unwrap() error {
	if r == ErrExists {
		return nil
	}
	return tokenexchange.InvalidRequest
}

// Check reports what no Store accepts, for drivers to begin with: a batch that is empty, a zero key or ancestor, a key
// that is put or spent twice, a record that was made from another one of the batch, and what is over at now.
func (b Batch) Check(now time.Time) error {
	if len(b.Put)+len(b.Spend) == 0 {
		return errors.New("tokenstore: an empty batch")
	}
	put, spent := make(map[Key]bool, len(b.Put)), make(map[Key]bool, len(b.Spend))
	for _, r := range b.Put {
		switch {
		case r.Key == Key{} || put[r.Key]:
			return errors.New("tokenstore: a record without a key of its own")
		case r.Expires.Unix() <= now.Unix():
			return errors.New("tokenstore: a record that has expired")
		}
		put[r.Key] = true
	}
	for _, r := range b.Put {
		for _, a := range r.Ancestors {
			if (a == Key{}) || put[a] {
				return errors.New("tokenstore: an ancestor without key, or one that is not there yet")
			}
		}
	}
	for _, m := range b.Spend {
		switch {
		case m.Key == Key{} || spent[m.Key]:
			return errors.New("tokenstore: a mark without a key of its own")
		case !m.Until.After(now):
			return errors.New("tokenstore: a mark that is over")
		}
		spent[m.Key] = true
	}
	return nil
}
