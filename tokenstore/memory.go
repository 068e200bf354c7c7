package tokenstore

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Memory is a Store in memory, for one process and for as long as that runs. What has expired is forgotten little by
// little by the calls that follow, never at once, so no call takes longer because many tokens have expired; what is not
// called keeps what it has. Its memory is bounded by the tokens that are live at one time, and is reused but not given back.
type Memory struct {
	mu      sync.Mutex
	rows    index[row, *row]     // of keys that have or had a record
	bare    index[entry, *entry] // of keys that have none: others were made from them, or they are spent or revoked
	cells   cells                // ancestors, and data that have no room in a row
	owned   map[Key]*ordered     // by owner: the keys of the records
	due     schedule
	spentBy map[uint32]Key // by entry: the first key that the batch put, or zero
	scratch []byte
	keys    []Key
}

// NewMemory returns an empty Memory, as is the zero one.
func NewMemory() *Memory { return &Memory{} }

// begin takes the lock, which the caller gives back.
func (m *Memory) begin() {
	m.mu.Lock()
	if m.spentBy == nil {
		m.spentBy, m.due.buckets = map[uint32]Key{}, map[int64]uint32{}
		m.owned = map[Key]*ordered{}
	}
}

// What one call forgets at most, beside twice what a Commit adds. A Commit forgets faster than it adds, so garbage
// cannot pile up.
const (
	sweepRead  = 2
	sweepWrite = 8
)

// Commit implements Store. It looks at everything first and then writes, under one lock.
func (m *Memory) Commit(ctx context.Context, now time.Time, b Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := b.Check(now); err != nil {
		return err
	}
	m.begin()
	defer m.mu.Unlock()
	at := now.Unix()
	lineages, touched, err := m.inspect(at, b)
	if err != nil {
		return err
	}
	for i, r := range b.Put {
		m.put(at, r, lineages[i])
	}
	for _, mark := range b.Spend {
		n := m.entry(at, mark.Key, ceil(mark.Until))
		m.get(n).spent = true
		m.spentBy[n] = b.name()
	}
	m.sweep(at, sweepWrite+2*touched)
	return nil
}

// inspect reports whether a batch may be written, the ancestors of each record, and how many entries it touches.
func (m *Memory) inspect(at int64, b Batch) (lineages [][]Key, touched int, err error) {
	lineages = make([][]Key, len(b.Put))
	touched = len(b.Put) + len(b.Spend)
	for i, r := range b.Put {
		if lineages[i], err = m.lineage(at, r.Ancestors); err != nil {
			return nil, 0, err
		}
		touched += len(lineages[i])
		for _, k := range lineages[i] {
			if m.revoked(at, k) {
				return nil, 0, ErrRevoked
			}
		}
		switch e := m.known(at, r.Key); {
		case e == nil:
		case e.revoked:
			return nil, 0, ErrRevoked
		case e.holds:
			return nil, 0, ErrExists
		}
	}
	for _, mark := range b.Spend {
		switch e := m.known(at, mark.Key); {
		case e == nil:
		case m.ended(at, e):
			return nil, 0, ErrRevoked
		case e.spent:
			return nil, 0, ErrSpent
		}
	}
	return lineages, touched, nil
}

// name tells a batch from the others.
func (b Batch) name() Key {
	if len(b.Put) == 0 {
		return Key{}
	}
	return b.Put[0].Key
}

// put writes one record and prolongs what it was made from.
func (m *Memory) put(at int64, r Record, lineage []Key) {
	expires := r.Expires.Unix()
	n := m.newRow(at, r.Key, expires)
	m.scratch = m.scratch[:0]
	for i := range lineage {
		m.entry(at, lineage[i], expires)
		m.scratch = append(m.scratch, lineage[i][:]...)
	}
	to := m.row(n)
	m.orphan(&to.entry)
	to.lineage, to.ancestors = m.cells.put(m.scratch), uint8(len(lineage))
	to.size, to.rest = uint32(len(r.Data)), m.cells.put(r.Data[copy(to.data[:], r.Data):])
	to.expires, to.holds = expires, true
	m.own(to, r.Owner)
}

