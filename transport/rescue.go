package transport

import (
	"fmt"
	"log/slog"
	"runtime/debug"
)

// rescue is deferred around every call of a Handler. A panic ends the connection
// that it happened on, and nothing else.
func (c *Conn) rescue() {
	v := recover()
	if v == nil {
		return
	}
	c.t.log.Error("transport: panic in a connection's handler", "panic", v, stack())
	c.fail(codeInternal, "internal error", fmt.Errorf("transport: panic: %v", v))
}

func stack() slog.Attr { return slog.String("stack", string(debug.Stack())) }

// tellClosed makes the last call.
func (c *Conn) tellClosed(e ending) {
	defer c.rescue()
	c.h.Closed(c, e.code, e.err)
}
