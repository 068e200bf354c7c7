package tokenstore

// owner is the head of the list of what belongs to somebody.
type owner struct {
	key   Key
	same  uint32 // next owner in the index's bucket
	first uint32 // entry
}

func (o *owner) link() *uint32  { return &o.same }
func (o *owner) name() *Key     { return &o.key }
func (o *owner) other() *uint32 { return &o.same }

// own puts an entry into the list of its owner.
func (m *Memory) own(n uint32, k Key) {
	if k == (Key{}) {
		return
	}
	who := m.people.find(k)
	if who == 0 {
		who, _ = m.people.add(k)
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
		m.people.remove(who)
	}
}
