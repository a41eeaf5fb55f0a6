package memconn_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/memconn"
)

func TestConn(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		var n memconn.Network
		l := n.Listen("127.0.0.1:0")
		accepted := make(chan net.Conn)
		go func() {
			c, _ := l.Accept()
			accepted <- c
		}()
		c1, err = n.DialContext(context.Background(), "tcp", l.Addr().String())
		c2 = <-accepted
		return c1, c2, func() { c1.Close(); c2.Close(); l.Close() }, err
	})
}

func pipe(t *testing.T) (a, b *memconn.Conn) {
	a, b = memconn.Pipe("a:1", "b:2")
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// What is written comes out, however it is read, though the buffer is smaller;
// after a half-close the other direction goes on.
func TestHalfClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe(t)
		content := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
		go func() {
			n, err := a.Write(content)
			require.NoError(t, err)
			require.Equal(t, len(content), n)
			require.NoError(t, a.CloseWrite())
			_, err = a.Write([]byte("x"))
			require.ErrorIs(t, err, syscall.EPIPE)
		}()
		require.NoError(t, iotest.TestReader(b, content))
		_, err := b.Write([]byte("answer"))
		require.NoError(t, err)
		require.NoError(t, b.Close())
		got, err := io.ReadAll(a)
		require.NoError(t, err)
		require.Equal(t, "answer", string(got))
		_, err = a.Write(nil)
		require.ErrorIs(t, err, syscall.EPIPE)
		_, err = b.Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = b.Write([]byte("x"))
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

// A Write waits while the buffer is full: that is durable, and ends with the
// other's Close.
func TestFullBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe(t)
		n, err := a.Write(make([]byte, 40<<10))
		require.NoError(t, err)
		require.Equal(t, 40<<10, n)
		time.AfterFunc(time.Hour, func() { b.Close() })
		begin := time.Now()
		n, err = a.Write(make([]byte, 1<<20))
		require.ErrorIs(t, err, syscall.EPIPE)
		require.Equal(t, 24<<10, n)
		require.Equal(t, time.Hour, time.Since(begin))
	})
}

func TestBreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe(t)
		a.Write([]byte("lost"))
		time.AfterFunc(time.Minute, func() { a.Break(syscall.ECONNRESET) })
		n, err := b.Write(make([]byte, 1<<20))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.Equal(t, 64<<10, n)
		_, err = b.Read(make([]byte, 10))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.EqualError(t, err, "read tcp b:2->a:1: read: connection reset by peer")
		_, err = a.Read(make([]byte, 10))
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

// Deadlines are in the time of the bubble, can be put off, and end.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe(t)
		begin := time.Now()
		buf := make([]byte, 1<<20)
		require.NoError(t, a.SetReadDeadline(begin.Add(time.Second)))
		require.NoError(t, a.SetReadDeadline(begin.Add(time.Hour)))
		_, err := a.Read(buf)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		var timeout net.Error
		require.True(t, errors.As(err, &timeout) && timeout.Timeout())
		require.Equal(t, time.Hour, time.Since(begin))

		require.NoError(t, a.SetWriteDeadline(begin.Add(2*time.Hour)))
		n, err := a.Write(buf)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, 64<<10, n)
		require.Equal(t, 2*time.Hour, time.Since(begin))

		b.Write([]byte("late"))
		require.NoError(t, a.SetReadDeadline(time.Now()))
		_, err = a.Read(buf)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, a.SetReadDeadline(time.Time{}))
		n, err = a.Read(buf)
		require.NoError(t, err)
		require.Equal(t, "late", string(buf[:n]))

		require.NoError(t, a.SetDeadline(time.Time{}))
		time.AfterFunc(time.Hour, func() { a.Close() })
		_, err = a.Read(buf)
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

func TestDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n memconn.Network
		l := n.Listen("proxy.example:3128")
		require.Panics(t, func() { n.Listen("proxy.example:3128") })
		require.Panics(t, func() { n.Listen("proxy.example") })

		_, err := n.DialContext(t.Context(), "tcp", "other.example:1")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err = n.DialContext(ctx, "tcp", "proxy.example:3128") // nobody accepts
		require.ErrorIs(t, err, context.DeadlineExceeded)

		time.AfterFunc(time.Hour, func() { l.Close() })
		_, err = l.DialContext(t.Context(), "tcp", "any")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		_, err = l.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		require.NoError(t, l.Close())
		n.Listen("proxy.example:3128").Close()
	})
}

// Ports that the network chooses are free, and all as long as each other.
func TestPorts(t *testing.T) {
	var n memconn.Network
	used := make(map[string]bool)
	for range 100 {
		_, port, err := net.SplitHostPort(n.Listen("proxy.example:0").Addr().String())
		require.NoError(t, err)
		require.Len(t, port, 5)
		require.False(t, used[port], port)
		used[port] = true
	}
}
