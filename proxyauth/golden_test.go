package proxyauth_test

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// goldenTrips holds the table, below an explanation of its notation.
const goldenTrips = "testdata/trips.txt"

// A cell of the table is a combination that has a proxy of its own.
type cell struct {
	number           int
	scheme           goldenScheme
	way, proxy, body string
	sessions         tls.ClientSessionCache // with the origin
	requests         int                    // so far
}

// A goldenScheme is a scheme as a proxy demands it.
type goldenScheme struct {
	name  string
	auth  proxytest.Auth
	field []string // what each Proxy-Authorization holds
}

var goldenSchemes = []goldenScheme{
	{"Basic", proxytest.Basic{Realm: "r"}, nil},
	{"Digest MD5", goldenDigest("MD5", "auth"), []string{"algorithm=MD5,", "qop=auth,"}},
	{"Digest SHA-256", goldenDigest("SHA-256", "auth"), []string{"algorithm=SHA-256,", "qop=auth,"}},
	{"Digest MD5-sess", goldenDigest("MD5-sess", "auth"), []string{"algorithm=MD5-sess,", "qop=auth,"}},
	{"Digest SHA-256 auth-int", goldenDigest("SHA-256", "auth-int"), []string{"algorithm=SHA-256,", "qop=auth-int,"}},
	{"NTLM", proxytest.NTLM{}, nil},
	{"Kerberos", proxytest.Negotiate{}, nil},
	{"Kerberos for each request", proxytest.Negotiate{PerRequest: true}, nil},
	{"NTLM in SPNEGO", proxytest.Negotiate{NTLM: &proxytest.NTLM{}}, nil},
}

func goldenDigest(algorithm, qop string) proxytest.Digest {
	return proxytest.Digest{Realm: "r", Algorithms: []string{algorithm}, QOP: []string{qop}, CheckURI: true}
}

// kerberos reports whether the scheme takes tickets, and no passwords.
func (s goldenScheme) kerberos() bool { return strings.HasPrefix(s.name, "Kerberos") }

// alone returns the scheme as a client names it.
func (s goldenScheme) alone(tickets proxyauth.NegotiateOptions) proxyauth.Scheme {
	switch s.auth.(type) {
	case proxytest.Basic:
		return proxyauth.Basic()
	case proxytest.Digest:
		return proxyauth.Digest()
	case proxytest.NTLM:
		return proxyauth.NTLM()
	}
	return proxyauth.Negotiate(tickets)
}

// cells are all combinations that can exist: DialContext takes no body.
func cells() (all []cell) {
	sessions := tls.NewLRUClientSessionCache(0)
	for _, scheme := range goldenSchemes {
		for _, way := range []string{"forward", "tunnel", "DialContext"} {
			bodies := []string{"no body", "replayable body", "stream"}
			if way == "DialContext" {
				bodies = []string{""}
			}
			for _, proxy := range []string{"http://", "https://"} {
				for _, body := range bodies {
					all = append(all, cell{number: len(all), scheme: scheme, way: way, proxy: proxy, body: body, sessions: sessions})
				}
			}
		}
	}
	return all
}

// R10, R16, R17, R25, R28, R32: what goes over the wire, leg by leg, is in a golden
// file. Each change of a line there is a decision; -update writes it down.
func TestGoldenTrips(t *testing.T) {
	all, stories := tell(t)
	file, err := os.ReadFile(goldenTrips)
	require.NoError(t, err)
	text := strings.ReplaceAll(string(file), "\r\n", "\n") // as git writes it on Windows
	notation, before, _ := strings.Cut(text, "\n\n")
	now := trips(all, stories)
	if before != now && !*update {
		// net/http does not keep a connection if, on a busy machine, it has not
		// noticed 50 ms after the answer that its request was written. Then there is
		// another connection than otherwise, by NTLM and Negotiate with a handshake.
		t.Logf("told once more, because of\n%s", diff(before, now))
		_, again := tell(t)
		now = trips(all, again)
	}
	if *update {
		require.NoError(t, os.WriteFile(goldenTrips, []byte(notation+"\n\n"+now), 0o644))
		return
	}
	if before != now {
		t.Errorf("other trips than in %s (-update writes these):\n%s", goldenTrips, diff(before, now))
	}
}

// tell runs all cells.
func tell(t *testing.T) ([]cell, [][]line) {
	o := newOrigin(t)
	all := cells()
	stories := make([][]line, len(all))
	t.Run("cell", func(t *testing.T) {
		for _, c := range all {
			t.Run(c.name(), func(t *testing.T) {
				t.Parallel()
				stories[c.number] = c.run(t, o)
			})
		}
	})
	require.Empty(t, o.proxyFields(), "fields for the proxy reached the origin")
	for _, story := range stories {
		require.NotEmpty(t, story, "the table is compared as a whole: run all of the test")
	}
	return all, stories
}

func (c *cell) name() string {
	return strings.Join([]string{c.scheme.name, c.way, c.proxy, c.body}, ",")
}

// A client is a Transport, and what of it changes in the course of a story.
type client struct {
	*proxyauth.Transport
	password atomic.Pointer[string]
	tickets  proxyauth.NegotiateOptions
}

