//lint:file-ignore SA1019 what is deprecated is what programs have attached

package proxyauth_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/memconn"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
)

// A framedOrigin speaks HTTP/2 frame by frame and notes what clients send.
type framedOrigin struct {
	url    string
	answer bool            // requests and pings are answered
	offers []http2.Setting // its settings
	begin  time.Time

	mu       sync.Mutex
	conns    int
	streams  int
	settings map[http2.SettingID]uint32
	pings    []time.Duration // since begin
	ends     []time.Duration // of connections
}

func (w *world) newFramedOrigin(answer bool, offers ...http2.Setting) *framedOrigin {
	l := w.listen()
	o := &framedOrigin{url: "https://" + l.Addr().String() + "/", answer: answer, offers: offers, begin: time.Now(), settings: make(map[http2.SettingID]uint32)}
	config := w.certificate()
	config.NextProtos = []string{"h2"}
	var wg sync.WaitGroup
	wg.Go(func() { accept(l, func(c net.Conn) { o.serve(tls.Server(c, config)) }) })
	w.t.Cleanup(func() { l.Close(); wg.Wait() })
	return o
}

func (o *framedOrigin) serve(c net.Conn) {
	defer c.Close()
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c, preface); err != nil {
		return
	}
	o.mu.Lock()
	o.conns++
	o.mu.Unlock()
	f := http2.NewFramer(c, c)
	f.WriteSettings(o.offers...)
	for {
		frame, err := f.ReadFrame()
		o.mu.Lock()
		if err != nil {
			o.ends = append(o.ends, time.Since(o.begin))
			o.mu.Unlock()
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				frame.ForeachSetting(func(s http2.Setting) error { o.settings[s.ID] = s.Val; return nil })
				f.WriteSettingsAck()
			}
		case *http2.PingFrame:
			o.pings = append(o.pings, time.Since(o.begin))
			if o.answer {
				f.WritePing(true, frame.Data)
			}
		case *http2.HeadersFrame:
			o.streams++
			if o.answer {
				var block bytes.Buffer
				hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
				f.WriteHeaders(http2.HeadersFrameParam{StreamID: frame.StreamID, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true})
			}
		}
		o.mu.Unlock()
	}
}

// seen returns what o has noted.
func (o *framedOrigin) seen() (conns, streams int, pings, ends []time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.conns, o.streams, slices.Clone(o.pings), slices.Clone(o.ends)
}

// attachments are the ways to set how net/http speaks HTTP/2.
var attachments = map[string]func(t *testing.T, base *http.Transport, s http.HTTP2Config){
	"Base.HTTP2": func(_ *testing.T, base *http.Transport, s http.HTTP2Config) { base.HTTP2 = &s },
	"x/net/http2": func(t *testing.T, base *http.Transport, s http.HTTP2Config) {
		attached, err := http2.ConfigureTransports(base)
		require.NoError(t, err)
		attached.ReadIdleTimeout, attached.PingTimeout, attached.WriteByteTimeout = s.SendPingTimeout, s.PingTimeout, s.WriteByteTimeout
		attached.StrictMaxConcurrentStreams = s.StrictMaxConcurrentRequests
		attached.MaxDecoderHeaderTableSize, attached.MaxReadFrameSize = uint32(s.MaxDecoderHeaderTableSize), uint32(s.MaxReadFrameSize)
		attached.MaxEncoderHeaderTableSize = uint32(s.MaxEncoderHeaderTableSize)
	},
	// Base.HTTP2 goes first, as in golang.org/x/net/http2.
	"both": func(t *testing.T, base *http.Transport, s http.HTTP2Config) {
		base.HTTP2 = &s
		attached, err := http2.ConfigureTransports(base)
		require.NoError(t, err)
		attached.ReadIdleTimeout, attached.PingTimeout = time.Second, time.Second
		attached.MaxDecoderHeaderTableSize, attached.MaxReadFrameSize = 1000, 1<<20
	},
}

