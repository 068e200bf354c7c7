package tokenstore

import (
	"bytes"
	"slices"
)

// sortedKeys is a set of keys in ascending order. The keys are in blocks of bounded length, so that
// adding a key, removing it and reading a page take about the same time in a set of any size.
type sortedKeys struct {
	blocks [][]Key // no block is empty; the keys of a block are less than those of the next
}

// maxBlock is the greatest length of a block.
const maxBlock = 512

func compareKeys(a, b Key) int { return bytes.Compare(a[:], b[:]) }

// find returns where a key is, or where it belongs. The set must not be empty.
func (s *sortedKeys) find(k Key) (block, i int, found bool) {
	block, found = slices.BinarySearchFunc(s.blocks, k, func(b []Key, k Key) int {
		return compareKeys(b[0], k)
	})
	if !found {
		block = max(0, block-1)
	}
	i, found = slices.BinarySearchFunc(s.blocks[block], k, compareKeys)
	return block, i, found
}

// add adds a key that is not in the set. It splits a block that becomes too long.
func (s *sortedKeys) add(k Key) {
	if s.empty() {
		s.blocks = [][]Key{{k}}
		return
	}
	block, i, _ := s.find(k)
	keys := slices.Insert(s.blocks[block], i, k)
	s.blocks[block] = keys
	if half := len(keys) / 2; len(keys) > maxBlock {
		s.blocks = slices.Replace(s.blocks, block, block+1,
			slices.Clone(keys[:half]), slices.Clone(keys[half:]))
	}
}

// remove removes a key that is in the set.
func (s *sortedKeys) remove(k Key) {
	block, i, _ := s.find(k)
	s.blocks[block] = slices.Delete(s.blocks[block], i, i+1)
	if len(s.blocks[block]) == 0 {
		s.blocks = slices.Delete(s.blocks, block, block+1)
	}
}

func (s *sortedKeys) empty() bool { return len(s.blocks) == 0 }

// after returns the first n keys greater than k, and whether there are more.
func (s *sortedKeys) after(k Key, n int) (keys []Key, more bool) {
	block, i, found := s.find(k)
	if found {
		i++
	}
	for _, b := range s.blocks[block:] {
		for _, key := range b[i:] {
			if len(keys) == n {
				return keys, true
			}
			keys = append(keys, key)
		}
		i = 0
	}
	return keys, false
}
