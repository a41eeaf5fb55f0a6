package lockout

import (
	"slices"
	"time"
)

// mostAccounts bounds the memory of sources that rotate names or passwords.
const mostAccounts = 2048

// accounts are those that a Ledger remembers.
type accounts struct {
	pauses  *pauses
	byKey   map[Key]*account
	byUser  map[string]user
	refused map[*account]struct{} // those with a refusal that may count: see Ledger.Rejected
}

// user returns the accounts of a user name. First it counts their attempts that have had no
// answer for too long, so it is called before any of these accounts is read or changed.
func (all *accounts) user(now time.Time, name string) user {
	u := all.byUser[name]
	for _, a := range u {
		a.expire(now)
	}
	return u
}

// of returns the account of a key, which is kept once something is sent.
func (all *accounts) of(now time.Time, k Key) *account {
	a := all.byKey[k]
	if a == nil {
		a = &account{key: k, pauses: all.pauses}
	}
	a.used = now
	return a
}

// reported returns the account at which the answer to an attempt counts. The account that
// sent it may have been evicted since. Then it is kept again, with what has passed; or if
// there is another account of its key by now, that takes over that the scheme has passed.
func (all *accounts) reported(now time.Time, sent *account, scheme string) *account {
	a := all.byKey[sent.key]
	if a == nil {
		a = sent
	}
	if sent.trusts(scheme) {
		a.prove(scheme)
	}
	a.used = now
	all.keep(now, a)
	return a
}

// keep remembers an account, if need be in place of another.
func (all *accounts) keep(now time.Time, a *account) {
	if all.byKey[a.key] != nil {
		return
	}
	if len(all.byKey) >= mostAccounts {
		all.evict(now)
	}
	all.byKey[a.key] = a
	all.byUser[a.key.User] = append(all.byUser[a.key.User], a)
}

// evict forgets the account that is worth least, and was unused for longest among equals.
func (all *accounts) evict(now time.Time) {
	var least *account
	var worth int
	for _, a := range all.byKey {
		if w := a.worth(now); least == nil || w < worth || w == worth && a.used.Before(least.used) {
			least, worth = a, w
		}
	}
	least.forget()
	least.freely.Store(nil)
	delete(all.byKey, least.key)
	delete(all.refused, least)
	name := least.key.User
	all.byUser[name] = slices.DeleteFunc(all.byUser[name], func(a *account) bool { return a == least })
	if len(all.byUser[name]) == 0 {
		delete(all.byUser, name)
	}
}

// note remembers whether an account has a refusal. It follows each attempt and answer.
func (all *accounts) note(a *account) {
	if a.refused+a.sum().refused == 0 {
		delete(all.refused, a)
		return
	}
	all.refused[a] = struct{}{}
}
