package middleware

import "github.com/gabblehq/chat"

// Commands of the protocol that package chat has no name for yet.
const (
	cmdRead   chat.CommandType = "read"
	cmdSearch chat.CommandType = "search"
)

// classOf is the class of a command, of one that is to come as well.
func classOf(cmd *chat.Command) chat.Class {
	switch cmd.Type {
	case cmdSearch:
		return chat.ClassRead
	case cmdRead:
		return chat.ClassSignal
	}
	return cmd.Class()
}