// run tells the stories of a cell: each begins with a new Transport, and each
// situation in it is one request.
func (c *cell) run(t *testing.T, o *origin) []line {
	start := proxytest.New
	if c.proxy == "https://" {
		start = proxytest.NewTLS
	}
	p := start(proxytest.Config{Auth: []proxytest.Auth{c.scheme.auth}, Users: alice})
	t.Cleanup(p.Close)
	w := goldenWire{p: p, field: c.scheme.field}

	var lines []line
	situation := func(name string, cl *client) {
		result := c.request(t, o, cl)
		lines = append(lines, line{name, result, w.legs(t)})
	}

	cl := c.client(t, p, o)
	situation("cold", cl)
	situation("warm", cl)
	situation("later", cl)
	cl.CloseIdleConnections()
	situation("new", cl)
	cl.CloseIdleConnections()
	c.admitOnly(p, "bob")
	situation("changed", cl)
	situation("again", cl)
	c.give(t, p, cl, "bob")
	situation("given", cl)
	c.admitOnly(p, "alice")

	w.story()
	cl = c.client(t, p, o)
	c.give(t, p, cl, "mallory")
	situation("wrong", cl)
	situation("again", cl)
	c.give(t, p, cl, "alice")
	situation("right", cl)

	w.story()
	cl = c.client(t, p, o)
	cl.Schemes = []proxyauth.Scheme{c.scheme.alone(cl.tickets)}
	situation("alone", cl)
	return lines
}

// client returns a new Transport, with the credentials that are right at first.
func (c *cell) client(t *testing.T, p *proxytest.Proxy, o *origin) *client {
	cl := &client{Transport: newTransportOf(p, o)}
	t.Cleanup(cl.CloseIdleConnections)
	// However busy the machine is, a body waits for the proxy's 100 (Continue).
	cl.Base.ExpectContinueTimeout = time.Minute
	// TLS would take half of the test's time.
	cl.Base.TLSClientConfig.ClientSessionCache = c.sessions
	cl.Base.TLSClientConfig.CurvePreferences = []tls.CurveID{tls.CurveP256}
	if c.scheme.kerberos() {
		cl.tickets = withTicket(t, p)
		cl.Credentials = nil
		cl.Schemes = []proxyauth.Scheme{proxyauth.Negotiate(cl.tickets), proxyauth.NTLM(), proxyauth.Digest(), proxyauth.Basic()}
		return cl
	}
	c.give(t, p, cl, "alice")
	cl.Credentials = proxyauth.CredentialFunc(func(context.Context, proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
		return proxyauth.Credentials{Username: "alice", Password: *cl.password.Load()}, nil
	})
	return cl
}

// goldenPasswords are the passwords of the user alice: her first, her next, and one
// that was never right. Kerberos knows no passwords: there the keys of the map are
// three users with a ticket each. (Their names differ in length, for a client looks
// at the time and the size of a ticket cache to see whether it has changed.)
var goldenPasswords = map[string]string{"alice": "open sesame", "bob": "open wheat", "mallory": "open barley"}

// give makes the client have other credentials from now on.
func (c *cell) give(t *testing.T, p *proxytest.Proxy, cl *client, whose string) {
	if c.scheme.kerberos() {
		require.NoError(t, p.WriteTicketCache(cl.tickets.CachePath, whose, time.Hour))
		return
	}
	password := goldenPasswords[whose]
	cl.password.Store(&password)
}

// admitOnly makes the proxy know other credentials from now on.
func (c *cell) admitOnly(p *proxytest.Proxy, whose string) {
	if !c.scheme.kerberos() {
		p.SetUser("alice", goldenPasswords[whose])
		return
	}
	for user := range goldenPasswords {
		p.RemoveUser(user)
	}
	p.SetUser(whose, "")
}

// request makes the request of a situation, and returns what the caller got.
func (c *cell) request(t *testing.T, o *origin, cl *client) string {
	if c.way == "DialContext" {
		conn, err := cl.DialContext(t.Context(), "tcp", o.HTTP.Listener.Addr().String())
		if err != nil {
			return nameOf(err)
		}
		assert.NoError(t, conn.Close())
		return "a tunnel"
	}
	url := o.HTTP.URL
	if c.way == "tunnel" {
		url = o.HTTPS.URL
	}
	c.requests++
	path := fmt.Sprintf("/cell/%d/%d", c.number, c.requests)
	method, sent, body := http.MethodPost, "hello", io.Reader(strings.NewReader("hello"))
	switch c.body {
	case "no body":
		method, sent, body = http.MethodGet, "", nil
	case "stream":
		body = io.MultiReader(body) // for which net/http has no GetBody
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url+path, body)
	require.NoError(t, err)
	resp, err := cl.RoundTrip(req)
	if err != nil {
		assert.Empty(t, o.got(path))
		return nameOf(err)
	}
	defer resp.Body.Close()
	_, err = io.ReadAll(resp.Body)
	assert.NoError(t, err)
	assert.Equal(t, []string{method + " " + sent}, o.got(path), "the origin gets the request whole, and once")
	return fmt.Sprint(resp.StatusCode)
}

// got returns the method and body of each request for the path.
func (o *origin) got(path string) (got []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, req := range o.requests {
		if req.URL.Path == path {
			got = append(got, req.Method+" "+o.bodies[i])
		}
	}
	return got
}

// nameOf returns the name of the error by which a program tells it from others.
func nameOf(err error) string {
	var names []string
	for name, sentinel := range map[string]error{
		"ErrNoCredentials": proxyauth.ErrNoCredentials, "ErrNoUsableScheme": proxyauth.ErrNoUsableScheme,
		"ErrRejected": proxyauth.ErrRejected, "ErrBodyConsumed": proxyauth.ErrBodyConsumed,
	} {
		if errors.Is(err, sentinel) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return fmt.Sprintf("%T: %v", err, err)
	}
	slices.Sort(names)
	return strings.Join(names, " and ")
}
