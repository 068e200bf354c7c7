package tokenstore

// own notes that a record belongs to an owner.
func (m *Memory) own(r *row, owner Key) {
	if owner == (Key{}) {
		return
	}
	if m.owned[owner] == nil {
		m.owned[owner] = &ordered{}
	}
	m.owned[owner].add(r.key)
	r.owner = owner
}

// disown takes a record from its owner. The row still says whose it was.
func (m *Memory) disown(r *row) {
	if r.owner == (Key{}) {
		return
	}
	keys := m.owned[r.owner]
	if keys.remove(r.key); len(keys.blocks) == 0 {
		delete(m.owned, r.owner)
	}
}
