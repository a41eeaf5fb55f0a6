package carrier

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
)

const longer = "HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nnoHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

// R34: what follows the content of an answer spoils the connection for the next leg.
func TestKeepSurplus(t *testing.T) {
	inBubble(t, scripted.Always(scripted.Raw(longer)), nil, func(t *testing.T, b *bubble) {
		for _, c := range []Carrier{b.Forward(b.request("GET", "")), b.Tunnel(t.Context(), "origin.example:443", false, nil)} {
			took(t, c, 1, NewConnection)
			require.Equal(t, ErrSurplus, c.Keep(send(t, c, Leg{}).Response))
			c.Drop()
		}
	})
}

// R34: it is seen, too, behind a page that is longer than the buffer in which it is read.
func TestKeepSurplusBehindLongPage(t *testing.T) {
	for _, length := range []int{4095, 4096, 9000} {
		answer := scripted.Raw(fmt.Sprintf("HTTP/1.1 407 No\r\nContent-Length: %d\r\n\r\n%s\r\n", length, strings.Repeat("x", length)))
		inBubble(t, scripted.Always(answer), nil, func(t *testing.T, b *bubble) {
			for _, c := range []Carrier{b.Forward(b.request("GET", "")), b.Tunnel(t.Context(), "origin.example:443", false, nil)} {
				took(t, c, 1, NewConnection)
				reply := send(t, c, Leg{})
				synctest.Wait()
				require.Equal(t, ErrSurplus, c.Keep(reply.Response), length)
				c.Drop()
			}
		})
	}
}

// R34: so does what comes after the answer and before the next leg, which is safe to repeat
// on another connection. For a tunnel that is known only if the connection is TCP.
func TestLateSurplus(t *testing.T) {
	late := scripted.Page(407, "no").Then(scripted.After(time.Second, scripted.Raw("<p>")))
	inBubble(t, scripted.Always(late), nil, func(t *testing.T, b *bubble) {
		f := b.Forward(b.request("GET", ""))
		took(t, f, 1, NewConnection)
		require.NoError(t, f.Keep(send(t, f, Leg{}).Response))
		time.Sleep(2 * time.Second)
		require.Equal(t, &Fault{Kind: Died, Err: ErrSurplus}, fault(t, f, Leg{Authorization: basic, Trial: true}))
		require.Len(t, b.server.Requests(), 1)
	})

	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := scripted.New(scripted.Config{Listener: l, Script: scripted.Always(scripted.Page(407, "no").Then(scripted.After(20*time.Millisecond, scripted.Raw("<p>"))))})
	defer s.Close()
	d := dialer(t, s.URL().String(), nil)
	d.config.Base.DialContext = nil
	tunnel := d.Tunnel(t.Context(), "origin.example:443", false, nil)
	took(t, tunnel, nil, AnyConnection)
	defer tunnel.Close()
	require.NoError(t, tunnel.Keep(send(t, tunnel, Leg{}).Response))
	require.Eventually(t, tunnel.line.spoiled, 10*time.Second, time.Millisecond)
	require.Equal(t, &Fault{Kind: Died, Err: ErrSurplus}, fault(t, tunnel, Leg{Authorization: basic}))
	require.Len(t, s.Requests(), 1)
}

// R34, R44: what a proxy sends before it was asked is no answer.
func TestUnasked(t *testing.T) {
	inBubble(t, scripted.Always(scripted.Page(200, "")), nil, func(t *testing.T, b *bubble) {
		c, s := net.Pipe()
		defer s.Close()
		w := newWire(c)
		go s.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
		n, err := w.Read(make([]byte, 100))
		require.Zero(t, n)
		require.EqualError(t, err, "EOF")
		_, err = w.Write([]byte(get))
		require.Equal(t, errOver, err)
		c.Close()
	})
}
