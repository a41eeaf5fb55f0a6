package proxyauth

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/secret"
)

// A denial is a 407 of the proxy, read, and what was tried before it.
type denial struct {
	challenges []challenge.Challenge
	found      []finding
	failures   map[string]*schemeError // of schemes that failed before the proxy could refuse
	tried      []string                // schemes for which credentials were sent
	source     string                  // where those came from
	refused    bool                    // by the proxy
	sent       secret.Sent             // what must not show up in an error

	resp   *http.Response
	page   []byte // the beginning of its body, when that was read
	ended  bool   // it was
	hangUp func(*http.Response)
}

const (
	maxPage  = 4 << 10                // of the proxy's page for the error
	maxDrain = 64 << 10               // of the page, to keep the connection,
	drainFor = 500 * time.Millisecond // if it does not trickle
	maxKeep  = 1 << 20                // the same where the next leg can go on no other
	keepFor  = 10 * time.Second
)

// read takes in the header of a 407 or of another last answer.
func (d *denial) read(resp *http.Response, hangUp func(*http.Response)) {
	d.resp, d.hangUp, d.page, d.ended = resp, hangUp, nil, false
	var err error
	d.challenges, err = parseChallenges(resp.Header["Proxy-Authenticate"])
	if err != nil {
		// Once more for the error, which shortens what it quotes: no part of a
		// secret can be found in it.
		_, err = parseChallenges(d.sent.StrikeAll(resp.Header["Proxy-Authenticate"]))
	}
	d.found = malformed(err)
}

// drain reads the body to its end, so that net/http keeps the connection, if it
// is short and comes soon; ctx ends it, too.
func (d *denial) drain(ctx context.Context) { d.drainWithin(ctx, drainFor, maxDrain) }

func (d *denial) drainWithin(ctx context.Context, limit time.Duration, max int64) {
	if d.ended {
		return
	}
	d.ended = true
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	resp, hangUp := d.resp, d.hangUp // and not d, which would then be on the heap for every request
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { hangUp(resp); close(ended) })
	d.page, _ = io.ReadAll(io.LimitReader(d.resp.Body, maxPage))
	io.CopyN(io.Discard, d.resp.Body, max)
	if !stop() {
		<-ended // it must not meet the next connection
	}
	d.hangUp(d.resp)
}

// of returns the challenges of one scheme.
func (d *denial) of(scheme string) []challenge.Challenge { return challengesOf(d.challenges, scheme) }

func challengesOf(all []challenge.Challenge, scheme string) []challenge.Challenge {
	var offers []challenge.Challenge
	for _, c := range all {
		if c.Is(scheme) {
			offers = append(offers, c)
		}
	}
	return offers
}

// names returns the schemes offered, each once, as the proxy writes them.
func (d *denial) names() []string { return names(d.challenges, &d.sent) }

func names(challenges []challenge.Challenge, sent *secret.Sent) []string {
	var names []string
	for _, c := range challenges {
		name := fmt.Sprintf("%.40s", sent.StrikeString(c.Scheme))
		if !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
			names = append(names, name)
		}
	}
	return names
}

// end returns the error of a request that the denial ends.
func (d *denial) end(r *route, req *http.Request, why error) *AuthError {
	realm := ""
	if i := slices.IndexFunc(d.challenges, func(c challenge.Challenge) bool { return c.Has("realm") }); i >= 0 {
		realm = d.sent.StrikeString(d.challenges[i].Params.Get("realm"))
	}
	e := &AuthError{Proxy: r.name, Target: target(req), Realm: realm, tried: slices.Clone(d.tried), Err: why, at: time.Now()}
	e.Schemes, e.reasons = outcomesOf(d.names(), d.tried, d.found)
	if d.resp != nil {
		e.StatusCode, e.Status, e.Header, e.Body = d.resp.StatusCode, d.sent.StrikeString(d.resp.Status), d.safeHeader(), d.safePage(req)
	}
	return e
}

// target is what of a request an error may show: a path or a query may hold
// keys.
func target(req *http.Request) string {
	if req.Method == http.MethodConnect {
		return req.Host
	}
	return req.URL.Host
}

// again returns the error for another request that meets the same refusal and
// is not sent.
func (e *AuthError) again(req *http.Request) *AuthError {
	repeated := *e
	repeated.Target = target(req)
	repeated.remembered = true
	return &repeated
}

// safePage returns the beginning of the proxy's page.
func (d *denial) safePage(req *http.Request) []byte {
	if d.resp.StatusCode/100 == 2 {
		return nil // a tunnel, or the origin's
	}
	d.drain(req.Context())
	if len(d.page) == maxPage {
		return d.sent.StrikeCut(d.page)
	}
	return d.sent.Strike(d.page)
}

func (d *denial) safeHeader() http.Header {
	header := d.resp.Header.Clone()
	for name, values := range header {
		header[name] = d.sent.StrikeAll(values)
	}
	return header
}
