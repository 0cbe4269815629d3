//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "scale: the clients are an epoll loop, so this example needs Linux")
	os.Exit(1)
}