// R45: the settings for HTTP/2 that Base.HTTP2 has, or that golang.org/x/net/http2 has
// attached to Base, hold for tunnels and without a proxy: pings are sent, a connection
// without answers to them ends, and the origin sees the sizes.
func TestHTTP2Settings(t *testing.T) {
	for name, attach := range attachments {
		for _, way := range []string{"tunnel", "direct"} {
			t.Run(name+"/"+way, func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world) {
					s := w.scripted(scripted.Always(scripted.Pass()))
					through := func() *watchedTransport {
						tr := w.through(s)
						if way == "direct" {
							tr.Base.Proxy = nil
						}
						attach(t, tr.Base, http.HTTP2Config{
							SendPingTimeout: 30 * time.Second, PingTimeout: 5 * time.Second, StrictMaxConcurrentRequests: true,
							MaxDecoderHeaderTableSize: 8192, MaxReadFrameSize: 1 << 17,
						})
						return tr
					}

					o := w.newFramedOrigin(true)
					tr := through()
					status, _, err := fetch(tr, o.url)
					require.NoError(t, err)
					require.Equal(t, 200, status)
					begin := time.Now()
					time.Sleep(65 * time.Second)
					_, _, pings, _ := o.seen()
					require.Equal(t, []time.Duration{begin.Sub(o.begin) + 30*time.Second, begin.Sub(o.begin) + time.Minute}, pings)
					require.EqualValues(t, 8192, o.settings[http2.SettingHeaderTableSize])
					require.EqualValues(t, 1<<17, o.settings[http2.SettingMaxFrameSize])

					// Without an answer to the ping the connection ends.
					silent := w.newFramedOrigin(false)
					begin = time.Now()
					_, _, err = fetch(through(), silent.url)
					require.ErrorContains(t, err, "client connection lost")
					require.Equal(t, 35*time.Second, time.Since(begin))

					// A second request waits for the one stream that the origin allows.
					narrow := w.newFramedOrigin(false, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1})
					tr = through()
					var wg sync.WaitGroup
					for range 2 {
						wg.Go(func() { fetch(tr, narrow.url) })
						time.Sleep(time.Second)
					}
					conns, streams, _, _ := narrow.seen()
					require.Equal(t, 1, conns)
					require.Equal(t, 1, streams)
					wg.Wait()
				})
			})
		}
	}
}

// R45, R36: an HTTP/2 connection that one user's tunnel carries serves no other user, and
// neither does one of Base itself, although golang.org/x/net/http2 keeps one pool for all
// clones of a transport.
func TestHTTP2NotShared(t *testing.T) {
	for name, attach := range attachments {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				s := w.scripted(scripted.Demand(scripted.Challenge("Basic", "realm", "r"), scripted.Pass()))
				o := w.newFramedOrigin(true)
				tr := w.through(s)
				attach(t, tr.Base, http.HTTP2Config{SendPingTimeout: time.Minute})

				tr.Base.Proxy = nil // Base is used by itself before
				_, _, err := fetch(tr.Base, o.url)
				require.NoError(t, err)
				defer tr.Base.CloseIdleConnections()

				user := ""
				tr.Credentials = nil
				tr.Proxy = func(*http.Request) (*url.URL, error) {
					u := *s.URL()
					u.User = url.UserPassword(user, "open sesame")
					return &u, nil
				}
				for i := range 6 {
					user = []string{"alice", "bob", "carol"}[i%3]
					_, _, err := fetch(tr, o.url)
					require.NoError(t, err)
				}
				conns, streams, _, _ := o.seen()
				require.Equal(t, 4, conns)
				require.Equal(t, 7, streams)
				users := make(map[string]int)
				for _, value := range s.Authorizations() {
					users[value]++
				}
				require.Len(t, users, 3)
				tr.CloseIdleConnections()
			})
		})
	}
}

