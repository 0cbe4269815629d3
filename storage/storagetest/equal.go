package storagetest

import (
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

// plain makes equal what a store may tell apart or not: nil and empty, and
// how a time is written down. That times are UTC is a check of its own.
func plain(m chat.Message) chat.Message {
	m.CreatedAt, m.EditedAt, m.DeletedAt = m.CreatedAt.UTC(), m.EditedAt.UTC(), m.DeletedAt.UTC()
	if len(m.Mentions) == 0 {
		m.Mentions = nil
	}
	if len(m.Meta) == 0 {
		m.Meta = nil
	}
	m.Attachments = slices.Clone(m.Attachments)
	for i := range m.Attachments {
		if len(m.Attachments[i].Meta) == 0 {
			m.Attachments[i].Meta = nil
		}
	}
	if len(m.Attachments) == 0 {
		m.Attachments = nil
	}
	return m
}

func plainRoom(r chat.RoomInfo) chat.RoomInfo {
	r.CreatedAt = r.CreatedAt.UTC()
	if len(r.Peers) == 0 {
		r.Peers = nil
	}
	if len(r.Meta) == 0 {
		r.Meta = nil
	}
	return r
}

func plainAll(ms []chat.Message) []chat.Message {
	out := make([]chat.Message, len(ms))
	for i, m := range ms {
		out[i] = plain(m)
	}
	return out
}

func sameMessage(t tester, want, got chat.Message, what string) {
	t.Helper()
	require.Equal(t, plain(want), plain(got), what)
}

func sameMessages(t tester, want, got []chat.Message, what string) {
	t.Helper()
	require.Equal(t, plainAll(want), plainAll(got), what)
}

func sameRoom(t tester, want, got chat.RoomInfo, what string) {
	t.Helper()
	require.Equal(t, plainRoom(want), plainRoom(got), what)
}

func seqs(ms []chat.Message) []int64 {
	out := make([]int64, len(ms))
	for i, m := range ms {
		out[i] = m.Seq
	}
	return out
}

// span is the numbers from a to b.
func span(a, b int64) []int64 {
	out := []int64{}
	for ; a <= b; a++ {
		out = append(out, a)
	}
	return out
}
