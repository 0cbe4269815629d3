package door

import "math"

// connectionsIn is what a limit of open files leaves to connections.
func connectionsIn(files uint64) int {
	if files >= math.MaxInt32 {
		return 0
	}
	n := int(files)
	return max(n-max(64, n/50), n/2, 1)
}

// RequestFiles is how many requests there are files for beside ConnectionFiles.
func RequestFiles() int {
	files := openFiles()
	if conns := connectionsIn(files); conns > 0 {
		return max((int(files)-conns)/2, 16)
	}
	return 1024
}

// ConnectionFiles is how many connections there are files for, 0 where the process
// has no limit: some are left to the host.
func ConnectionFiles() int { return connectionsIn(openFiles()) }
