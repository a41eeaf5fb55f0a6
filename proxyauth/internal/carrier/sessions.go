package carrier

import (
	"crypto/tls"
	"slices"
	"sync"
)

// sessions are the TLS sessions with one https:// proxy, for new connections to resume
// (RFC 8446 §2.2, RFC 5077). Each owner has its own: a proxy may know by its session who
// the client is. A session is resumed no longer than crypto/tls allows, which looks at the
// certificate of the handshake that began it.
type sessions struct {
	mu     sync.Mutex
	owners []owned // last made last
}

// owned is the configuration for the connections of an owner, with the cache of its session.
type owned struct {
	owner  any
	config *tls.Config
}

// maxOwners bounds the owners whose sessions are kept. One that is out of use may come
// back for a message that has begun before.
const maxOwners = 16

// of returns the configuration for connections of an owner, which is only compared: nil
// for those on which nobody is authenticated, or anybody. config and host are those of the
// proxy.
func (s *sessions) of(owner any, config *tls.Config, host string) *tls.Config {
	resumes := resumable(config)
	if !resumes {
		owner = nil // it does not matter
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.owners {
		if o.owner == owner {
			return o.config
		}
	}
	config = tlsConfigFor(config, host)
	if resumes {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1) // there is one proxy
	}
	if len(s.owners) == maxOwners {
		s.owners = slices.Delete(s.owners, 0, 1)
	}
	s.owners = append(s.owners, owned{owner, config})
	return config
}

// resumable reports whether sessions are kept here. They are not where the configuration
// has a cache of its own, or none by its own wish; nor where a resumed session would pass
// over VerifyPeerCertificate, or keep a client certificate that GetClientCertificate may
// have replaced.
func resumable(config *tls.Config) bool {
	return config.ClientSessionCache == nil && !config.SessionTicketsDisabled &&
		config.VerifyPeerCertificate == nil && config.GetClientCertificate == nil
}

// forget makes the next connection of an owner begin a session.
func (s *sessions) forget(owner any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owners = slices.DeleteFunc(s.owners, func(o owned) bool { return o.owner == owner })
}
