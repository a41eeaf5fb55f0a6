package proxyauth_test

import (
	"io"
	"net/http"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// A way in is what a proxy demands and how a client of it answers.
type wayIn struct {
	auth     []proxytest.Auth
	kerberos bool // by a ticket and not by password
}

// waysIn are all the schemes, by name, in all the natures that they have.
var waysIn = map[string]wayIn{
	"Basic":                 {auth: []proxytest.Auth{proxytest.Basic{Realm: "r"}}},
	"Digest":                {auth: []proxytest.Auth{proxytest.Digest{Realm: "r"}}},
	"NTLM":                  {auth: ntlmOnly()},
	"Kerberos":              {auth: []proxytest.Auth{proxytest.Negotiate{}}, kerberos: true},
	"Kerberos each time":    {auth: []proxytest.Auth{proxytest.Negotiate{PerRequest: true}}, kerberos: true},
	"NTLM inside Negotiate": {auth: []proxytest.Auth{proxytest.Negotiate{NTLM: &proxytest.NTLM{}}}},
}

func (w wayIn) transport(t testing.TB, p *proxytest.Proxy, o *origin) *watchedTransport {
	if w.kerberos {
		return newKerberosTransport(t, p, o)
	}
	return newTransport(t, p, o)
}

func (in wayIn) transportIn(w *world, p *proxytest.Proxy) *watchedTransport {
	if in.kerberos {
		return w.newKerberosTransport(p)
	}
	return w.newTransport(p)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A gauge is a body that looks at the heap while it is read.
type gauge struct {
	io.Reader
	read, looked int
	peak         uint64
}

func (g *gauge) Read(p []byte) (int, error) {
	n, err := g.Reader.Read(p)
	if g.read += n; g.read >= g.looked+4<<20 {
		g.looked = g.read
		g.peak = max(g.peak, liveHeap())
	}
	return n, err
}

// liveHeap returns the bytes of the heap that are in use.
func liveHeap() uint64 {
	runtime.GC() // runs finalizers and empties half of each sync.Pool
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A stream that cannot be rewound arrives whole through a cold proxy, once,
// nothing else gets to the origin, and no more than a few buffers of it are in
// memory. The second one goes by what is known.
func TestStreams(t *testing.T) {
	const size, more, maxGrowth = 24 << 20, 4 << 20, 4 << 20
	for name, in := range waysIn {
		for _, way := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world) {
					var methods []string
					var received int64
					w.drain = func(req *http.Request) {
						n, _ := io.Copy(io.Discard, req.Body)
						w.mu.Lock()
						defer w.mu.Unlock()
						methods, received = append(methods, req.Method), received+n
					}
					p := w.newProxy(proxytest.Config{Auth: in.auth, Users: alice})
					tr := in.transportIn(w, p)
					before := liveHeap()
					g := &gauge{Reader: io.LimitReader(zeros{}, size)}
					for i, body := range []*countedBody{{Reader: g}, {Reader: io.LimitReader(zeros{}, more)}} {
						resp, err := post(t, tr, w.ways()[way], body)
						require.NoError(t, err)
						require.Equal(t, 200, resp.StatusCode)
						synctest.Wait()
						require.EqualValues(t, 1, body.closed.Load())
						require.Len(t, methods, i+1)
					}
					require.Equal(t, []string{"POST", "POST"}, methods)
					require.EqualValues(t, size+more, received)
					if way == "forward" {
						require.EqualValues(t, size+more, p.Counts().BodyBytes)
					}
					growth := int64(g.peak) - int64(before)
					t.Logf("%d bytes, heap growth %d KiB", received, growth>>10)
					require.Less(t, growth, int64(maxGrowth))
				})
			})
		}
	}
}
