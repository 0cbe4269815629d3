package chat

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

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
	err := unknown.run(nil, context.Background(), visit{})
	require.ErrorIs(t, err, ErrInvalid)
}

func TestWhatIsReadInARoomIsCheckedAgain(t *testing.T) {
	for typ, k := range commands {
		require.Equal(t, k.class == ClassRead, k.again != nil, "%s shows what a permission may end for while it is being answered", typ)
	}
}
