package tokenstore

import "container/heap"

// bucketWidth is how many seconds share a bucket, as a power of two: the later an entry may be swept, the fewer buckets.
const bucketWidth = 6

// schedule says which entry is to be looked at next. Every entry is in one bucket; where its time has been put off
// meanwhile, it is put into another one when it is looked at.
type schedule struct {
	buckets map[int64]uint32 // the first entry of each: a bucket holds what is due before its number times its width
	order   times            // the numbers of the buckets, the earliest first
}

// times is a heap.
type times []int64

func (t times) Len() int           { return len(t) }
func (t times) Less(i, j int) bool { return t[i] < t[j] }
func (t times) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *times) Push(x any)        { *t = append(*t, x.(int64)) }
func (t *times) Pop() any {
	last := (*t)[len(*t)-1]
	*t = (*t)[:len(*t)-1]
	return last
}

// look puts an entry, which is in no bucket, where it is found when the time has come.
func (m *Memory) look(n uint32, when int64) {
	bucket := when>>bucketWidth + 1
	first, there := m.due.buckets[bucket]
	if !there {
		heap.Push(&m.due.order, bucket)
	}
	m.get(n).next, m.due.buckets[bucket] = first, n
}

// take returns an entry whose time has come, in no bucket any more; 0 if there is none.
func (m *Memory) take(at int64) uint32 {
	for len(m.due.order) > 0 && m.due.order[0]<<bucketWidth <= at {
		bucket := m.due.order[0]
		if n := m.due.buckets[bucket]; n != 0 {
			e := m.get(n)
			m.due.buckets[bucket], e.next = e.next, 0
			return n
		}
		delete(m.due.buckets, bucket)
		heap.Pop(&m.due.order)
	}
	return 0
}

// sweep looks at so many entries whose time has come, and no more, so that it never takes long.
func (m *Memory) sweep(at int64, most int) {
	for range most {
		n := m.take(at)
		if n == 0 {
			return
		}
		e := m.get(n)
		if e.forgotten(at) {
			m.forget(n, e)
			continue
		}
		when := e.gone
		if e.holds {
			if r := m.row(n); at >= r.expires+linger {
				m.drop(r)
			} else {
				when = min(when, r.expires)
			}
		}
		m.look(n, when+linger)
	}
}

// forget takes an entry away, with its row if it is part of one.
func (m *Memory) forget(n uint32, e *entry) {
	m.clear(n, e)
	if n&inRow != 0 {
		m.rows.remove(n &^ inRow)
	} else {
		m.bare.remove(n)
	}
}

// drop forgets the record, of which no data stay behind. Its ancestors stay: what is made from the key later, of a grant
// that outlives it, is made from them too.
func (m *Memory) drop(r *row) {
	m.disown(r)
	m.cells.drop(r.rest)
	r.content, r.holds = content{}, false
}

// clear makes an entry as good as new.
func (m *Memory) clear(n uint32, e *entry) {
	if e.holds {
		m.drop(m.row(n))
	}
	m.orphan(e)
	m.unspend(n, e)
	e.revoked, e.gone = false, 0
}

// orphan forgets the ancestors.
func (m *Memory) orphan(e *entry) {
	m.cells.drop(e.lineage)
	e.lineage, e.ancestors = 0, 0
}

func (m *Memory) unspend(n uint32, e *entry) {
	if e.spent {
		e.spent = false
		delete(m.spentBy, n)
	}
}
