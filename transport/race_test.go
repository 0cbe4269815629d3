//go:build race

package transport

// raceEnabled: the race detector allocates, so allocations cannot be counted.
const raceEnabled = true
