package tokenstore

import (
	"context"
	"sync"
	"time"
)

// Memory is a Store in memory, for one process and for as long as that runs. What has expired is forgotten little by
// little by the calls that follow, never at once, so no call takes longer because many tokens have expired; what is not
// called keeps what it has. Its memory is bounded by the tokens that are live at one time, and is reused but not given back.
type Memory struct {
	mu      sync.Mutex
	entries table
	owners  map[uint64]*owner
	due     schedule
	spentBy map[*entry]Key // who has spent it: the first key that the batch put, or zero
	scratch []byte
}

// NewMemory returns an empty Memory.
func NewMemory() *Memory {
	return &Memory{entries: table{}, owners: map[uint64]*owner{}, due: schedule{buckets: map[int64]*entry{}},
		spentBy: map[*entry]Key{}}
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
	m.mu.Lock()
	defer m.mu.Unlock()
	at := now.Unix()
	lineages := make([][]Key, len(b.Put))
	touched := len(b.Put) + len(b.Spend)
	for i, r := range b.Put {
		lineage, err := m.entries.lineage(at, r.Ancestors)
		if err != nil {
			return err
		}
		if err := m.entries.free(at, r.Key, lineage); err != nil {
			return err
		}
		lineages[i] = lineage
		touched += len(lineage)
	}
	for _, mark := range b.Spend {
		if e := m.entries.known(at, mark.Key); e != nil {
			switch {
			case e.revoked:
				return ErrRevoked
			case e.spent:
				return ErrSpent
			}
		}
	}
	for i, r := range b.Put {
		m.put(at, r, lineages[i])
	}
	for _, mark := range b.Spend {
		e := m.entry(at, mark.Key, ceil(mark.Until))
		e.spent = true
		m.spentBy[e] = b.name()
	}
	m.sweep(at, sweepWrite+2*touched)
	return nil
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
	e := m.entry(at, r.Key, expires)
	m.scratch = m.scratch[:0]
	for i := range lineage {
		m.scratch = append(m.scratch, lineage[i][:]...)
		m.entry(at, lineage[i], expires)
	}
	m.scratch = append(m.scratch, r.Data...)
	e.blob, e.ancestors, e.expires, e.holds = string(m.scratch), uint8(len(lineage)), expires, true
	m.own(e, r.Owner)
	m.due.add(e, e.expires+linger) // as it may be scheduled for later, by what was made from it before
}

// entry returns what is known of a key, and makes it known until then at least.
func (m *Memory) entry(at int64, key Key, until int64) *entry {
	e := m.entries.find(key)
	switch {
	case e == nil:
		e = &entry{key: key}
		m.entries.add(e)
	case e.forgotten(at): // it has only not been swept yet
		m.forget(e)
		e.revoked, e.gone = false, 0
	}
	e.gone = max(e.gone, until)
	m.due.add(e, e.gone+linger)
	return e
}

// Discard implements Store.
func (m *Memory) Discard(ctx context.Context, b Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range b.Put {
		if e := m.entries.find(r.Key); e != nil && e.holds {
			m.drop(e)
			e.ancestors, e.blob = 0, ""
		}
	}
	for _, mark := range b.Spend {
		if e := m.entries.find(mark.Key); e != nil && e.spent && m.spentBy[e] == b.name() {
			m.unspend(e)
		}
	}
	return nil
}

// Get implements Store.
func (m *Memory) Get(ctx context.Context, now time.Time, key Key) (Record, error) {
	if err := ctx.Err(); err != nil {
		return Record{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	at := now.Unix()
	m.sweep(at, sweepRead)
	e := m.entries.known(at, key)
	switch {
	case e == nil:
		return Record{}, ErrUnknown
	case m.entries.ended(at, e):
		return Record{}, ErrRevoked
	case !e.live(at):
		return Record{}, ErrUnknown
	}
	return e.record(), nil
}

// Revoke implements Store.
func (m *Memory) Revoke(ctx context.Context, now time.Time, key Key, until time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	at := now.Unix()
	m.entry(at, key, ceil(until)).revoked = true
	m.sweep(at, sweepWrite)
	return nil
}

// List implements Store. It takes as long as the owner has records.
func (m *Memory) List(ctx context.Context, now time.Time, key Key) ([]Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	at := now.Unix()
	m.sweep(at, sweepRead)
	var list []Record
	if o := m.owner(key); o != nil {
		for e := o.first; e != nil; e = e.after {
			if e.live(at) && !m.entries.ended(at, e) {
				list = append(list, e.record())
			}
		}
	}
	return list, nil
}

// ceil is the time in whole seconds, up: what must be remembered is never forgotten early.
func ceil(t time.Time) int64 {
	if t.Nanosecond() > 0 {
		return t.Unix() + 1
	}
	return t.Unix()
}
