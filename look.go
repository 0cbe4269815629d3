package chat

import "github.com/gabblehq/chat/internal/wire"

// checkLook holds what is shown of a room in lists and headings to what can be shown
// there; "" is none.
func checkLook(title, topic, avatar string) error {
	switch {
	case !wire.OneLine(title):
		return &Error{Code: CodeInvalid, Message: "must be one line without control characters", Field: "title"}
	case title != "" && !wire.Visible(title):
		return &Error{Code: CodeInvalid, Message: "there is nothing to be seen of it", Field: "title"}
	case !wire.Lines(topic):
		return &Error{Code: CodeInvalid, Message: "must be without control characters", Field: "topic"}
	case avatar != "" && !wire.ValidURL(avatar):
		return &Error{Code: CodeInvalid, Message: "must be an http or https URL, or a path from /, of at most 2048 bytes", Field: "avatar"}
	}
	return nil
}
