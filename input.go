package chat

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/gabblehq/chat/internal/wire"
)

// What host code, a middleware, a store or another server hands in, and what
// goes into frames, is held here to what clients are held to by the decoder.

const (
	maxName  = 256         // bytes of a user's name that are shown
	maxTitle = 200         // characters
	maxTopic = 1000        // characters
	maxURL   = wire.MaxURL // bytes of an avatar
	maxSaid  = 1000        // bytes of an error's message
)

// cut returns the first n bytes of s, less what of its last character is in.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// wireError is an error of the codec as ours.
func wireError(err error) *Error {
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return &Error{Code: Code(e.Code), Message: e.Message, Field: e.Field}
	}
	return &Error{Code: CodeInvalid, Message: "not valid", cause: err}
}

// checkTexts holds texts, each after the name of its field, to what can cross
// the wire and lie in every store. What clients send has been held to it by
// the decoder.
func checkTexts(texts ...string) error {
	for i := 0; i < len(texts); i += 2 {
		switch text := texts[i+1]; {
		case strings.IndexByte(text, 0) >= 0:
			return &Error{Code: CodeInvalid, Message: "holds U+0000", Field: texts[i]}
		case !utf8.ValidString(text):
			return &Error{Code: CodeInvalid, Message: "is not UTF-8", Field: texts[i]}
		}
	}
	return nil
}

// compactMeta brings a meta object into the form that is kept. None stays nil,
// and what is empty but not nil, which clears, stays that.
func compactMeta(raw json.RawMessage, field string, limit int) (json.RawMessage, error) {
	if len(raw) == 0 {
		return raw, nil
	}
	m, err := wire.CompactMeta(raw)
	if err != nil {
		return nil, wireError(err).WithField(field)
	}
	if len(m) > limit {
		return nil, &Error{Code: CodeTooLarge, Message: "meta is too large", Field: field}
	}
	return m, nil
}
