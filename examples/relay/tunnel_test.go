package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// tunnelTo starts a server and a world whose proxy leads every tunnel to it.
func tunnelTo(t testing.TB, s settings, serve func(*net.TCPConn)) *world {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				serve(conn.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		all.Wait()
	})
	s.dial = func(ctx context.Context, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}
	return newWorld(t, s, echo)
}

const connectDB = "CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\nUser-Agent: psql\r\n\r\n"

func opened(t testing.TB, in *bufio.Reader) {
	t.Helper()
	resp, err := http.ReadResponse(in, &http.Request{Method: "CONNECT"})
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
}

// Bytes that come before the tunnel is open, on either side, are not lost, and
// each direction ends by itself.
func TestTunnel(t *testing.T) {
	w := tunnelTo(t, settings{behave: proxytest.Behaviour{EarlyBytes: []byte("welcome ")}}, func(c *net.TCPConn) {
		asked, _ := io.ReadAll(c) // to the client's end
		io.WriteString(c, strings.ToUpper(string(asked)))
	})
	for _, auth := range []string{"", "again "} {
		conn, in := w.raw(t, connectDB+"early "+auth)
		opened(t, in)
		_, err := io.WriteString(conn, "late")
		require.NoError(t, err)
		require.NoError(t, conn.CloseWrite())
		got, err := io.ReadAll(in)
		require.NoError(t, err)
		require.Equal(t, "welcome EARLY "+strings.ToUpper(auth)+"LATE", string(got))
	}
	w.authenticated(t, 2)
	last := w.proxy.Transcript()[len(w.proxy.Transcript())-1]
	require.Equal(t, "psql", last.Header.Get("User-Agent"))
	require.Equal(t, "1.1 "+w.relay.name, last.Header.Get("Via"))
}

// An upstream of SOCKS5: tunnels end one direction at a time, too.
func TestTunnelThroughSOCKS(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer echo.Close()
	socks, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer socks.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		c, err := echo.Accept()
		if err == nil {
			defer c.Close()
			io.Copy(c, c)
			io.WriteString(c, ", and the end")
		}
	})
	wg.Go(func() { // RFC 1928, for one CONNECT to a name
		c, err := socks.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		in := bufio.NewReader(c)
		io.CopyN(io.Discard, in, 3)
		c.Write([]byte{5, 0})
		head := make([]byte, 5)
		io.ReadFull(in, head)
		io.CopyN(io.Discard, in, int64(head[4])+2)
		target, err := net.Dial("tcp", echo.Addr().String())
		if err != nil {
			return
		}
		defer target.Close()
		c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
		wg.Go(func() {
			io.Copy(target, in)
			target.(*net.TCPConn).CloseWrite()
		})
		io.Copy(c, target)
	})
	l, err := listenOn("127.0.0.1:0", false)
	require.NoError(t, err)
	upstream := &url.URL{Scheme: "socks5", Host: socks.Addr().String()}
	w := &world{}
	w.start(t, l, config{forHTTP: upstream, forHTTPS: upstream, log: logged}, 0)
	conn, in := w.raw(t, connectDB)
	resp, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	_, err = io.WriteString(conn, "one")
	require.NoError(t, err)
	require.NoError(t, conn.CloseWrite())
	all, err := io.ReadAll(in)
	require.NoError(t, err)
	require.Equal(t, "one, and the end", string(all))
}

// The server ends first.
func TestTunnelServerEndsFirst(t *testing.T) {
	heard := make(chan string, 1)
	w := tunnelTo(t, settings{}, func(c *net.TCPConn) {
		io.WriteString(c, "bye")
		c.CloseWrite()
		rest, _ := io.ReadAll(c)
		heard <- string(rest)
	})
	conn, in := w.raw(t, connectDB)
	opened(t, in)
	got, err := io.ReadAll(in)
	require.NoError(t, err)
	require.Equal(t, "bye", string(got))
	_, err = io.WriteString(conn, "thanks")
	require.NoError(t, err)
	require.NoError(t, conn.CloseWrite())
	require.Equal(t, "thanks", <-heard)
	require.Eventually(t, func() bool { return w.relay.status().TunnelsOpen == 0 }, time.Minute, time.Millisecond)
	s := w.relay.status()
	require.Equal(t, []int64{1, 6, 3}, []int64{s.Tunnels, s.Sent, s.Received})
}

// A reset on one side ends the other.
func TestTunnelReset(t *testing.T) {
	ended := make(chan error, 1)
	w := tunnelTo(t, settings{}, func(c *net.TCPConn) {
		io.WriteString(c, "x")
		_, err := io.Copy(io.Discard, c)
		ended <- err
	})
	conn, in := w.raw(t, connectDB)
	opened(t, in)
	_, err := in.ReadByte()
	require.NoError(t, err)
	conn.SetLinger(0)
	conn.Close()
	<-ended
}
