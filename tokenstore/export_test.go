package tokenstore

import "unsafe"

// EntrySize is what one key costs that never had a record, RowSize what any other costs, data included that have room in it.
const (
	EntrySize = unsafe.Sizeof(entry{})
	RowSize   = unsafe.Sizeof(row{})
	Room      = room
)

// Entries is how many keys the memory knows of, Owners, Buckets and Marks how many of them there are.
func (m *Memory) Entries() int { return int(m.rows.values + m.bare.values) }
func (m *Memory) Owners() int  { return int(m.people.values) }
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
