package tokenstore

import (
	"slices"
	"time"
)

// linger is Linger in seconds.
const linger = int64(Linger / time.Second)

// entry is all that is known of one key. There is one for every live token, so its size counts.
type entry struct {
	key           Key
	lineage, data uint32 // cells
	size          uint32 // bytes of data
	owner         uint32 // 0: nobody's
	before, after uint32 // entries in the owner's list
	same          uint32 // next entry in the index's bucket
	next          uint32 // next entry in the schedule's bucket
	expires       int64  // of the record, Unix time
	gone          int64  // when everything under the key or made from it has expired
	ancestors     uint8
	holds         bool // there is a record
	revoked       bool
	spent         bool
}

func (e *entry) link() *uint32  { return &e.next }
func (e *entry) name() *Key     { return &e.key }
func (e *entry) other() *uint32 { return &e.same }

// forgotten reports whether nothing of the entry counts any more.
func (e *entry) forgotten(at int64) bool { return at >= e.gone+linger }

// live reports whether there is a record that has not expired.
func (e *entry) live(at int64) bool { return e.holds && at < e.expires }

// known is find for what still counts; nil if there is none.
func (m *Memory) known(at int64, k Key) *entry {
	if n := m.entries.find(k); n != 0 {
		if e := m.entries.get(n); !e.forgotten(at) {
			return e
		}
	}
	return nil
}

// ancestorsOf returns the ancestors of an entry, until it is called again.
func (m *Memory) ancestorsOf(e *entry) []Key {
	const size = len(Key{})
	m.scratch = slices.Grow(m.scratch[:0], MaxAncestors*size)[:int(e.ancestors)*size]
	m.cells.read(e.lineage, m.scratch)
	m.keys = m.keys[:0]
	for i := range int(e.ancestors) {
		m.keys = append(m.keys, Key(m.scratch[i*size:]))
	}
	return m.keys
}

// ended reports whether the entry or one of its ancestors is revoked.
func (m *Memory) ended(at int64, e *entry) bool {
	if e.revoked {
		return true
	}
	return e.ancestors > 0 && slices.ContainsFunc(m.ancestorsOf(e), func(k Key) bool { return m.revoked(at, k) })
}

func (m *Memory) revoked(at int64, k Key) bool {
	e := m.known(at, k)
	return e != nil && e.revoked
}

// lineage is the closure: the parents, and the ancestors of each that is known.
func (m *Memory) lineage(at int64, parents []Key) (all []Key, err error) {
	add := func(k Key) {
		if !slices.Contains(all, k) {
			all = append(all, k)
		}
	}
	for _, p := range parents {
		add(p)
		if e := m.known(at, p); e != nil {
			for _, k := range m.ancestorsOf(e) {
				add(k)
			}
		}
		if len(all) > MaxAncestors {
			return nil, ErrTooMany
		}
	}
	return all, nil
}

// record is a copy.
func (m *Memory) record(e *entry) Record {
	r := Record{Key: e.key, Expires: time.Unix(e.expires, 0).UTC(), Data: make([]byte, e.size), Spent: e.spent}
	m.cells.read(e.data, r.Data)
	if e.ancestors > 0 {
		r.Ancestors = slices.Clone(m.ancestorsOf(e))
	}
	if e.owner != 0 {
		r.Owner = m.people.get(e.owner).key
	}
	return r
}
