package tokenstore

import (
	"encoding/binary"
	"slices"
	"time"
)

// linger is Linger in seconds.
const linger = int64(Linger / time.Second)

// entry is all that is known of one key. There is one for every live token, so its size counts: it is 112 bytes, and
// ancestors and data are one string behind it.
type entry struct {
	key           Key
	blob          string // the ancestors, then the data
	owner         *owner // nil: nobody's
	before, after *entry // in the owner's list
	same          *entry // next in the table with the same hash
	next          *entry // next in the schedule's bucket
	expires       int64  // of the record, Unix time
	gone          int64  // when everything under the key or made from it has expired
	ancestors     uint8
	holds         bool // there is a record
	revoked       bool
	spent         bool
}

// forgotten reports whether nothing of the entry counts any more.
func (e *entry) forgotten(at int64) bool { return at >= e.gone+linger }

// live reports whether there is a record that has not expired.
func (e *entry) live(at int64) bool { return e.holds && at < e.expires }

func (e *entry) ancestor(i int) (k Key) {
	copy(k[:], e.blob[i*len(k):])
	return k
}

// record is a copy.
func (e *entry) record() Record {
	r := Record{Key: e.key, Expires: time.Unix(e.expires, 0).UTC(), Data: []byte(e.blob[int(e.ancestors)*len(Key{}):]), Spent: e.spent}
	for i := range int(e.ancestors) {
		r.Ancestors = append(r.Ancestors, e.ancestor(i))
	}
	if e.owner != nil {
		r.Owner = e.owner.key
	}
	return r
}

// table finds entries by key. It hashes to half a word's worth of the key, which is a hash already; entries that share it
// are in a list.
type table map[uint64]*entry

func short(k Key) uint64 { return binary.LittleEndian.Uint64(k[:]) }

func (t table) find(k Key) *entry {
	e := t[short(k)]
	for e != nil && e.key != k {
		e = e.same
	}
	return e
}

// known is find for what still counts.
func (t table) known(at int64, k Key) *entry {
	if e := t.find(k); e != nil && !e.forgotten(at) {
		return e
	}
	return nil
}

func (t table) add(e *entry) {
	e.same = t[short(e.key)]
	t[short(e.key)] = e
}

func (t table) remove(gone *entry) {
	h := short(gone.key)
	if t[h] == gone {
		if t[h] = gone.same; gone.same == nil {
			delete(t, h)
		}
		return
	}
	for e := t[h]; e != nil; e = e.same {
		if e.same == gone {
			e.same = gone.same
		}
	}
}

func (t table) revoked(at int64, k Key) bool {
	e := t.known(at, k)
	return e != nil && e.revoked
}

// ended reports whether the entry or one of its ancestors is revoked.
func (t table) ended(at int64, e *entry) bool {
	if e.revoked {
		return true
	}
	for i := range int(e.ancestors) {
		if t.revoked(at, e.ancestor(i)) {
			return true
		}
	}
	return false
}

// lineage is the closure: the parents, and the ancestors of each that is known.
func (t table) lineage(at int64, parents []Key) ([]Key, error) {
	var all []Key
	add := func(k Key) {
		if !slices.Contains(all, k) {
			all = append(all, k)
		}
	}
	for _, p := range parents {
		add(p)
		if e := t.known(at, p); e != nil {
			for i := range int(e.ancestors) {
				add(e.ancestor(i))
			}
		}
		if len(all) > MaxAncestors {
			return nil, ErrTooMany
		}
	}
	return all, nil
}

// free reports whether a record may be put under the key.
func (t table) free(at int64, key Key, lineage []Key) error {
	e := t.known(at, key)
	switch {
	case e != nil && e.revoked:
		return ErrRevoked
	case e != nil && e.holds:
		return ErrExists
	}
	for _, k := range lineage {
		if t.revoked(at, k) {
			return ErrRevoked
		}
	}
	return nil
}

// owner is the head of the list of what belongs to somebody.
type owner struct {
	key   Key
	same  *owner // next with the same hash
	first *entry
}

func (m *Memory) owner(k Key) *owner {
	o := m.owners[short(k)]
	for o != nil && o.key != k {
		o = o.same
	}
	return o
}

// own puts the entry into the list of its owner.
func (m *Memory) own(e *entry, k Key) {
	if k == (Key{}) {
		return
	}
	o := m.owner(k)
	if o == nil {
		o = &owner{key: k, same: m.owners[short(k)]}
		m.owners[short(k)] = o
	}
	e.owner, e.after = o, o.first
	if o.first != nil {
		o.first.before = e
	}
	o.first = e
}

// disown takes the entry out of the list, and the list away when it is empty.
func (m *Memory) disown(e *entry) {
	o := e.owner
	if o == nil {
		return
	}
	if e.after != nil {
		e.after.before = e.before
	}
	if e.before != nil {
		e.before.after = e.after
	} else {
		o.first = e.after
	}
	e.owner, e.before, e.after = nil, nil, nil
	if o.first == nil {
		m.leave(o)
	}
}

func (m *Memory) leave(gone *owner) {
	h := short(gone.key)
	if m.owners[h] == gone {
		if m.owners[h] = gone.same; gone.same == nil {
			delete(m.owners, h)
		}
		return
	}
	for o := m.owners[h]; o != nil; o = o.same {
		if o.same == gone {
			o.same = gone.same
		}
	}
}
