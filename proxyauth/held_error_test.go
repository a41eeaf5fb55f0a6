package proxyauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
)

// A hold is how credentials come to be held back.
type hold struct {
	answer   scripted.Answer // to requests with credentials
	stale    bool            // instead: a fresh nonce each time, with stale=true
	way      string
	patience time.Duration // of the requests
	sent     int           // requests that are
	met      []error       // what they end in, one of these; nil: in something else
	status   int           // of the ConnectError that they end in; 0: in none

	held []error       // what the request that is held ends in, one of these
	says string        // the text of both, of the answer that decided
	next time.Duration // the next try, after the last answer
}

var (
	onlyRejected = []error{proxyauth.ErrRejected}
	onlyHeld     = []error{proxyauth.ErrHeld}
	onlyFault    = []error{proxyauth.ErrProxyFault}
	askBasic     = scripted.Challenge("Basic", "realm", "r")
)

// holds are all the ways in which credentials that have never passed are held. After
// two unclear answers a request waits for its turn, for 5 or 6 seconds, and is sent;
// after three the next would have to wait for a minute.
var holds = map[string]hold{
	"refused": {
		answer: askBasic, way: "forward", sent: 2, met: onlyRejected,
		held: onlyRejected, says: "(?i)rejected|refused", next: 31 * time.Minute,
	},
	"refused CONNECT": {
		answer: askBasic, way: "tunnel", sent: 2, met: onlyRejected,
		held: onlyRejected, says: "(?i)rejected|refused", next: 31 * time.Minute,
	},
	"401": {
		answer: scripted.Status(401), way: "tunnel", sent: 3,
		held: onlyHeld, says: "401", next: time.Minute,
	},
	"403": {
		answer: scripted.Status(403), way: "tunnel", sent: 3, status: 403,
		held: onlyHeld, says: "403", next: time.Minute,
	},
	"closed": {
		answer: scripted.HangUp(), way: "tunnel", sent: 3,
		held: onlyHeld, says: "(?i)EOF|closed|ended", next: time.Minute,
	},
	"reset": {
		answer: scripted.Reset(), way: "tunnel", sent: 3, met: []error{syscall.ECONNRESET},
		held: onlyHeld, says: "reset", next: time.Minute,
	},
	"no answer": {
		answer: scripted.Stall(), way: "forward", patience: 10 * time.Second, sent: 3, met: []error{context.DeadlineExceeded},
		held: onlyHeld, says: "(?i)deadline|time|answer", next: time.Minute,
	},
	"empty 407 to CONNECT": {
		answer: scripted.Challenges(), way: "tunnel", sent: 3, met: onlyFault,
		held: onlyHeld, says: "(?i)407|challenge|nothing|misbehave", next: time.Minute,
	},
	"stale for ever": {
		stale: true, way: "forward", sent: 1, met: onlyFault,
		held: append(onlyRejected, onlyFault...), says: "(?i)stale|too old|rejected|refused", next: 31 * time.Minute,
	},
	"stale for ever to CONNECT": {
		stale: true, way: "tunnel", sent: 1, met: onlyFault,
		held: append(onlyRejected, onlyFault...), says: "(?i)stale|too old|rejected|refused", next: 31 * time.Minute,
	},
}

// script returns what the proxy says.
func (h hold) script() scripted.Script {
	if !h.stale {
		return scripted.Demand(askBasic, h.answer)
	}
	var nonces atomic.Int32
	return func(req *http.Request) scripted.Answer {
		params := []string{"realm", "r", "qop", "auth", "nonce", fmt.Sprint("n", nonces.Add(1))}
		if req.Header.Get("Proxy-Authorization") != "" {
			params = append(params, "stale", "true")
		}
		return scripted.Challenge("Digest", params...)
	}
}

// begin lets requests be sent until the next one is held, and returns when the last
// answer came.
func (h hold) begin(t *testing.T, w *world) (tr *watchedTransport, s *scripted.Proxy, last time.Time) {
	s = w.scripted(h.script())
	tr = w.through(s)
	for range h.sent {
		before := len(s.Authorizations())
		err := h.request(t, w, tr)
		require.Greater(t, len(s.Authorizations()), before, "it was sent: %v", err)
		require.Error(t, err)
		requireOneOf(t, err, h.met)
		require.Regexp(t, h.says, err.Error())
		h.requireStatus(t, err)
		last = time.Now()
	}
	return tr, s, last
}

// requireStatus looks for the answer to CONNECT in err.
func (h hold) requireStatus(t *testing.T, err error) {
	t.Helper()
	if h.status != 0 {
		var refused *proxyauth.ConnectError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, h.status, refused.StatusCode)
	}
}

