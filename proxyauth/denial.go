package proxyauth

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/secret"
)

// A denial is a 407 of the proxy, or another answer that ends a request.
type denial struct {
	challenges []challenge.Challenge
	malformed  bool // there are others, which cannot be read: see faults

	resp   *http.Response
	page   []byte // the beginning of the body
	whole  bool   // page is all of it
	ended  bool   // the body has been read, or is not to be
	hangUp func(*http.Response)
}

const (
	// What is read of a denial's body, and for how long, so that the connection can be
	// used again.
	maxDrain = 64 << 10
	drainFor = 500 * time.Millisecond
)

// readDenial reads the header of an answer. What is only for an error is not made yet.
// hangUp ends reading of the body, at any time.
func readDenial(resp *http.Response, hangUp func(*http.Response)) denial {
	challenges, err := scheme.ParseChallenges(resp.Header["Proxy-Authenticate"])
	return denial{challenges: challenges, malformed: err != nil, resp: resp, hangUp: hangUp}
}

// drain reads the body to its end, so that the connection can be kept, if it is short
// and comes soon; ctx ends it, too.
func (d *denial) drain(ctx context.Context) {
	if !d.ended {
		d.ended = true
		d.page, d.whole = carrier.Drain(ctx, d.resp, d.hangUp, drainFor, maxDrain)
	}
}

// safePage returns the beginning of the proxy's page, without the secrets that were sent.
func (d *denial) safePage(ctx context.Context, sent *secret.Sent) []byte {
	if d.resp.StatusCode/100 == 2 {
		return nil // a tunnel, or the origin's
	}
	d.drain(ctx)
	if d.whole {
		return sent.Strike(d.page)
	}
	return sent.StrikeCut(d.page)
}

// safeHeader returns what an error shows of the header, without the secrets that were sent.
func (d *denial) safeHeader(sent *secret.Sent) http.Header {
	return sent.StrikeHeader(shownPart(d.resp.Header))
}

// challengesOf returns the challenges of one scheme.
func challengesOf(all []challenge.Challenge, scheme string) []challenge.Challenge {
	var offers []challenge.Challenge
	for _, c := range all {
		if c.Is(scheme) {
			offers = append(offers, c)
		}
	}
	return offers
}

// realmOf returns the realm of the challenge that is answered, the first.
func realmOf(offers []challenge.Challenge) string {
	if len(offers) == 0 {
		return ""
	}
	return offers[0].Params.Get("realm")
}

// realmShown returns the realm of the first challenge that has one, for people.
func realmShown(challenges []challenge.Challenge, sent *secret.Sent) string {
	for _, c := range challenges {
		if c.Has("realm") {
			return shown(c.Params.Get("realm"), sent)
		}
	}
	return ""
}

// names returns the schemes offered, each once, as the proxy writes them.
func names(challenges []challenge.Challenge, sent *secret.Sent) []string {
	var names []string
	for _, c := range challenges {
		name := fmt.Sprintf("%.40s", shown(c.Scheme, sent))
		if !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
			names = append(names, name)
		}
	}
	return names
}

// target returns the host of a request, host:port for a CONNECT, by which it is known
// what the target demands. Errors show no more of a URL: path and query may hold keys.
func target(req *http.Request) string {
	if req.Method == http.MethodConnect {
		return req.Host
	}
	return req.URL.Host
}
