package proxyauth

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Cached returns a source that asks another source and keeps each answer for the
// duration d: for secret managers, prompts, and whatever else is too slow or too
// expensive to be asked for each request. It keeps one answer for each proxy, scheme and
// realm, and at most 1,024; then the oldest goes.
//
// Credentials that a request names as Rejected are forgotten, and the source is asked
// again at once. If it gives the same again, they are returned, and the next requests
// ask the source once a second at most, until it gives others: a password that is
// corrected counts a second later.
//
// That there are no credentials is an answer, and kept like any other. An error is not
// kept: it is returned, and the next request asks again. Meanwhile a Transport uses the
// credentials that passed last, for 5 minutes at most: see [CredentialSource].
//
// Requests that ask at the same time are answered by one call of the source, which gets
// the context and the CredentialRequest of the first. The others stop waiting when their
// own context ends; when that of the first ends, another one asks. If d is zero or less,
// no answer is kept beyond that call. A nil source has no credentials.
func Cached(source CredentialSource, d time.Duration) CredentialSource {
	if source == nil {
		return FirstOf()
	}
	c := &cache{source: source, lifetime: d, kept: make(map[cacheKey]keptAnswer), asking: make(map[cacheKey]*inquiry)}
	return CredentialFunc(c.credentials)
}

const (
	maxCached = 1024        // answers that are kept
	askAgain  = time.Second // between two calls of a source that goes on to give what was rejected
)

// A cache is what Cached returns. It keeps nothing in a place where fmt looks.
type cache struct {
	source   CredentialSource
	lifetime time.Duration

	mu     sync.Mutex
	kept   map[cacheKey]keptAnswer
	asking map[cacheKey]*inquiry // calls of the source under way
}

// A cacheKey is what a source may tell apart.
type cacheKey struct {
	proxy         url.URL
	scheme, realm string
}

// A keptAnswer is what the source gave.
type keptAnswer struct {
	credentials Credentials
	err         error // nil, or one that says that there are none
	at          time.Time
	insisted    bool // it gave what it was told to be rejected
}

// An inquiry is a call of the source. Those who wait for it read the answer once done is
// closed.
type inquiry struct {
	done   chan struct{}
	answer keptAnswer
	broken bool // the request that called has ended before there was an answer
}

func (c *cache) credentials(ctx context.Context, req CredentialRequest) (Credentials, error) {
	key := cacheKey{*req.Proxy, req.Scheme, req.Realm}
	for {
		c.mu.Lock()
		kept, ok := c.kept[key]
		if ok && c.holds(kept, req) {
			c.mu.Unlock()
			return kept.credentials, kept.err
		}
		call := c.asking[key]
		if call == nil {
			call = &inquiry{done: make(chan struct{}), broken: true}
			c.asking[key] = call
			delete(c.kept, key)
			c.mu.Unlock()
			return c.ask(ctx, key, call, req)
		}
		c.mu.Unlock()
		select {
		case <-call.done:
			if a := call.answer; !call.broken && (a.insisted || !a.rejected(req)) {
				return a.credentials, a.err
			}
		case <-ctx.Done():
			return Credentials{}, context.Cause(ctx)
		}
	}
}

// holds reports whether an answer can be given once more.
func (c *cache) holds(a keptAnswer, req CredentialRequest) bool {
	age := time.Since(a.at)
	return age < c.lifetime && (!a.rejected(req) || a.insisted && age < askAgain)
}

func (a keptAnswer) rejected(req CredentialRequest) bool {
	return slices.Contains(req.Rejected, a.credentials)
}

// ask calls the source for all who wait for the call. If it panics, another one asks.
func (c *cache) ask(ctx context.Context, key cacheKey, call *inquiry, req CredentialRequest) (Credentials, error) {
	defer func() {
		c.mu.Lock()
		delete(c.asking, key)
		if !call.broken && (call.answer.err == nil || errors.Is(call.answer.err, ErrNoCredentials)) {
			c.keep(key, call.answer)
		}
		c.mu.Unlock()
		close(call.done)
	}()
	var a keptAnswer
	a.credentials, a.err = c.source.ProxyCredentials(ctx, req)
	a.at, a.insisted = time.Now(), a.rejected(req)
	call.answer, call.broken = a, a.err != nil && ctx.Err() != nil
	return a.credentials, a.err
}

// keep takes in an answer, in the place of the oldest if there is no other. c.mu is held.
func (c *cache) keep(key cacheKey, a keptAnswer) {
	if c.lifetime <= 0 {
		return
	}
	if len(c.kept) >= maxCached { // key is not among them
		var oldest cacheKey
		var at time.Time
		for k, other := range c.kept {
			if at.IsZero() || other.at.Before(at) {
				oldest, at = k, other.at
			}
		}
		delete(c.kept, oldest)
	}
	c.kept[key] = a
}
