package poll

import (
	"reflect"
	"syscall"

	"github.com/mailru/easygo/netpoll"
	"golang.org/x/sys/unix"
)

// createEpoll makes easygo's instance. easygo opens its two descriptors without
// close-on-exec, so children of os/exec would inherit them; the flag is set
// before any child can be forked.
func createEpoll(onError func(error)) (*netpoll.Epoll, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	ep, err := netpoll.EpollCreate(&netpoll.EpollConfig{OnWaitError: onError})
	if err != nil {
		return nil, err
	}
	// The numbers are private and never change once EpollCreate has returned. A
	// release without these fields would cost the flag, nothing else.
	v := reflect.ValueOf(ep).Elem()
	for _, name := range []string{"fd", "eventFd"} {
		if f := v.FieldByName(name); f.IsValid() && f.CanInt() {
			unix.CloseOnExec(int(f.Int()))
		}
	}
	return ep, nil
}
