package memory

import "slices"

// queue is a slice that is filled at the end and emptied at the front, and
// gives its memory back. A nil one is empty.
type queue[T any] struct {
	buf   []T
	start int // what is before it has been popped
}

func (q *queue[T]) items() []T {
	if q == nil {
		return nil
	}
	return q.buf[q.start:]
}

func (q *queue[T]) len() int { return len(q.items()) }

func (q *queue[T]) push(v T) { q.buf = append(q.buf, v) }

// pop drops the first item.
func (q *queue[T]) pop() {
	var zero T
	q.buf[q.start] = zero
	q.start++
	switch n := q.len(); {
	case n == 0:
		*q = queue[T]{}
	case q.start > n && q.start >= 32:
		// More has been popped than is left: moving that is paid for.
		q.replace(q.items())
	}
}

// replace makes items, which may be part of the queue, all that is in it.
func (q *queue[T]) replace(items []T) {
	q.start = 0
	if len(items) <= cap(q.buf)/4 {
		q.buf = slices.Clip(slices.Clone(items))
		return
	}
	n := copy(q.buf, items)
	clear(q.buf[n:])
	q.buf = q.buf[:n]
}

// index is a map to numbers that gives its memory back when most of it has
// been dropped, which a map by itself does not. A nil one is empty.
type index[K comparable] struct {
	m    map[K]int64
	peak int
}

func (x *index[K]) get(k K) (int64, bool) {
	if x == nil {
		return 0, false
	}
	v, ok := x.m[k]
	return v, ok
}

func (x *index[K]) put(k K, v int64) {
	if x.m == nil {
		x.m = make(map[K]int64)
	}
	x.m[k] = v
	x.peak = max(x.peak, len(x.m))
}

func (x *index[K]) drop(k K) {
	delete(x.m, k)
	n := len(x.m)
	if n == 0 {
		*x = index[K]{}
		return
	}
	if x.peak < 64 || n > x.peak/4 {
		return
	}
	m := make(map[K]int64, n)
	for k, v := range x.m {
		m[k] = v
	}
	x.m, x.peak = m, n
}
