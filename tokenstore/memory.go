package tokenstore

import (
	"bytes"
	"container/heap"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Memory is a Store in the memory of one process. Its content is lost when the process ends.
//
// Commit, Get, Revoke and List also remove a few expired entries each, so that no call takes long,
// however many entries expire at once. A Memory that is not called removes nothing. The maps keep
// the space of removed keys for new ones.
type Memory struct {
	mu      sync.Mutex
	entries map[Key]*entry
	owners  map[Key]*sortedKeys // the keys of the records of each owner
	due     dueHeap             // every entry, the next one to sweep first
}

// entry is all that is known of one key. A key needs no record to be known: it may be an ancestor
// of a record, revoked or spent.
type entry struct {
	key       Key
	due       int64   // when sweep has to look at the entry, in Unix time
	expires   int64   // when everything put under the key or made from it has expired
	ancestors []Key   // kept after the record has expired: later records may be made from the key
	record    *Record // nil if there is none; its Ancestors and Spent are not used
	revoked   bool
	spent     bool
	spentBy   Key // the id of the batch that spent the key
}

// NewMemory returns an empty Memory. The zero Memory is empty too.
func NewMemory() *Memory { return &Memory{} }

// How many entries a call sweeps at most. A Commit sweeps two more for each entry that it writes,
// so it removes expired entries faster than it adds new ones.
const (
	sweepRead  = 2
	sweepWrite = 8
)

// linger is Linger in seconds.
const linger = int64(Linger / time.Second)

// lock locks m and makes its maps if there are none. The caller unlocks.
func (m *Memory) lock() {
	m.mu.Lock()
	if m.entries == nil {
		m.entries, m.owners = map[Key]*entry{}, map[Key]*sortedKeys{}
	}
}

// Commit implements Store. It checks the whole batch before it writes the first part of it.
func (m *Memory) Commit(ctx context.Context, now time.Time, b Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := b.Check(now); err != nil {
		return err
	}
	m.lock()
	defer m.mu.Unlock()
	at := now.Unix()
	ancestors, err := m.check(at, b)
	if err != nil {
		return err
	}
	written := len(b.Put) + len(b.Spend)
	for i, r := range b.Put {
		m.put(at, r, ancestors[i])
		written += len(ancestors[i])
	}
	for _, mark := range b.Spend {
		e := m.extend(at, mark.Key, roundUp(mark.Until))
		e.spent, e.spentBy = true, b.id()
	}
	m.sweep(at, sweepWrite+2*written)
	return nil
}

// check returns the ancestors of each record of a batch, or why the batch must not be written.
func (m *Memory) check(at int64, b Batch) (ancestors [][]Key, err error) {
	for _, r := range b.Put {
		all, err := m.ancestors(at, r.Ancestors)
		if err != nil {
			return nil, err
		}
		if m.revoked(at, r.Key) || m.revoked(at, all...) {
			return nil, ErrRevoked
		}
		if e := m.known(at, r.Key); e != nil && e.record != nil {
			return nil, ErrExists
		}
		ancestors = append(ancestors, all)
	}
	for _, mark := range b.Spend {
		e := m.known(at, mark.Key)
		switch {
		case e == nil:
		case m.ended(at, e):
			return nil, ErrRevoked
		case e.spent:
			return nil, ErrSpent
		}
	}
	return ancestors, nil
}

// ancestors returns the parents and all that is known of their ancestors, each once.
func (m *Memory) ancestors(at int64, parents []Key) (all []Key, err error) {
	add := func(keys ...Key) {
		for _, k := range keys {
			if !slices.Contains(all, k) {
				all = append(all, k)
			}
		}
	}
	for _, p := range parents {
		add(p)
		if e := m.known(at, p); e != nil {
			add(e.ancestors...)
		}
		if len(all) > MaxAncestors {
			return nil, ErrTooMany
		}
	}
	return all, nil
}

// id tells a batch from others by the first key that it puts.
func (b Batch) id() Key {
	if len(b.Put) == 0 {
		return Key{}
	}
	return b.Put[0].Key
}

// put writes a record and extends the time that its ancestors are known.
func (m *Memory) put(at int64, r Record, ancestors []Key) {
	expires := r.Expires.Unix()
	for _, k := range ancestors {
		m.extend(at, k, expires)
	}
	e := &entry{key: r.Key, expires: expires, ancestors: ancestors, record: &Record{
		Key: r.Key, Owner: r.Owner, Expires: time.Unix(expires, 0).UTC(), Data: bytes.Clone(r.Data),
	}}
	if old := m.known(at, r.Key); old != nil { // an ancestor of others, spent, or discarded
		e.expires = max(expires, old.expires)
		e.spent, e.spentBy = old.spent, old.spentBy
	}
	m.add(e)
	if r.Owner != (Key{}) {
		if m.owners[r.Owner] == nil {
			m.owners[r.Owner] = &sortedKeys{}
		}
		m.owners[r.Owner].add(r.Key)
	}
}

// Discard implements Store.
func (m *Memory) Discard(ctx context.Context, b Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.lock()
	defer m.mu.Unlock()
	for _, r := range b.Put {
		if e := m.entries[r.Key]; e != nil && e.record != nil {
			m.dropRecord(e)
			e.ancestors = nil
		}
	}
	for _, mark := range b.Spend {
		if e := m.entries[mark.Key]; e != nil && e.spent && e.spentBy == b.id() {
			e.spent = false
		}
	}
	return nil
}

// Get implements Store.
func (m *Memory) Get(ctx context.Context, now time.Time, key Key) (Record, error) {
	if err := ctx.Err(); err != nil {
		return Record{}, err
	}
	m.lock()
	defer m.mu.Unlock()
	at := now.Unix()
	m.sweep(at, sweepRead)
	e := m.known(at, key)
	switch {
	case e == nil:
		return Record{}, ErrUnknown
	case m.ended(at, e):
		return Record{}, ErrRevoked
	case !e.live(at):
		return Record{}, ErrUnknown
	}
	return e.copy(), nil
}

// Revoke implements Store.
func (m *Memory) Revoke(ctx context.Context, now time.Time, key Key, until time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.lock()
	defer m.mu.Unlock()
	at := now.Unix()
	m.extend(at, key, roundUp(until)).revoked = true
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
		return nil, Key{}, fmt.Errorf("tokenstore: page limit is %d, it must be at least 1", limit)
	}
	m.lock()
	defer m.mu.Unlock()
	at := now.Unix()
	m.sweep(at, sweepRead)
	if m.owners[owner] == nil {
		return nil, Key{}, nil
	}
	keys, more := m.owners[owner].after(after, min(limit, MaxPage))
	var page []Record
	for _, k := range keys {
		if e := m.entries[k]; e.live(at) && !m.ended(at, e) {
			page = append(page, e.copy())
		}
	}
	if !more {
		return page, Key{}, nil
	}
	return page, keys[len(keys)-1], nil
}

