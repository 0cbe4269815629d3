package outage_test

import (
	"testing"

	"github.com/gabblehq/chat/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }
