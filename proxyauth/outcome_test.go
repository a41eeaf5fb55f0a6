//go:build gate

package proxyauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// kind names the outcome for the summary.
func (out outcome) kind(path string) string {
	var auth *proxyauth.AuthError
	var connect *proxyauth.ConnectError
	switch {
	case out.err == nil && out.status == 200 && out.body == answerTo(path):
		return "answered"
	case out.err == nil:
		return "answered otherwise"
	case errors.As(out.err, &auth):
		return strings.TrimPrefix(auth.Err.Error(), "proxyauth: ")
	case errors.As(out.err, &connect):
		return "ConnectError"
	case isDeadline(out.err):
		return "deadline"
	}
	return "error"
}

func isDeadline(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// judge returns what is wrong with an outcome.
func (p *trip) judge(f fault, out outcome) (complaints []string) {
	complain := func(format string, args ...any) { complaints = append(complaints, fmt.Sprintf(format, args...)) }
	changed := f.kind == corrupt || f.kind == insert
	opaque := p.a.tls || p.a.way == "tunnel" // TLS notices a change, or it is without effect
	if out.nilNil {
		complain("neither a response nor an error")
	}
	if out.closed != 1 && out.closed != -1 {
		complain("the request body was closed %d times", out.closed)
	}
	switch kind := out.kind(p.path); {
	case kind == "answered otherwise" && (!changed || opaque || out.status == http.StatusProxyAuthRequired):
		complain("answered %d %q", out.status, out.body)
	case f.kind == trickle && kind != "answered":
		complain("slow, and no more, but: %v", out.err)
	case kind == "deadline" && !changed && f.kind != stalls:
		complain("waited for a connection that had ended: %v", out.err)
	case errors.Is(out.err, proxyauth.ErrRejected) && !p.wasRefused():
		complain("the proxy did not refuse, but: %v", out.err)
	case errors.Is(out.err, proxyauth.ErrRejected) && !changed:
		complain("right credentials are rejected: %v", out.err)
	}
	if err := out.err; err != nil && !strings.HasPrefix(err.Error(), "proxyauth: ") {
		var late answerError
		ours := strings.HasSuffix(reflect.Indirect(reflect.ValueOf(err)).Type().PkgPath(), "/proxyauth") || p.a.way == "dial"
		if ours && !errors.As(err, &late) && err != context.DeadlineExceeded {
			complain("an error of this package: %v", err)
		}
	}
	if err := out.err; err != nil {
		shown, _ := json.Marshal(err)
		text := fmt.Sprintf("%v %+v %#v %s", err, err, err, shown)
		for what, secret := range secretShapes() {
			if strings.Contains(text, secret) {
				complain("%s in: %v", what, err)
			}
		}
		for _, field := range authorizations(p.proxy) {
			if _, token, _ := strings.Cut(field, " "); len(token) >= 8 && strings.Contains(text, token) {
				complain("what was sent in: %v", err)
			}
		}
	}
	if n := p.proxy.Attempts("alice"); n > 4 {
		complain("%d attempts at the account", n)
	}
	if n := p.proxy.Refused("alice"); n > 1 || n > 0 && !changed {
		complain("%d wrong attempts at the account", n)
	}
	return complaints
}

// wasRefused reports whether the proxy refused credentials that were complete.
func (p *trip) wasRefused() bool {
	return slices.ContainsFunc(p.proxy.Transcript(), func(leg proxytest.Leg) bool {
		return leg.Header.Get("Proxy-Authorization") != "" && leg.Status/100 == 4
	})
}

// faultCounts are about the runs of the matrix.
type faultCounts struct {
	mu                           sync.Mutex
	positions, unreached         int
	journeys, legs               int
	hangs, panics, leaks, broken int
	outcomes                     map[string]int
}

func (y *faultCounts) note(outcome string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.positions++
	y.outcomes[outcome]++
}

func (y *faultCounts) count(n *int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	*n++
}

// An error that a program makes itself, as its tests do, reads as one of a Transport.
func TestConnectErrorOfOnesOwn(t *testing.T) {
	for scheme, grows := range map[string]bool{"Negotiate": true, "NTLM": false, "Other": false, "": false} {
		err := &proxyauth.ConnectError{StatusCode: http.StatusRequestHeaderFieldsTooLarge, Tried: scheme}
		require.Equal(t, grows, strings.Contains(err.Error(), "a Kerberos token grows"), err.Error())
	}
}
