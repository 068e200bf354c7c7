package tokenstore

// owner is the head of the list of what belongs to somebody.
type owner struct {
	key   Key
	same  uint32 // next owner with the same hash
	first uint32 // entry
}

func (o *owner) link() *uint32 { return &o.same }

// owner returns the number of an owner who has something; 0 if nobody does.
func (m *Memory) owner(k Key) uint32 {
	n := m.owners[short(k)]
	for n != 0 && m.people.get(n).key != k {
		n = m.people.get(n).same
	}
	return n
}

// own puts an entry into the list of its owner.
func (m *Memory) own(n uint32, k Key) {
	if k == (Key{}) {
		return
	}
	who := m.owner(k)
	if who == 0 {
		who = m.people.alloc()
		*m.people.get(who) = owner{key: k, same: m.owners[short(k)]}
		m.owners[short(k)] = who
	}
	o, e := m.people.get(who), m.entries.get(n)
	e.owner, e.after = who, o.first
	if o.first != 0 {
		m.entries.get(o.first).before = n
	}
	o.first = n
}

// disown takes an entry out of the list, and the list away when it is empty.
func (m *Memory) disown(e *entry) {
	who := e.owner
	if who == 0 {
		return
	}
	o := m.people.get(who)
	if e.after != 0 {
		m.entries.get(e.after).before = e.before
	}
	if e.before != 0 {
		m.entries.get(e.before).after = e.after
	} else {
		o.first = e.after
	}
	e.owner, e.before, e.after = 0, 0, 0
	if o.first == 0 {
		m.leave(who)
	}
}

// leave forgets an owner who has nothing left.
func (m *Memory) leave(n uint32) {
	gone := m.people.get(n)
	h := short(gone.key)
	if m.owners[h] == n {
		if m.owners[h] = gone.same; gone.same == 0 {
			delete(m.owners, h)
		}
	} else {
		o := m.people.get(m.owners[h])
		for o.same != n {
			o = m.people.get(o.same)
		}
		o.same = gone.same
	}
	m.people.release(n)
}
