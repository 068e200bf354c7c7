package tokenstore

import "unsafe"

// EntrySize is what one key costs beside its data.
const EntrySize = unsafe.Sizeof(entry{})

// Entries is how many keys the memory knows of, Owners, Buckets and Marks how many of them there are.
func (m *Memory) Entries() int { return int(m.entries.values) }
func (m *Memory) Owners() int  { return int(m.people.values) }
func (m *Memory) Buckets() int { return len(m.due.buckets) }
func (m *Memory) Marks() int   { return len(m.spentBy) }

// Dump is every byte of data that the memory keeps: record by record, and cell by cell where nothing is kept any more. All
// else is keys and numbers.
func (m *Memory) Dump() (all []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for n := uint32(1); n < m.entries.used; n++ {
		if e := m.entries.get(n); e.holds {
			all = append(all, string(m.record(e).Data))
		}
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
