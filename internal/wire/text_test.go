package wire

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVisible(t *testing.T) {
	for _, s := range []string{
		"a", " a ", "\u200b.", "é", "e\u0301", "李", "👍", "👍🏽", "1️⃣", "🇫🇷", "\u0915\u093f", "\ufffd", "_", "\u00a8", "\ue000",
	} {
		require.True(t, Visible(s), "%+q", s)
	}
	for _, s := range []string{
		"", " ", "\t\n\r\v\f", "\u00a0", "\u2003\u3000", "\u2028\u2029", "\u0085", "\u200b", "\u200b\u200c\u200d", "\u2060\u2063", "\ufeff", "\u00ad",
		"\u061c\u200e\u200f", "\u202a\u202e", "\u2066\u2069", "\u034f", "\u115f\u1160", "\u3164", "\uffa0", "\u2800", "\u2800 \u2800", "\u180b\u180e\u180f",
		"\u17b4\u17b5", "\ufe0f", "\ufe00", "\U000e0100", "\U000e0001\U000e0041\U000e007f", "\U000e0fff", "\u0301", "\u20dd", "\u0903", "\u20e3\ufe0f", "\ufff9\ufffb",
		"\ufff0", "\u206a", "\ufffc", "\U0001d159", "\U0001d173", "\U0001bca0", "\U00013441", "\x00\x1b\x7f", "\ufffe", "\U0001ffff",
	} {
		require.False(t, Visible(s), "%+q", s)
	}
}

func TestValidURL(t *testing.T) {
	for _, s := range []string{"https://a.example/x?y#z", "http://a", "/x", "/", "/a//b", "https://[::1]:8080/", "/ü",
		"https://пример.example/a b", "https://a:80", "https://a:/x", "https://u:p@a.example/", "http://127.0.0.1/%zz", "https://a?b c", "https://a.example/@[x",
	} {
		require.True(t, ValidURL(s), s)
	}
	for _, s := range []string{
		"", "//evil.example", `/\evil.example`, `\\evil.example`, `/\/evil.example`, "/\t/evil.example", "/\n/evil.example", "https:///evil", "https://",
		"http://?x", "http:/evil", "javascript:alert(1)", "data:text/html,x", "x", "https://a\x7f", "https://a\u0085", "https://a\u2028", "/x\xff", `https:\\evil`,
		`https://a.example\@evil.example`, "ftp://a",
		"https://x y", "https://x\u00a0y/", "https://u @x", "https://[", "https://[]", "https://[x]", "https://[::1", "https://::1]", "https://[::1]x", "https://[1.2.3.4]",
		"https://a[b", "https://@", "https://u@/x", "https://:80", "https://a:x", "https://a:70000", "https://a:80:80", "https://<a>", "https://a|b", "https://a{b}",
	} {
		require.False(t, ValidURL(s), "%q", s)
	}
}

func TestOneLine(t *testing.T) {
	for s, want := range map[string]bool{"": true, "Lobby 👍": true, "a\nb": false, "a\rb": false, "a\x1b[31m": false, "a\u0085": false, "a\u2028b": false, "a\u009b1m": false, "a\xff": false, "a\tb": false} {
		require.Equal(t, want, OneLine(s), "%q", s)
	}
	for s, want := range map[string]bool{"a\nb\tc": true, "a\x1b[31m": false, "a\u009b1m": false, "a\x00": false, "\xff": false} {
		require.Equal(t, want, Lines(s), "%q", s)
	}
}
