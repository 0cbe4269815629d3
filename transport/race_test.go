//go:build race

package transport_test

// raceEnabled: the race detector allocates, so allocations cannot be counted.
const raceEnabled = true
