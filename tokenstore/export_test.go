package tokenstore

import "unsafe"

// EntrySize is what one key costs beside its data.
const EntrySize = unsafe.Sizeof(entry{})

// Entries is how many keys the memory knows of, Owners, Buckets and Marks how many of them there are.
func (m *Memory) Entries() int { return max(int(m.entries.used)-1, 0) - int(m.entries.spare) }
func (m *Memory) Owners() int  { return len(m.owners) }
func (m *Memory) Buckets() int { return len(m.due.buckets) }
func (m *Memory) Marks() int   { return len(m.spentBy) }

// Dump is every byte of data that the memory keeps, also where nothing is kept any more. All else is keys and numbers.
func (m *Memory) Dump() (all []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.cells.chunks {
		for i := range c {
			text := string(c[i].bytes[:])
			for n, most := c[i].next, 200; n != 0 && most > 0; n, most = m.cells.get(n).next, most-1 {
				text += string(m.cells.get(n).bytes[:])
			}
			all = append(all, text)
		}
	}
	return all
}

// Encode and Decode are the data of a record.
var Encode, Decode = encode, decode