// known returns the entry of a key, or nil if there is none or it may be forgotten.
func (m *Memory) known(at int64, k Key) *entry {
	if e := m.entries[k]; e != nil && !e.forgotten(at) {
		return e
	}
	return nil
}

// revoked reports whether there is a tombstone for one of the keys.
func (m *Memory) revoked(at int64, keys ...Key) bool {
	return slices.ContainsFunc(keys, func(k Key) bool {
		e := m.known(at, k)
		return e != nil && e.revoked
	})
}

// ended reports whether the key or one of its ancestors is revoked.
func (m *Memory) ended(at int64, e *entry) bool {
	return e.revoked || m.revoked(at, e.ancestors...)
}

// extend returns the entry of a key, which stays known at least until the given second.
func (m *Memory) extend(at int64, k Key, until int64) *entry {
	e := m.known(at, k)
	if e == nil {
		e = &entry{key: k, expires: until}
		m.add(e)
	}
	e.expires = max(e.expires, until)
	return e
}

// add puts an entry in the place of the one with the same key, if any.
func (m *Memory) add(e *entry) {
	if old := m.entries[e.key]; old != nil {
		m.dropRecord(old)
	}
	m.entries[e.key] = e
	m.schedule(e)
}

// dropRecord removes the record of an entry. The entry stays.
func (m *Memory) dropRecord(e *entry) {
	if e.record == nil {
		return
	}
	if keys := m.owners[e.record.Owner]; keys != nil {
		keys.remove(e.key)
		if keys.empty() {
			delete(m.owners, e.record.Owner)
		}
	}
	e.record = nil
}

// schedule makes sweep look at an entry once its record, or all of it, is no longer needed.
func (m *Memory) schedule(e *entry) {
	e.due = e.expires + linger
	if e.record != nil {
		e.due = e.record.Expires.Unix() + linger
	}
	heap.Push(&m.due, e)
}

// sweep looks at the next due entries, limit of them at most. It removes each entry that may be
// forgotten, and the expired record of each other entry.
func (m *Memory) sweep(at int64, limit int) {
	for ; limit > 0 && len(m.due) > 0 && m.due[0].due <= at; limit-- {
		e := heap.Pop(&m.due).(*entry)
		switch {
		case m.entries[e.key] != e: // add has replaced it
		case e.forgotten(at):
			m.dropRecord(e)
			delete(m.entries, e.key)
		default:
			m.dropRecord(e)
			m.schedule(e)
		}
	}
}

// dueHeap is a heap for container/heap.
type dueHeap []*entry

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due < h[j].due }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(e any)        { *h = append(*h, e.(*entry)) }
func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil // so that the entry can be freed
	*h = (*h)[:last]
	return e
}

// forgotten reports whether the store need not know the key any more.
func (e *entry) forgotten(at int64) bool { return at >= e.expires+linger }

// live reports whether there is a record that has not expired.
func (e *entry) live(at int64) bool { return e.record != nil && at < e.record.Expires.Unix() }

// copy returns the record, which the caller may change.
func (e *entry) copy() Record {
	r := *e.record
	r.Ancestors, r.Data, r.Spent = slices.Clone(e.ancestors), bytes.Clone(r.Data), e.spent
	return r
}

// roundUp returns t in seconds, rounded up, so that a mark or a tombstone is not forgotten early.
func roundUp(t time.Time) int64 { return t.Add(time.Second - 1).Unix() }
