package tokenstore

import "container/heap"

// bucketWidth is how many seconds share a bucket, as a power of two: the later an entry may be swept, the fewer buckets.
const bucketWidth = 6

// schedule says which entry is to be looked at next. Every entry of the table is in one bucket; where its time has been
// put off meanwhile, it is put into another one when it is looked at.
type schedule struct {
	buckets map[int64]*entry // by time: a bucket holds what is due before its number times its width
	order   times            // the numbers of the buckets, the earliest first
}

// times is a heap.
type times []int64

func (t times) Len() int           { return len(t) }
func (t times) Less(i, j int) bool { return t[i] < t[j] }
func (t times) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *times) Push(x any)        { *t = append(*t, x.(int64)) }
func (t *times) Pop() any {
	last := (*t)[len(*t)-1]
	*t = (*t)[:len(*t)-1]
	return last
}
