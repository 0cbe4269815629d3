//go:build !linux && !darwin

package chat

// fileRoom is the default of Limits.Connections: there is no limit to go by.
func fileRoom() int { return 0 }
