package proxyauth

import (
	"sync/atomic"
	"time"
)

// A proof is how recently the proxy let credentials pass. While it is fresh any
// number of requests send them at once. When it is old they may have expired:
// then they go out under a lead again, since a thousand goroutines on a Monday
// morning must not try last week's password a thousand times.
type proof struct{ at atomic.Int64 } // Unix time in ns

const proofLasts = 10 * time.Second

func (p *proof) fresh() bool { return time.Now().UnixNano()-p.at.Load() < int64(proofLasts) }

// renew is called for each request that passes: it writes seldom, for the
// cache of the other processors.
func (p *proof) renew() {
	if now := time.Now().UnixNano(); now-p.at.Load() > int64(proofLasts/10) {
		p.at.Store(now)
	}
}

// certain reports whether st can be sent by many at once: the proxy let it pass
// not long ago, or it holds nothing that an account could be locked for.
func (st *standing) certain() bool { return st.scheme == nil || st.cred.empty() || st.proof.fresh() }
