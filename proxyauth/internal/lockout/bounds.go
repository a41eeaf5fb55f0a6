package lockout

import (
	"slices"
	"time"
)

// mostAccounts bounds the memory of sources that rotate names or passwords.
const mostAccounts = 2048

// account returns the account of a key, which is kept once something is sent.
func (l *Ledger) account(now time.Time, k Key) *account {
	a := l.accounts[k]
	if a == nil {
		a = &account{key: k}
	}
	a.used = now
	return a
}

// reported returns the account of an attempt. One that was evicted meanwhile is
// back by that, with what has passed; where there is another of its key by now,
// that is told what has passed.
func (l *Ledger) reported(now time.Time, sent Attempt) *account {
	a := l.accounts[sent.Key]
	if a == nil {
		a = sent.account
	}
	if sent.account.trusts(sent.Scheme) && !a.trusts(sent.Scheme) {
		a.proves(sent.Scheme)
	}
	a.used = now
	return a
}

// keep makes room for a.
func (l *Ledger) keep(now time.Time, a *account) {
	if l.accounts[a.key] != nil {
		return
	}
	if len(l.accounts) >= mostAccounts {
		l.evict(now)
	}
	l.accounts[a.key] = a
	l.users[a.key.User] = append(l.users[a.key.User], a)
}

// evict forgets what is needed least: what has expired, then what is good, then
// what is unclear, and live refusals last; of each the one unused for longest.
func (l *Ledger) evict(now time.Time) {
	var least *account
	var worth int
	for _, a := range l.accounts {
		if w := l.worth(now, a); least == nil || w < worth || w == worth && a.used.Before(least.used) {
			least, worth = a, w
		}
	}
	least.forget()
	least.freely.Store(nil)
	delete(l.accounts, least.key)
	delete(l.refused, least)
	users := l.users[least.key.User]
	if users = slices.DeleteFunc(users, func(a *account) bool { return a == least }); len(users) == 0 {
		delete(l.users, least.key.User)
		return
	}
	l.users[least.key.User] = users
}

func (l *Ledger) worth(now time.Time, a *account) int {
	l.expireAt(now, a)
	s := a.sum()
	switch {
	case len(a.underWay) > 0:
		return 4
	case now.Sub(a.used) > max(longest, l.long):
		return 0
	case a.suspect() || s.refused > 0:
		return 3
	case s.unclear+s.nothing > 0:
		return 2
	}
	return 1
}
