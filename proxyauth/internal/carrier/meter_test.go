package carrier

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each byte is counted once, whichever way it goes.
func TestMeter(t *testing.T) {
	d := dialer(t, "http://proxy.example:3128", echo)
	count := d.traffic.Traffic.(*traffic)
	conn, err := d.Dial(t.Context(), nil, false)
	require.NoError(t, err)
	meter := meterOf(conn)
	require.Equal(t, conn, meter)
	require.Same(t, meter, meterOf(newWire(conn)))
	require.Nil(t, meterOf(meter.NetConn()))

	n, err := conn.Write([]byte("hello"))
	require.NoError(t, err)
	require.Equal(t, 5, n)
	require.EqualValues(t, 5, meter.wrote.Load())
	more, err := conn.(io.ReaderFrom).ReadFrom(strings.NewReader(" world"))
	require.NoError(t, err)
	require.EqualValues(t, 6, more)
	require.EqualValues(t, 11, meter.wrote.Load())
	require.EqualValues(t, 11, count.sent.Load())
	require.NoError(t, meter.CloseWrite())
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Equal(t, "hello world", string(answer))
	require.EqualValues(t, 11, meter.read.Load())
	require.EqualValues(t, 11, count.received.Load())
}

// A connection is lost if it ends where an answer may be due: after a write that
// nothing was read behind, and by TLS wherever it ends without a goodbye.
func TestMeterLost(t *testing.T) {
	hello := func(c net.Conn) { io.WriteString(c, "220") }
	afterRequest := func(c net.Conn) { c.Read(make([]byte, 10)) }
	answers := func(c net.Conn) { afterRequest(c); io.WriteString(c, "220") }
	server, client := certified(t, nil)
	goodbye := func(c net.Conn) { afterRequest(c); c.Close() }
	for name, test := range map[string]struct {
		proxy string
		f     func(net.Conn)
		asks  bool
		want  uint64
	}{
		"ends at once":               {"http", func(net.Conn) {}, false, 0},
		"ends after it has spoken":   {"http", hello, false, 0},
		"ends after a request":       {"http", afterRequest, true, 1},
		"ends after an answer":       {"http", answers, true, 0},
		"TLS ends after its goodbye": {"https", overTLS(server, goodbye), true, 0},
		"TLS ends without it":        {"https", overTLS(server, answers), true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			d := dialer(t, test.proxy+"://proxy.example:3128", test.f)
			d.config.TLS = TLSConfig(client, nil)
			conn, err := d.Dial(t.Context(), nil, false)
			require.NoError(t, err)
			if test.asks {
				conn.Write([]byte("GET"))
			}
			_, err = io.Copy(io.Discard, struct{ io.Reader }{conn})
			require.NoError(t, err)
			require.Equal(t, test.want, d.traffic.lost.Load())
		})
	}

	// What its user closes is not lost.
	d := dialer(t, "http://proxy.example:3128", echo)
	conn, err := d.Dial(t.Context(), nil, false)
	require.NoError(t, err)
	meterOf(conn).ReadFrom(strings.NewReader("GET"))
	conn.Close()
	_, err = conn.Read(make([]byte, 10))
	require.True(t, errors.Is(err, net.ErrClosed))
	require.Zero(t, d.traffic.lost.Load())
}

// Who counts connections is told of each that is opened, and once when it is closed; not of
// raw ones, which are their users'.
func TestConnectionsCounted(t *testing.T) {
	server, client := certified(t, nil)
	for proxy, f := range map[string]func(net.Conn){"http": echo, "https": overTLS(server, echo)} {
		d := dialer(t, proxy+"://proxy.example:3128", f)
		d.config.TLS = TLSConfig(client, nil)
		opened, closed := 0, 0
		d.config.Opened, d.traffic.closed = func() { opened++ }, func() { closed++ }
		for _, raw := range []bool{false, true} {
			conn, err := d.Dial(t.Context(), nil, raw)
			require.NoError(t, err)
			require.Equal(t, 1, opened)
			conn.Close()
			conn.Close()
			require.Equal(t, 1, closed)
		}
	}
	a, b := net.Pipe()
	defer b.Close()
	closed := 0
	conn := Counted(a, func() { closed++ })
	require.Equal(t, a, conn.(interface{ NetConn() net.Conn }).NetConn())
	require.ErrorIs(t, conn.(interface{ CloseWrite() error }).CloseWrite(), errors.ErrUnsupported)
	go conn.(io.ReaderFrom).ReadFrom(strings.NewReader("hello"))
	got := make([]byte, 5)
	_, err := io.ReadFull(b, got)
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))
	require.Zero(t, closed)
	conn.Close()
	conn.Close()
	require.Equal(t, 1, closed)
}
