package middleware

import "github.com/gabblehq/chat"

// class is what commands cost alike.
type class int

const (
	classWrite class = iota // also what this package has never heard of
	classConnect
	classAuth
	classJoin
	classRead
	classSignal
)

// Commands of the protocol that package chat has no name for yet.
const (
	cmdRead   chat.CommandType = "read"
	cmdSearch chat.CommandType = "search"
)

func classOf(typ chat.CommandType) class {
	switch typ {
	case chat.CmdConnect:
		return classConnect
	case chat.CmdAuth:
		return classAuth
	case chat.CmdJoin, chat.CmdLeave:
		return classJoin
	case chat.CmdHistory, chat.CmdMembers, chat.CmdPresence, chat.CmdRooms, cmdSearch:
		return classRead
	case chat.CmdTyping, cmdRead:
		return classSignal
	}
	return classWrite
}
