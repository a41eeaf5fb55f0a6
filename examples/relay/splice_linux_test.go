package main

import (
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Both directions of an open tunnel wait in splice, which takes the bytes from
// one TCP connection to the other inside the kernel.
func TestTunnelIsSpliced(t *testing.T) {
	w := tunnelTo(t, settings{}, func(c *net.TCPConn) { c.Read(make([]byte, 1)) })
	conn, in := w.raw(t, connectDB)
	opened(t, in)
	spliced := func() (n int) {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		for goroutine := range strings.SplitSeq(string(stacks), "\n\n") {
			if strings.Contains(goroutine, ".copyHalf(") && strings.Contains(goroutine, "poll.Splice(") {
				n++
			}
		}
		return n
	}
	require.Eventually(t, func() bool { return spliced() == 2 }, time.Minute, time.Millisecond)
	conn.Close()
}
