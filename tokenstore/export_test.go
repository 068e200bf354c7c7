package tokenstore

import (
	"unsafe"

	"github.com/go-tokenexchange/tokenexchange"
)

// EntrySize is what one key costs that never had a record, RowSize what any other costs, data included that have room in it.
const (
	EntrySize = unsafe.Sizeof(entry{})
	RowSize   = unsafe.Sizeof(row{})
	Room      = room
)

// Entries is how many keys the memory knows of, Owners, Buckets and Marks how many of them there are.
func (m *Memory) Entries() int { return int(m.rows.values + m.bare.values) }
func (m *Memory) Owners() int  { return len(m.owned) }
func (m *Memory) Buckets() int { return len(m.due.buckets) }
func (m *Memory) Marks() int   { return len(m.spentBy) }

// Dump is every byte of data that the memory keeps: record by record, and then row by row and cell by cell, kept or not. All else
// is keys and numbers.
func (m *Memory) Dump() (all []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for n := uint32(1); n < m.rows.used; n++ {
		r := m.rows.get(n)
		if r.holds {
			all = append(all, string(m.record(r).Data))
		}
		all = append(all, string(r.data[:]))
	}
	for _, c := range m.cells.chunks {
		for i := range c {
			all = append(all, string(c[i].bytes[:]))
		}
	}
	return all
}

// Encode and Decode are the data of a record.
var Encode, Decode = encode, decode

// Ordered is the set of keys that belong to an owner.
type Ordered struct{ set ordered }

const MaxBlock = maxBlock

func NewOrdered() *Ordered                          { return &Ordered{} }
func (o *Ordered) Add(k Key)                        { o.set.add(k) }
func (o *Ordered) Remove(k Key)                     { o.set.remove(k) }
func (o *Ordered) After(k Key, n int) ([]Key, bool) { return o.set.after(k, n) }
func (o *Ordered) Blocks() int                      { return len(o.set.blocks) }

// Longest and Shortest are the lengths of blocks.
func (o *Ordered) Longest() (n int) {
	for _, b := range o.set.blocks {
		n = max(n, len(b))
	}
	return n
}

func (o *Ordered) Shortest() int {
	n := maxBlock
	for _, b := range o.set.blocks {
		n = min(n, len(b))
	}
	return n
}

// EndedKey is the owner of the records of ended delegations.
func EndedKey(about tokenexchange.Identity) Key { return endedKey(about) }