func (h hold) request(t *testing.T, w *world, tr *watchedTransport) error {
	ctx := t.Context()
	if h.patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, h.patience)
		defer cancel()
	}
	return asks(ctx, tr, w.ways()[h.way])
}

// requireOneOf requires that err is one of these, and none of the others that tell
// why credentials do not pass, except that what is held wraps the answer that
// decided, which may be a fault.
func requireOneOf(t testing.TB, err error, these []error) {
	t.Helper()
	is := func(target error) bool { return errors.Is(err, target) }
	if len(these) > 0 {
		require.True(t, slices.ContainsFunc(these, is), "%v: none of %v", err, these)
	}
	for _, other := range []error{proxyauth.ErrRejected, proxyauth.ErrHeld, proxyauth.ErrProxyFault} {
		if !slices.Contains(these, other) && !(other == proxyauth.ErrProxyFault && is(proxyauth.ErrHeld)) {
			require.NotErrorIs(t, err, other)
		}
	}
}

// R8, R38: a request that is not sent says which answer decided, when the next try
// is, and what to do. ErrRejected is only what was refused; a fault of the proxy is
// one for who meets it. There is no secret in any of it: see [watched].
func TestHeldRequestSaysWhy(t *testing.T) {
	for name, h := range holds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				tr, s, last := h.begin(t, w)
				requests := len(s.Requests())
				begin := time.Now()
				err := h.request(t, w, tr)
				require.Zero(t, time.Since(begin))
				require.Len(t, s.Requests(), requests)

				requireOneOf(t, err, h.held)
				var held *proxyauth.AuthError
				require.ErrorAs(t, err, &held)
				require.Equal(t, s.URL().String(), held.Proxy)
				require.WithinDuration(t, last.Add(h.next+time.Second), held.NextTry, time.Second, "a second later at the same target")
				require.Regexp(t, h.says, err.Error())
				require.ErrorContains(t, err, "not sent")
				require.Regexp(t, `\b(in|for|at|after|until) [^;:,)]*\d`, err.Error(), "when the next try is")
				require.Regexp(t, `(?i)check|wait|ask|look|ForgetRejections`, err.Error(), "what to do")
				h.requireStatus(t, err)
				require.EqualValues(t, 1, tr.Stats().NotSent)

				time.Sleep(time.Until(held.NextTry))
				sent := len(s.Authorizations())
				h.request(t, w, tr)
				require.Greater(t, len(s.Authorizations()), sent, "the next try is made")
			})
		})
	}
}

// R8, R38: a request waits for no longer than 30 seconds for the attempts of others
// that get no answer.
func TestHeldByAttemptUnderWay(t *testing.T) {
	for _, way := range ways {
		inBubble(t, func(t *testing.T, w *world) {
			tr, s := w.withAttemptsUnderWay(t)
			begin := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := asks(ctx, tr, w.ways()[way])
			require.Equal(t, 30*time.Second, time.Since(begin))
			requireOneOf(t, err, onlyHeld)
			require.Regexp(t, `(?i)another|other|under way`, err.Error())
			require.Len(t, s.Authorizations(), 2)
		})
	}
}

// withAttemptsUnderWay has two requests sent to a proxy that does not answer.
func (w *world) withAttemptsUnderWay(t *testing.T) (*watchedTransport, *scripted.Proxy) {
	s := w.scripted(scripted.Demand(askBasic, scripted.Stall()))
	tr := w.through(s)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	for range 2 {
		go asks(ctx, tr, w.HTTP.URL)
		time.Sleep(5 * time.Second)
	}
	require.Len(t, s.Authorizations(), 2)
	return tr, s
}

// R32, R38: of a stream that goes with a request which is not sent nothing is read,
// and it is closed.
func TestHeldRequestLeavesStream(t *testing.T) {
	for _, name := range []string{"refused", "403", "under way"} {
		for _, way := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world) {
					var tr *watchedTransport
					if name == "under way" {
						tr, _ = w.withAttemptsUnderWay(t)
					} else {
						tr, _, _ = holds[name].begin(t, w)
					}
					body := &untouched{}
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					req, err := http.NewRequestWithContext(ctx, "POST", w.ways()[way], body)
					require.NoError(t, err)
					_, err = tr.RoundTrip(req)
					require.ErrorContains(t, err, "not sent")
					require.Zero(t, body.read.Load())
					require.Positive(t, body.closed.Load())
				})
			})
		}
	}
}

// untouched is a stream that notes what is done to it.
type untouched struct{ read, closed atomic.Int32 }

func (u *untouched) Read([]byte) (int, error) { u.read.Add(1); return 0, io.EOF }
func (u *untouched) Close() error             { u.closed.Add(1); return nil }
