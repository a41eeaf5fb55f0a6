package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// counts is what the relay has done so far.
type counts struct {
	start          time.Time
	requests       atomic.Int64
	tunnels, open  atomic.Int64
	sent, received atomic.Int64
	failures       atomic.Int64
	last           atomic.Pointer[failure]
}

type failure struct {
	at  time.Time
	err string
}

func (c *counts) failed(err error) {
	c.failures.Add(1)
	c.last.Store(&failure{time.Now(), err.Error()})
}

// A status is what the status page tells, to people and as JSON.
type status struct {
	Upstreams   []string `json:"upstreams"`
	Uptime      float64  `json:"uptime_seconds"`
	Requests    int64    `json:"requests"` // CONNECT included
	Failures    int64    `json:"failures"`
	Tunnels     int64    `json:"tunnels"` // ever
	TunnelsOpen int64    `json:"tunnels_open"`
	Sent        int64    `json:"bytes_to_upstream"`   // of bodies, and of tunnels that have ended
	Received    int64    `json:"bytes_from_upstream"` // likewise
	LastError   string   `json:"last_error,omitempty"`
	LastErrorAt string   `json:"last_error_at,omitempty"`

	Authentication authentication `json:"authentication"`
}

// authentication is proxyauth.Stats with names as the others in the JSON.
type authentication struct {
	Exchanges     int64 `json:"exchanges"`
	Reused        int64 `json:"reused"`
	Tunnels       int64 `json:"tunnels"`
	Challenges    int64 `json:"challenges"`
	Handshakes    int64 `json:"handshakes"`
	Attempts      int64 `json:"attempts"`
	Rejections    int64 `json:"rejections"`
	Unclear       int64 `json:"unclear"`
	NotSent       int64 `json:"not_sent"`
	Retries       int64 `json:"retries"`
	BytesSent     int64 `json:"bytes_sent"`
	BytesReceived int64 `json:"bytes_received"`
}

func (r *relay) status() status {
	c := &r.counts
	s := status{
		Upstreams:   r.upstreams,
		Uptime:      time.Since(c.start).Seconds(),
		Requests:    c.requests.Load(),
		Failures:    c.failures.Load(),
		Tunnels:     c.tunnels.Load(),
		TunnelsOpen: c.open.Load(),
		Sent:        c.sent.Load(),
		Received:    c.received.Load(),

		Authentication: authentication(r.transport.Stats()),
	}
	if f := c.last.Load(); f != nil {
		s.LastError, s.LastErrorAt = f.err, f.at.Format(time.RFC3339)
	}
	return s
}

// serveStatus answers requests that are for the relay itself.
func (r *relay) serveStatus(w http.ResponseWriter, req *http.Request) {
	h, here := w.Header(), "http://"+req.Context().Value(http.LocalAddrContextKey).(net.Addr).String()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	switch {
	case !isAddress(req.Host):
		// A web page whose name leads to this machine (DNS rebinding).
		refuse(w, http.StatusForbidden, "this is a proxy; its status page is at "+here+"/")
	case req.Method != http.MethodGet && req.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "this is a proxy: set HTTPS_PROXY="+here)
	case req.URL.Path == "/":
		h.Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprint(w, r.status())
	case req.URL.Path == "/status.json":
		h.Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(r.status())
	default:
		refuse(w, http.StatusNotFound, "this is a proxy, with a status page at / and /status.json")
	}
}

// isAddress reports whether a Host field is an IP address or localhost, which
// no web page of others can have as its origin.
func isAddress(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.EqualFold(host, "localhost") || net.ParseIP(strings.Trim(host, "[]")) != nil
}

// String is the status page.
func (s status) String() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-14s "+format+"\n", append([]any{name}, args...)...)
	}
	line("upstream", "%s", strings.Join(s.Upstreams, " and "))
	line("up", "%v", time.Duration(s.Uptime*float64(time.Second)).Round(time.Second))
	line("requests", "%d, of which %d failed", s.Requests, s.Failures)
	line("tunnels", "%d, of which %d open", s.Tunnels, s.TunnelsOpen)
	line("to upstream", "%d bytes", s.Sent)
	line("from upstream", "%d bytes (tunnels count when they end)", s.Received)
	a := s.Authentication
	line("authentication", "%d requests to proxies, %d without a 407; %d handshakes, credentials rejected %d times, %d requests held back", a.Exchanges, a.Reused, a.Handshakes, a.Rejections, a.NotSent)
	if s.LastError != "" {
		line("last error", "%s %s", s.LastErrorAt, s.LastError)
	}
	return b.String()
}
