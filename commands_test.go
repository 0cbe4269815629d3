package chat

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/directory"
	"github.com/gabblehq/chat/internal/wire"
)

func TestEveryFrameOfAClientIsACommand(t *testing.T) {
	for _, typ := range []string{
		wire.TypeAuth, wire.TypeJoin, wire.TypeLeave, wire.TypeMessage, wire.TypeEdit, wire.TypeDelete,
		wire.TypeTyping, wire.TypeHistory, wire.TypePresence, wire.TypeMembers, wire.TypeRooms,
	} {
		require.Contains(t, commands, CommandType(typ))
	}
}

func TestEveryCommandHasAClass(t *testing.T) {
	classes := []Class{ClassConnect, ClassAuth, ClassJoin, ClassRead, ClassWrite, ClassSignal}
	for typ, k := range commands {
		require.Equal(t, typ, k.typ)
		require.Contains(t, classes, k.class, typ)
		require.Equal(t, k.class, (&Command{Type: typ}).Class())
	}
	require.Equal(t, ClassWrite, (&Command{Type: "of a later protocol"}).Class())
	err := unknownCommand.run(nil, context.Background(), visit{})
	require.ErrorIs(t, err, ErrInvalid)
}

func TestWhatIsReadInARoomIsCheckedAgain(t *testing.T) {
	for typ, k := range commands {
		require.Equal(t, k.class == ClassRead, k.again != nil, "%s shows what a permission may end for while it is being answered", typ)
	}
}

func TestEveryChangeHasAFrameOfItsOwn(t *testing.T) {
	s := &Server{opt: &Options{}}
	s.names = newNames(directory.New[*session](), nil)
	r := &liveRoom{srv: s, id: "r"}
	frame := func(k ChangeKind) string {
		return string(r.frame(&commit{change: Change{Kind: k}, result: Result{Room: RoomInfo{ID: "r"}}}))
	}
	for k, typ := range map[ChangeKind]string{
		ChangeCreateRoom: "room", ChangeUpdateRoom: "room", ChangeCreate: "message", ChangeEdit: "edit", ChangeDelete: "delete",
	} {
		require.Contains(t, frame(k), `"type":"`+typ+`"`)
	}
	require.Panics(t, func() { frame(ChangeDelete + 1) }, "an empty room, of what is none")
}
