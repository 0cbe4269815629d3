//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// Parent and child talk in lines of JSON over the child's standard input and
// output: an order, then any number of progress notes, then its outcome.

type order struct {
	Op   string          `json:"op"`
	Args json.RawMessage `json:"args,omitempty"`
}

type answer struct {
	Progress *int            `json:"progress,omitempty"`
	Error    string          `json:"error,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
}

// ops are the orders that a child understands.
type ops map[string]func(args json.RawMessage) (any, error)

// op makes an entry of ops from a function with typed arguments.
func op[A any](f func(A) (any, error)) func(json.RawMessage) (any, error) {
	return func(raw json.RawMessage) (any, error) {
		var a A
		if len(raw) > 0 {
			if err := json.Unmarshal(raw, &a); err != nil {
				return nil, err
			}
		}
		return f(a)
	}
}

// mouth is where a child's answers go.
type mouth struct {
	mu  sync.Mutex
	out io.Writer
}

func (m *mouth) say(a answer) {
	line, err := json.Marshal(a)
	if err != nil {
		line = []byte(`{"error":"answer not encoded"}`)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	_, _ = m.out.Write(append(line, '\n')) // whoever is gone needs no answer
}

func (m *mouth) progress(n int) { m.say(answer{Progress: &n}) }

// carry does one order.
func (o ops) carry(m *mouth, ord order) {
	f := o[ord.Op]
	if f == nil {
		m.say(answer{Error: "no op " + ord.Op})
		return
	}
	res, err := f(ord.Args)
	if err != nil {
		m.say(answer{Error: err.Error()})
		return
	}
	raw, err := json.Marshal(res)
	if err != nil {
		m.say(answer{Error: err.Error()})
		return
	}
	m.say(answer{Result: raw})
}

// orders reads until the parent closes the pipe.
func orders(in io.Reader, each func(order)) error {
	r := bufio.NewReader(in)
	for {
		line, err := r.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var ord order
		if err := json.Unmarshal(line, &ord); err != nil {
			return fmt.Errorf("order %.100q: %w", line, err)
		}
		each(ord)
	}
}
