package redis

import (
	"context"
	"crypto/sha1" //nolint:gosec // it is how Redis names scripts
	_ "embed"
	"encoding/hex"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gabblehq/chat"
)

var (
	//go:embed lua/lib.lua
	libLua string
	//go:embed lua/life.lua
	lifeLua string
	//go:embed lua/hint.lua
	hintLua string
	//go:embed lua/trim.lua
	trimLua string
	//go:embed lua/append.lua
	appendLua string
	//go:embed lua/read.lua
	readLua string
	//go:embed lua/rooms.lua
	roomsLua string
	//go:embed lua/presence.lua
	presenceLua string
	//go:embed lua/limit.lua
	limitLua string
)

// script is a Lua program that the server keeps by the hash of its source.
type script struct {
	source, hash string
	parts        bool // a run answers each of its parts
}

func newScript(source string) *script {
	sum := sha1.Sum([]byte(source)) //nolint:gosec // see above
	return &script{source: source, hash: hex.EncodeToString(sum[:])}
}

// scripts are the store's own.
type scripts struct{ append, read, rooms, presence *script }

func newScripts() scripts {
	include := strings.NewReplacer("--include trim.lua", trimLua, "--include life.lua", lifeLua,
		"MAX_PAST", strconv.Itoa(chat.MaxPast)).Replace
	s := scripts{
		append:   newScript(libLua + hintLua + include(appendLua)),
		read:     newScript(libLua + include(readLua)),
		rooms:    newScript(libLua + hintLua + include(roomsLua)),
		presence: newScript(libLua + hintLua + include(presenceLua)),
	}
	s.append.parts = true
	return s
}

// command is one run of a script. The client neither runs it again when its
// outcome is unknown, whatever MaxRetries says, nor on a replica, whatever
// ReadOnly says: to the driver every EVALSHA may write.
type command struct {
	*goredis.Cmd
	script *script
}

// NoRetry implements [goredis.Cmder].
func (*command) NoRetry() bool { return true }

func (sc *script) command(ctx context.Context, keys []string, argv ...any) *command {
	args := make([]any, 0, 3+len(keys)+len(argv))
	args = append(args, "evalsha", sc.hash, len(keys))
	for _, k := range keys {
		args = append(args, k)
	}
	return &command{goredis.NewCmd(ctx, append(args, argv...)...), sc}
}

// whole is the same command with the source in place of the hash, for a
// server that does not know the script, or no longer.
func (c *command) whole(ctx context.Context) *command {
	args := append([]any{"eval", c.script.source}, c.Args()[2:]...)
	return &command{goredis.NewCmd(ctx, args...), c.script}
}