// entry returns the number of a key's entry, which it makes known until then at least.
func (m *Memory) entry(at int64, key Key, until int64) uint32 {
	n := m.find(key)
	if n == 0 {
		n, _ = m.bare.add(key)
		m.look(n, until+linger)
	}
	m.prolong(at, n, until)
	return n
}

// newRow is entry for a key that gets a record. If it has an entry and no row, that is known of the row from now on, and
// the entry is forgotten when its time comes; nobody finds it meanwhile.
func (m *Memory) newRow(at int64, key Key, until int64) uint32 {
	n := m.find(key)
	if n&inRow == 0 {
		old := n
		n, _ = m.rows.add(key)
		n |= inRow
		m.look(n, until+linger)
		if old != 0 {
			m.move(old, n)
		}
	}
	m.prolong(at, n, until)
	return n
}

// move makes known of one entry what is known of another one, which has no row.
func (m *Memory) move(from, to uint32) {
	old, e := m.get(from), m.get(to)
	e.gone, e.revoked, e.spent = old.gone, old.revoked, old.spent
	if old.spent {
		m.spentBy[to] = m.spentBy[from]
	}
	m.clear(from, old)
}

// prolong makes an entry known until then at least.
func (m *Memory) prolong(at int64, n uint32, until int64) {
	e := m.get(n)
	if e.forgotten(at) { // it is new, or has only not been swept yet
		m.clear(n, e)
	}
	e.gone = max(e.gone, until)
}

// Discard implements Store.
func (m *Memory) Discard(ctx context.Context, b Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.begin()
	defer m.mu.Unlock()
	for _, r := range b.Put {
		if n := m.find(r.Key); n != 0 && m.get(n).holds {
			m.drop(m.row(n))
			m.orphan(m.get(n))
		}
	}
	for _, mark := range b.Spend {
		if n := m.find(mark.Key); n != 0 && m.get(n).spent && m.spentBy[n] == b.name() {
			m.unspend(n, m.get(n))
		}
	}
	return nil
}

// Get implements Store.
func (m *Memory) Get(ctx context.Context, now time.Time, key Key) (Record, error) {
	if err := ctx.Err(); err != nil {
		return Record{}, err
	}
	m.begin()
	defer m.mu.Unlock()
	at := now.Unix()
	m.sweep(at, sweepRead)
	n := m.find(key)
	switch {
	case n == 0 || m.get(n).forgotten(at):
		return Record{}, ErrUnknown
	case m.ended(at, m.get(n)):
		return Record{}, ErrRevoked
	case n&inRow == 0 || !m.row(n).live(at):
		return Record{}, ErrUnknown
	}
	return m.record(m.row(n)), nil
}

// Revoke implements Store.
func (m *Memory) Revoke(ctx context.Context, now time.Time, key Key, until time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.begin()
	defer m.mu.Unlock()
	at := now.Unix()
	m.get(m.entry(at, key, ceil(until))).revoked = true
	m.sweep(at, sweepWrite)
	return nil
}

// List implements Store.
func (m *Memory) List(ctx context.Context, now time.Time, owner, after Key, limit int) (
	[]Record, Key, error) {
	if err := ctx.Err(); err != nil {
		return nil, Key{}, err
	}
	if limit < 1 {
		return nil, Key{}, fmt.Errorf("tokenstore: a page of %d, it must be 1 or more", limit)
	}
	m.begin()
	defer m.mu.Unlock()
	at := now.Unix()
	m.sweep(at, sweepRead)
	if m.owned[owner] == nil {
		return nil, Key{}, nil
	}
	keys, more := m.owned[owner].after(after, min(limit, MaxPage))
	var page []Record
	for _, key := range keys {
		if r := m.row(m.find(key)); r.live(at) && !m.ended(at, &r.entry) {
			page = append(page, m.record(r))
		}
	}
	if !more {
		return page, Key{}, nil
	}
	return page, keys[len(keys)-1], nil
}

// ceil is the time in whole seconds, up: what must be remembered is never forgotten early.
func ceil(t time.Time) int64 {
	if t.Nanosecond() > 0 {
		return t.Unix() + 1
	}
	return t.Unix()
}
