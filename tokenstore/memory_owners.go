package tokenstore

// owner is the head of the list of what belongs to somebody.
type owner struct {
	key   Key
	same  uint32 // next owner in the index's bucket
	first uint32 // row
}

func (o *owner) link() *uint32  { return &o.same }
func (o *owner) name() *Key     { return &o.key }
func (o *owner) other() *uint32 { return &o.same }

// own puts a row into the list of its owner.
func (m *Memory) own(n uint32, k Key) {
	if k == (Key{}) {
		return
	}
	who := m.people.find(k)
	if who == 0 {
		who, _ = m.people.add(k)
	}
	o, r := m.people.get(who), m.row(n)
	r.owner, r.after = k, o.first
	if o.first != 0 {
		m.row(o.first).before = n
	}
	o.first = n
}

// disown takes a row out of the list, and the list away when it is empty. The row still says whose it was.
func (m *Memory) disown(r *row) {
	if r.owner == (Key{}) {
		return
	}
	if r.after != 0 {
		m.row(r.after).before = r.before
	}
	if r.before != 0 {
		m.row(r.before).after = r.after
		return
	}
	who := m.people.find(r.owner)
	if m.people.get(who).first = r.after; r.after == 0 {
		m.people.remove(who)
	}
}
