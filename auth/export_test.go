package auth

import "fmt"

// VerdictsAfter returns how many of n signatures are remembered.
func VerdictsAfter(n int) (remembered int, last bool) {
	v := newVerdicts()
	for i := range n {
		v.add(verdictOf(fmt.Sprint(i)))
	}
	return len(v.good), v.has(verdictOf(fmt.Sprint(n - 1)))
}

const MaxVerdicts = maxVerdicts
