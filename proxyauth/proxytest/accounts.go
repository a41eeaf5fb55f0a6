package proxytest

import (
	"maps"
	"sync"
)

// accounts are the users of a proxy, or of one of its realms, and their
// passwords.
type accounts struct {
	mu        sync.Mutex
	passwords map[string]string
}

func newAccounts(passwords map[string]string) *accounts {
	a := &accounts{passwords: make(map[string]string)}
	maps.Copy(a.passwords, passwords)
	return a
}

// password returns the password of a user, and whether there is such a user.
func (a *accounts) password(user string) (string, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	password, ok := a.passwords[user]
	return password, ok
}

// SetUser adds a user, or changes the password of one, from the next request
// on. Those of a [Realm] are not changed.
func (p *Proxy) SetUser(name, password string) {
	a := p.accounts
	a.mu.Lock()
	defer a.mu.Unlock()
	a.passwords[name] = password
}

// RemoveUser forgets a user, from the next request on. Tunnels already open
// stay open, and connections authenticated stay so.
func (p *Proxy) RemoveUser(name string) {
	a := p.accounts
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.passwords, name)
}
