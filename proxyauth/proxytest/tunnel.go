package proxytest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// connect opens a tunnel (RFC 9110, section 9.3.6).
func (x *exchange) connect() {
	p, b := x.c.p, &x.c.p.behaviour
	status, text := http.StatusOK, "Connection established"
	if b.ConnectStatus != 0 {
		status, text = b.ConnectStatus, http.StatusText(b.ConnectStatus)
	}
	if status/100 != 2 {
		x.answer(status, nil, "no tunnel")
		return
	}
	up, err := p.dial(x.ctx, "tcp", x.r.RequestURI)
	if err != nil {
		x.answer(http.StatusBadGateway, nil, err.Error())
		return
	}
	var head bytes.Buffer
	minor := 1
	if b.HTTP10 {
		minor = 0
	}
	fmt.Fprintf(&head, "HTTP/1.%d %d %s\r\n", minor, status, text)
	if x.info != nil {
		fmt.Fprintf(&head, "%s: %s\r\n", x.info.field, x.info.of())
	}
	if b.ConnectBody != "" {
		head.WriteString(b.ConnectBody + "\r\n")
	}
	head.WriteString("\r\n")
	head.Write(b.EarlyBytes)

	p.wait(b.Delay)
	p.mu.Lock()
	x.leg.Status = status
	p.record.counts.Tunnels++
	p.mu.Unlock()
	x.tunnel(up, head.Bytes())
}

// switchProtocols relays an origin's 101, and then whatever is spoken.
func (x *exchange) switchProtocols(resp *http.Response) {
	up, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		x.answer(http.StatusBadGateway, nil, "the transport cannot switch protocols")
		return
	}
	upgrade := resp.Header.Get("Upgrade")
	removeHopByHop(resp.Header)
	resp.Header.Set("Connection", "Upgrade")
	resp.Header.Set("Upgrade", upgrade)
	if x.info != nil {
		resp.Header.Set(x.info.field, x.info.of())
	}
	var head bytes.Buffer
	fmt.Fprintf(&head, "HTTP/1.1 %s\r\n", resp.Status)
	resp.Header.Write(&head)
	head.WriteString("\r\n")
	x.decide(resp.StatusCode)
	x.tunnel(up, head.Bytes())
}

// tunnel sends the head to the client, then copies bytes both ways until both
// sides have ended, or one has failed. That is the end of the connection.
func (x *exchange) tunnel(up io.ReadWriteCloser, head []byte) {
	c := x.c
	x.gone = true
	defer up.Close()
	if _, err := c.nc.Write(head); err != nil {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { // to the origin; c.br may hold what the client sent early
		if _, err := io.Copy(up, c.br); err != nil {
			up.Close()
			return
		}
		closeWrite(up)
	})
	if _, err := io.Copy(c.nc, up); err != nil {
		abort(c.nc)
	} else {
		closeWrite(c.nc)
	}
	wg.Wait()
}

// closeWrite ends the writing half of a connection, or all of it if it has no
// halves.
func closeWrite(c io.Closer) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}
