package proxytest

// Restart makes the proxy forget what a real one forgets when it is restarted,
// and offer the schemes given from then on, or those of before if there are
// none: another realm, another algorithm. A [Realm] keeps its own. Nonces are
// unknown, handshakes that have begun cannot go on, and connections are not
// authenticated any more. They stay open, as when squid is told to reconfigure;
// see [Proxy.CloseClientConnections]. The users, the transcript and the counters
// stay, and so do the keys of [Negotiate], if its encryption type does.
//
// Credentials of [Digest] for a challenge from before get a fresh one, also if
// their realm or their algorithm is not offered any more, with stale=true if the
// password is right; with [Digest].NeverStale in no case.
func (p *Proxy) Restart(auth ...Auth) {
	p.mu.Lock()
	before := p.spaces
	p.mu.Unlock()
	var after []*space
	for i, old := range before {
		if i < len(before)-1 || len(auth) == 0 {
			after = append(after, old.restart(p, old.auth))
		} else {
			after = append(after, old.restart(p, auth))
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spaces = after
}

// heir is a scheme that takes over what outlives a restart.
type heir interface {
	inherit(from scheme)
}

func (s *space) restart(p *Proxy, auth []Auth) *space {
	after := newSpace(p, s.targets, auth, s.accounts)
	for _, scheme := range after.schemes {
		if heir, ok := scheme.(heir); ok {
			for _, old := range s.schemes {
				heir.inherit(old)
			}
		}
	}
	return after
}

// inherit makes a proxy judge the credentials for a challenge that it does not
// remember.
func (d *digest) inherit(from scheme) {
	if _, ok := from.(*digest); ok {
		d.forgiving = true
	}
}

// inherit takes over the keys, which are in a file, so that tickets stay good.
func (n *negotiate) inherit(from scheme) {
	if old, ok := from.(*negotiate); ok && old.EncType == n.EncType {
		n.keys = old.keys
	}
}
