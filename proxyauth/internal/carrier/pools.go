package carrier

import (
	"slices"
	"sync"
)

// pools are the pools of one proxy, one for each owner. A pool is made when its owner
// first opens a connection, and goes with the next that is made when it has no
// connections any more.
type pools struct {
	config poolConfig

	mu      sync.Mutex
	byOwner map[any]*pool
	retired []*pool // those of owners that are out of use, last retired last
}

// maxRetired bounds how many owners that are out of use are remembered: a message that
// has begun before may still open a connection for one, which is not kept.
const maxRetired = 256

// of returns the pool of an owner.
func (s *pools) of(owner any) *pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.make(owner)
}

// make returns the pool of an owner, and makes it if there is none. s.mu is held.
func (s *pools) make(owner any) *pool {
	if p := s.byOwner[owner]; p != nil {
		return p
	}
	for owner, p := range s.byOwner {
		if p.total == 0 && !p.retired {
			p.retire() // somebody may be about to use it
			delete(s.byOwner, owner)
		}
	}
	p := newPool(s.config, owner, &s.mu)
	if s.byOwner == nil {
		s.byOwner = make(map[any]*pool)
	}
	s.byOwner[owner] = p
	return p
}

// retire closes the idle connections of an owner, and keeps no others from then on.
func (s *pools) retire(owner any) {
	s.mu.Lock()
	p := s.make(owner)
	idle := p.clear()
	if !p.retired {
		s.retired = append(s.retired, p)
	}
	p.retire()
	if len(s.retired) > maxRetired {
		delete(s.byOwner, s.retired[0].owner)
		s.retired = slices.Delete(s.retired, 0, 1)
	}
	s.mu.Unlock()
	closeAll(idle)
}

// closeIdleOf closes the idle connections of an owner.
func (s *pools) closeIdleOf(owner any) {
	s.mu.Lock()
	var idle []*pinned
	if p := s.byOwner[owner]; p != nil {
		idle = p.clear()
	}
	s.mu.Unlock()
	closeAll(idle)
}

// closeIdle closes the idle connections of all owners.
func (s *pools) closeIdle() {
	s.mu.Lock()
	var idle []*pinned
	for _, p := range s.byOwner {
		idle = append(idle, p.clear()...)
	}
	s.mu.Unlock()
	closeAll(idle)
}

func closeAll(idle []*pinned) {
	for _, c := range idle {
		c.Client.Close()
	}
}
