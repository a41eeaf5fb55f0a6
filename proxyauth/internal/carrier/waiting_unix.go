//go:build unix

package carrier

import (
	"net"
	"syscall"
)

// waiting reports whether bytes are there to be read from a TCP connection, without
// waiting for them. It does not know about others, such as TLS, where what is there may be
// no content.
func waiting(conn net.Conn) (found bool) {
	if m, ok := conn.(*meter); ok {
		conn = m.Conn
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return false
	}
	raw.Read(func(fd uintptr) bool {
		var one [1]byte // the descriptor does not block
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK)
		found = err == nil && n > 0
		return true
	})
	return found
}
