package tokenstore

import (
	"bytes"
	"slices"
)

// ordered is a set of keys in ascending order. They are in blocks of bounded length, so that no
// call moves more keys than one block has, nor walks through more keys than that and those that it
// returns.
type ordered struct {
	blocks [][]Key // none is empty, and each ends before the next begins
}

const maxBlock = 512

func compareKeys(a, b Key) int { return bytes.Compare(a[:], b[:]) }

// find returns where a key is, or would have to be inserted. The set must not be empty.
func (o *ordered) find(k Key) (block, at int, found bool) {
	compareFirst := func(b []Key, k Key) int { return compareKeys(b[0], k) }
	block, found = slices.BinarySearchFunc(o.blocks, k, compareFirst)
	if !found {
		block = max(0, block-1)
	}
	at, found = slices.BinarySearchFunc(o.blocks[block], k, compareKeys)
	return block, at, found
}

// add puts in a key that is not in the set. A block that has become too long becomes two.
func (o *ordered) add(k Key) {
	if len(o.blocks) == 0 {
		o.blocks = [][]Key{{k}}
		return
	}
	i, at, _ := o.find(k)
	b := slices.Insert(o.blocks[i], at, k)
	if len(b) <= maxBlock {
		o.blocks[i] = b
		return
	}
	half := len(b) / 2
	o.blocks = slices.Replace(o.blocks, i, i+1, slices.Clone(b[:half]), slices.Clone(b[half:]))
}

// remove takes out a key that is in the set.
func (o *ordered) remove(k Key) {
	i, at, _ := o.find(k)
	if o.blocks[i] = slices.Delete(o.blocks[i], at, at+1); len(o.blocks[i]) == 0 {
		o.blocks = slices.Delete(o.blocks, i, i+1)
	}
}

// after returns the first n keys that are greater than k, and whether there are more.
func (o *ordered) after(k Key, n int) (keys []Key, more bool) {
	if len(o.blocks) == 0 {
		return nil, false
	}
	i, at, found := o.find(k)
	if found {
		at++
	}
	for _, b := range o.blocks[i:] {
		for _, key := range b[at:] {
			if len(keys) == n {
				return keys, true
			}
			keys = append(keys, key)
		}
		at = 0
	}
	return keys, false
}
