package storagetest

import (
	"fmt"
	"testing"
)

// maxFaultyCalls ends a scenario that never gets by with fewer calls.
const maxFaultyCalls = 1000

// RunFaults runs the scenario on new stores again and again: with each [Fault]
// in its first call of the store, in its second, and so on, until it needs no
// call that would fail. The scenario must cope with each, as a server or
// client does: by reporting what is not known, and by retrying with the same
// nonce. It checks by itself, through s.Unwrap() where the fault must not
// matter, that nothing acknowledged is lost and nothing is there twice.
func RunFaults(t *testing.T, h Harness, scenario func(t *testing.T, s *FaultyStore)) {
	for _, fault := range []Fault{FailBefore, UnknownBefore, UnknownAfter} {
		t.Run(fault.String(), func(t *testing.T) {
			for k, hit := 1, true; hit; k++ {
				if k > maxFaultyCalls {
					t.Fatalf("the scenario still makes call %d", k)
				}
				ok := t.Run(fmt.Sprintf("call_%d", k), func(t *testing.T) {
					s := Faulty(h.Open(t))
					s.FailAt(k, fault)
					scenario(t, s)
					hit = s.Hits() > 0
				})
				if !ok {
					return // the next ones would say the same
				}
			}
		})
	}
}
