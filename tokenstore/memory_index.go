package tokenstore

import "encoding/binary"

// named is a value of a slab that is found by its key.
type named[T any] interface {
	linked[T]
	name() *Key
	other() *uint32 // the next value in the same bucket
}

// index finds values by key. It is a linear hash table: it grows by one bucket at a time, so that no call ever moves all of
// it, and a bucket is the list of its values. A key is a hash already.
type index[T any, P named[T]] struct {
	slab[T, P]
	heads   []*[chunk]uint32
	buckets uint32 // how many there are
	low     uint32 // the greatest power of two that is not more
	values  uint32
}

// sparse is how many buckets there are for each value, four bytes each: one lookup in eight goes by another value first, and
// one in two with a single bucket for each. How many times as long a lookup among a million tokens takes as one among a
// thousand is 0.03 more with two for each, and 0.05 more with eight, whose heads are spread over more memory.
const sparse = 4

func (x *index[T, P]) head(bucket uint32) *uint32 { return &x.heads[bucket/chunk][bucket%chunk] }

// bucket is where a key belongs: by as many bits of it as the buckets that are there already need.
func (x *index[T, P]) bucket(k *Key) uint32 {
	h := binary.LittleEndian.Uint32(k[:])
	if b := h & (2*x.low - 1); b < x.buckets {
		return b
	}
	return h & (x.low - 1)
}

// find returns the number of the value of a key; 0 if there is none.
func (x *index[T, P]) find(k Key) uint32 {
	if x.buckets == 0 {
		return 0
	}
	n := *x.head(x.bucket(&k))
	for n != 0 && *x.get(n).name() != k {
		n = *x.get(n).other()
	}
	return n
}

// add makes the value of a key that has none.
func (x *index[T, P]) add(k Key) (uint32, P) {
	for sparse*x.values >= x.buckets {
		x.grow()
	}
	x.values++
	n := x.alloc()
	v := x.get(n)
	*v.name() = k
	x.push(n, v)
	return n, v
}

func (x *index[T, P]) push(n uint32, v P) {
	head := x.head(x.bucket(v.name()))
	*v.other(), *head = *head, n
}

// grow adds a bucket, and moves into it what belongs there by one more bit: values of one other bucket.
func (x *index[T, P]) grow() {
	if int(x.buckets/chunk) == len(x.heads) {
		x.heads = append(x.heads, new([chunk]uint32))
	}
	x.buckets++
	if x.buckets == 1 {
		x.low = 1
		return
	}
	if x.buckets > 2*x.low {
		x.low *= 2
	}
	head := x.head(x.buckets - 1 - x.low)
	n := *head
	*head = 0
	for n != 0 {
		v := x.get(n)
		next := *v.other()
		x.push(n, v)
		n = next
	}
}

// remove forgets a value, which is in no other list.
func (x *index[T, P]) remove(n uint32) {
	gone := x.get(n)
	at := x.head(x.bucket(gone.name()))
	for *at != n {
		at = x.get(*at).other()
	}
	*at = *gone.other()
	x.values--
	x.release(n)
}
