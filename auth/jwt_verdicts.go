package auth

import (
	"crypto/sha256"
	"sync"
)

// maxVerdicts bounds the memory: about 2 MB when full.
const maxVerdicts = 32 << 10

// verdict stands for a token whose signature has been checked. It is a hash,
// so that nobody finds tokens in a memory dump.
type verdict [sha256.Size]byte

func verdictOf(token string) verdict { return sha256.Sum256([]byte(token)) }

// verdicts remembers which signatures are good. As the keys never change, a
// verdict stays right for ever; whether the token still is, is not its matter.
type verdicts struct {
	mu   sync.Mutex
	good map[verdict]struct{}
}

func newVerdicts() *verdicts { return &verdicts{good: make(map[verdict]struct{})} }

func (v *verdicts) has(d verdict) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, ok := v.good[d]
	return ok
}

// add remembers d. When full, some other is forgotten: it costs its token one
// more verification, and is as likely to be a stale one as any.
func (v *verdicts) add(d verdict) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.good) >= maxVerdicts {
		for some := range v.good {
			delete(v.good, some)
			break
		}
	}
	v.good[d] = struct{}{}
}