// R45: what cannot be kept of an HTTP/2 that is attached to Base is told, once, with what
// to do instead; nothing is told of what is kept, or of net/http's own.
func TestHTTP2Told(t *testing.T) {
	for name, test := range map[string]struct {
		change func(t *testing.T, base *http.Transport) *http.Transport // nil: Base itself
		want   []string                                                 // nil: nothing is told
	}{
		"net/http's own": {func(t *testing.T, base *http.Transport) *http.Transport {
			base.ForceAttemptHTTP2, base.MaxResponseHeaderBytes = true, 1<<16
			return base.Clone()
		}, nil},
		"used before": {func(t *testing.T, base *http.Transport) *http.Transport {
			base.CloseIdleConnections() // and so configured by net/http
			return base
		}, nil},
		"switched off": {func(t *testing.T, base *http.Transport) *http.Transport {
			base.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
			return base
		}, nil},
		"attached, and no more": {func(t *testing.T, base *http.Transport) *http.Transport {
			require.NoError(t, http2.ConfigureTransport(base))
			return base
		}, nil},
		"fields that net/http does not have": {func(t *testing.T, base *http.Transport) *http.Transport {
			attached, err := http2.ConfigureTransports(base)
			require.NoError(t, err)
			attached.DisableCompression, attached.MaxHeaderListSize, attached.IdleConnTimeout = true, 1<<16, time.Minute
			attached.CountError = func(string) {} // net/http's HTTP2Config.CountError is for servers
			return base
		}, []string{"CountError, DisableCompression, IdleConnTimeout, MaxHeaderListSize"}},
		"a clone of one to which it is attached": {func(t *testing.T, base *http.Transport) *http.Transport {
			require.NoError(t, http2.ConfigureTransport(base))
			return base.Clone()
		}, []string{"Base.TLSNextProto"}},
		"an HTTP/2 of one's own": {func(t *testing.T, base *http.Transport) *http.Transport {
			base.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{
				"h2": func(string, *tls.Conn) http.RoundTripper { return nil },
			}
			return base
		}, []string{"Base.TLSNextProto"}},
	} {
		t.Run(name, func(t *testing.T) {
			var network memconn.Network
			var logged bytes.Buffer
			tr := &proxyauth.Transport{
				Base:   test.change(t, &http.Transport{DialContext: network.DialContext}),
				Proxy:  http.ProxyURL(&url.URL{Scheme: "http", Host: "127.0.0.1:1"}),
				Logger: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelWarn})),
			}
			for range 3 {
				_, _, err := fetch(tr, "https://127.0.0.1:2/")
				require.ErrorContains(t, err, "connection refused")
			}
			if test.want == nil {
				require.Empty(t, logged.String())
				return
			}
			require.Equal(t, 1, bytes.Count(logged.Bytes(), []byte("\n")), logged.String())
			require.Contains(t, logged.String(), "level=WARN")
			for _, words := range append(test.want, "Base.HTTP2") {
				require.Contains(t, logged.String(), words)
			}
		})
	}
}

// R45: Base.Protocols holds for tunnels, and the proxy is spoken to in HTTP/1.1 in any case.
func TestBaseProtocols(t *testing.T) {
	for _, test := range []struct {
		set  func(*http.Protocols)
		want string
	}{
		{func(p *http.Protocols) { p.SetHTTP1(true); p.SetHTTP2(true) }, "HTTP/2.0"},
		{func(p *http.Protocols) { p.SetHTTP2(true) }, "HTTP/2.0"},
		{func(p *http.Protocols) { p.SetHTTP1(true) }, "HTTP/1.1"},
	} {
		inBubble(t, func(t *testing.T, w *world) {
			tr := w.through(w.scripted(scripted.Always(scripted.Pass())))
			tr.Base.Protocols = new(http.Protocols)
			test.set(tr.Base.Protocols)
			for way, want := range map[string]string{"tunnel": test.want, "forward": "HTTP/1.1"} {
				_, body, err := fetch(tr, w.ways()[way])
				require.NoError(t, err)
				require.Contains(t, body, "origin "+want)
			}
		})
	}
}
