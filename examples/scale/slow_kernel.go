//go:build linux

package main

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// queues is what the kernel holds for one connection.
type queues struct {
	unsent int64 // at the server: written, but not yet taken by the client's kernel
	unread int64 // at the client: not yet read
}

// kernelQueues looks up what the kernel holds for the clients at these
// addresses, connected to the given server: /proc/net/tcp has a line for either
// end of a connection on this machine. The kernel writes that file in pieces:
// while other connections come and go, a line may be in it twice or not at all.
func kernelQueues(server netip.AddrPort, clients []netip.AddrPort) (list []queues, err error) {
	index := make(map[netip.AddrPort]int, len(clients))
	for i, a := range clients {
		index[a] = i
	}
	for range 5 {
		var lacking int
		if list, lacking, err = readQueues(server, index); err != nil || lacking == 0 {
			return list, err
		}
		err = fmt.Errorf("/proc/net/tcp lacks %d ends of %d connections", lacking, len(clients))
	}
	return nil, err
}

// readQueues reads the file once and says how many ends it has not found.
func readQueues(server netip.AddrPort, index map[netip.AddrPort]int) (list []queues, lacking int, err error) {
	file, err := os.Open("/proc/net/tcp")
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = file.Close() }()
	list = make([]queues, len(index))
	for i := range list {
		list[i] = queues{-1, -1}
	}
	lines := bufio.NewScanner(file)
	lines.Scan() // the header
	for lines.Scan() {
		e, err := parseTCP(lines.Text())
		if err != nil {
			return nil, 0, err
		}
		if i, ok := index[e.remote]; ok && e.local == server {
			list[i].unsent = e.tx
		} else if i, ok := index[e.local]; ok && e.remote == server {
			list[i].unread = e.rx
		}
	}
	for _, q := range list {
		if q.unsent < 0 {
			lacking++
		}
		if q.unread < 0 {
			lacking++
		}
	}
	return list, lacking, lines.Err()
}

// tcpEnd is a line of /proc/net/tcp.
type tcpEnd struct {
	local, remote netip.AddrPort
	tx, rx        int64
}

func parseTCP(line string) (e tcpEnd, err error) {
	f := strings.Fields(line)
	if len(f) < 5 {
		return e, fmt.Errorf("/proc/net/tcp: %q", line)
	}
	if e.local, err = parseAddr(f[1]); err != nil {
		return e, err
	}
	if e.remote, err = parseAddr(f[2]); err != nil {
		return e, err
	}
	tx, rx, _ := strings.Cut(f[4], ":")
	if e.tx, err = strconv.ParseInt(tx, 16, 64); err != nil {
		return e, err
	}
	e.rx, err = strconv.ParseInt(rx, 16, 64)
	return e, err
}

// parseAddr reads "0100007F:1F90": the address in the machine's byte order, the
// port in hexadecimal digits.
func parseAddr(s string) (netip.AddrPort, error) {
	host, port, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(host)
	if err != nil || len(b) != 4 {
		return netip.AddrPort{}, fmt.Errorf("/proc/net/tcp: address %q", s)
	}
	p, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, err
	}
	var addr [4]byte
	binary.NativeEndian.PutUint32(addr[:], binary.BigEndian.Uint32(b))
	return netip.AddrPortFrom(netip.AddrFrom4(addr), uint16(p)), nil
}
