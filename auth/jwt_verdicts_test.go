package auth_test

import (
	"testing"

	"github.com/gabblehq/chat/auth"
	"github.com/stretchr/testify/require"
)

func TestVerdictsAreBounded(t *testing.T) {
	n, last := auth.VerdictsAfter(100)
	require.Equal(t, 100, n)
	require.True(t, last)
	n, last = auth.VerdictsAfter(3 * auth.MaxVerdicts)
	require.Equal(t, auth.MaxVerdicts, n)
	require.True(t, last, "the newest stays")
}
