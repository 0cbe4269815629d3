// Package poll is the event loop under the transport: readiness of raw file
// descriptors, wake-ups from other goroutines and a tick, on one goroutine.
//
// The waiting is easygo's (netpoll.Epoll). It watches one descriptor only, the
// loop's own epoll instance, and that instance watches the sockets: an epoll
// descriptor can itself be polled. So a connection costs no map entry and no
// closure, a batch of events has an end at which descriptors can be closed
// safely, and the loop can be woken.
//
// It exists on Linux; elsewhere the package is empty.
package poll
