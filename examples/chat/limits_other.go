//go:build !unix

package main

// maxConns is not known here.
func maxConns() int64 { return 0 }
