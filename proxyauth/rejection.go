package proxyauth

import (
	"context"
	"slices"
	"time"
)

// A rejection is credentials that the proxy refused.
type rejection struct {
	scheme Scheme
	realm  string
	cred   Credentials
	at     time.Time
}

// reject notes that the proxy refused the credentials of st.
func (r *route) reject(st *standing, realm string) {
	r.mu.Lock()
	now := time.Now()
	kept := r.rejections[:0]
	for _, old := range r.rejections {
		if now.Sub(old.at) < r.t.rejectedFor {
			kept = append(kept, old)
		}
	}
	if len(kept) >= maxRejections {
		kept = append(kept[:0], kept[1:]...)
	}
	if r.prepared != nil && r.prepared.cred == st.cred {
		r.prepared = nil
	}
	r.rejections = append(kept, rejection{st.scheme, realm, st.cred, now})
	r.t.counters.rejections.Add(1)
	theirs := r.identity != nil && *r.identity == st.cred
	if theirs {
		r.identity = nil
	}
	r.mu.Unlock()
	if theirs {
		r.renewTunnel()
	}
	// The route's standing may be another one of these credentials, if st has a
	// nonce to itself.
	if now := r.standing.Load(); now != nil && now.scheme == st.scheme && now.cred == st.cred {
		r.leave(now)
	}
	st.retire()
}

// maxRejections bounds the memory of a route whose source keeps giving other
// wrong credentials.
const maxRejections = 64

// rejected reports whether the proxy refused c for scheme not long ago, and how
// often it did for any.
func (r *route) rejected(scheme string, c Credentials) (this bool, times int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, old := range r.rejections {
		if old.cred == c && time.Since(old.at) < r.t.rejectedFor {
			times++
			this = this || old.scheme.Name() == scheme
		}
	}
	return this, times
}

// allRejected returns the credentials that the proxy refused not long ago, each
// once.
func (r *route) allRejected() []Credentials {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Credentials
	for _, old := range r.rejections {
		if time.Since(old.at) < r.t.rejectedFor && !slices.Contains(all, old.cred) {
			all = append(all, old.cred)
		}
	}
	return all
}

// mayTryAgain reports whether something has changed since the refusal st: time
// has passed, or the source has credentials that were not refused yet.
func (r *route) mayTryAgain(ctx context.Context, st *standing) bool {
	if time.Now().After(st.until) {
		return true
	}
	type question struct {
		scheme Scheme
		realm  string
	}
	asked := make(map[question]bool)
	r.mu.Lock()
	rejections := slices.Clone(r.rejections)
	r.mu.Unlock()
	for _, old := range rejections {
		q := question{old.scheme, old.realm}
		if asked[q] {
			continue
		}
		asked[q] = true
		c, _, err := r.credentials(ctx, old.scheme, old.realm)
		if err != nil {
			continue
		}
		if this, _ := r.rejected(old.scheme.Name(), c); !this {
			return true
		}
	}
	return false
}
