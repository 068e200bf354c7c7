package tokenstore

import (
	"slices"
	"time"
)

// linger is Linger in seconds.
const linger = int64(Linger / time.Second)

// entry is what is known of one key, but for a record. Its number has the bit inRow if it is part of a row.
type entry struct {
	key       Key
	gone      int64  // when everything under the key or made from it has expired
	lineage   uint32 // cells; 0 where there is no row
	same      uint32 // next entry in the index's bucket
	next      uint32 // next entry in the schedule's bucket
	ancestors uint8
	holds     bool // there is a record, so this is part of a row
	revoked   bool
	spent     bool
}

// row is an entry and its record, if there still is one. A key that never had a record has no row: it needs a quarter of
// the memory. There is a row for every live token, so its size counts.
//
// Among many tokens nearly every access to another page of memory misses the processor's caches and its table of pages. A
// row is four cache lines in one page, and has all that a lookup of a plain token needs. A lookup among a million tokens takes
// 1.25 to 1.30 times as long as one among a thousand; 1.47 to 1.56 where the entry, the data and the owner were apart and
// the constants sparse and chunk were smaller.
type row struct {
	entry
	content
}

// content is what a record says beside its key and its ancestors. It is zero where there is no record.
type content struct {
	expires int64  // Unix time
	owner   Key    // zero: nobody's
	size    uint32 // bytes of data
	rest    uint32 // cells: the data that have no room here
	data    [room]byte
}

// room is what is left of 256 bytes. The data of a plain token are some 135 bytes; what has no room here is in cells.
const room = 152

// inRow is the bit that tells the number of an entry in a row from that of one without.
const inRow = 1 << 31

func (e *entry) link() *uint32  { return &e.next }
func (e *entry) name() *Key     { return &e.key }
func (e *entry) other() *uint32 { return &e.same }

// find returns the number of the entry of a key; 0 if there is none.
func (m *Memory) find(k Key) uint32 {
	if n := m.rows.find(k); n != 0 {
		return n | inRow
	}
	return m.bare.find(k)
}

// get is where an entry is.
func (m *Memory) get(n uint32) *entry {
	if n&inRow != 0 {
		return &m.row(n).entry
	}
	return m.bare.get(n)
}

// row is the row of an entry that is part of one.
func (m *Memory) row(n uint32) *row { return m.rows.get(n &^ inRow) }

// forgotten reports whether nothing of the entry counts any more.
func (e *entry) forgotten(at int64) bool { return at >= e.gone+linger }

// live reports whether there is a record that has not expired.
func (r *row) live(at int64) bool { return r.holds && at < r.expires }

// known is find for what still counts; nil if there is none.
func (m *Memory) known(at int64, k Key) *entry {
	if n := m.find(k); n != 0 {
		if e := m.get(n); !e.forgotten(at) {
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
func (m *Memory) record(r *row) Record {
	inline := new([room]byte) // all of the room: to fetch it, the processor need not wait for the size (1.5% of a lookup)
	*inline = r.data
	c := Record{Key: r.key, Owner: r.owner, Expires: time.Unix(r.expires, 0).UTC(), Spent: r.spent}
	if r.size <= room {
		c.Data = inline[:r.size:r.size]
	} else {
		c.Data = make([]byte, r.size)
		m.cells.read(r.rest, c.Data[copy(c.Data, inline[:]):])
	}
	if r.ancestors > 0 {
		c.Ancestors = slices.Clone(m.ancestorsOf(&r.entry))
	}
	return c
}
