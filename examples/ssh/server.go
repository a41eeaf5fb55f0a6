package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"golang.org/x/crypto/ssh"
)

// A server is an SSH server that answers any command with its name and, as what
// ssh -L asks for, connects to any address. It knows one user.
type server struct {
	listener net.Listener
	config   *ssh.ServerConfig
	hostKey  ssh.PublicKey

	mu     sync.Mutex
	conns  []net.Conn // to clients, and from them onwards
	closed bool
	wg     sync.WaitGroup
}

const user, password = "git", "of the server"

// newServer starts one, with a key of its own and those given.
func newServer(keys ...ssh.Signer) (*server, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return nil, err
	}
	s := &server{hostKey: signer.PublicKey()}
	s.config = &ssh.ServerConfig{PasswordCallback: func(c ssh.ConnMetadata, got []byte) (*ssh.Permissions, error) {
		if c.User() != user || string(got) != password {
			return nil, errors.New("no such user, or another password")
		}
		return nil, nil
	}}
	for _, key := range append(keys, signer) {
		s.config.AddHostKey(key)
	}
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	s.wg.Go(func() {
		for {
			conn, err := s.listener.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.serve(conn) })
		}
	})
	return s, nil
}

func (s *server) Addr() string { return s.listener.Addr().String() }

// ClientConfig is for clients of this server.
func (s *server) ClientConfig() *ssh.ClientConfig {
	return &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.Password(password)}, HostKeyCallback: ssh.FixedHostKey(s.hostKey),
	}
}

// Close ends all connections, and waits for their goroutines.
func (s *server) Close() {
	s.listener.Close()
	s.mu.Lock()
	s.closed = true
	for _, conn := range s.conns {
		conn.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// closeLater has Close end the connection.
func (s *server) closeLater(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = append(s.conns, conn)
	if s.closed {
		conn.Close()
	}
}

func (s *server) serve(conn net.Conn) {
	s.closeLater(conn)
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil {
		return
	}
	s.wg.Go(func() { ssh.DiscardRequests(requests) })
	for c := range channels {
		switch c.ChannelType() {
		case "session":
			s.wg.Go(func() { session(c) })
		case "direct-tcpip":
			s.wg.Go(func() { s.forward(c) })
		default:
			c.Reject(ssh.UnknownChannelType, "session or direct-tcpip only")
		}
	}
}

// session answers one command (RFC 4254, section 6.5).
func session(c ssh.NewChannel) {
	channel, requests, err := c.Accept()
	if err != nil {
		return
	}
	defer channel.Close()
	for req := range requests {
		var exec struct{ Command string }
		known := req.Type == "exec" && ssh.Unmarshal(req.Payload, &exec) == nil
		if req.WantReply {
			req.Reply(known, nil)
		}
		if known {
			fmt.Fprintf(channel, "the server runs %q\n", exec.Command)
			channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{0}))
			return
		}
	}
}

// forward connects to where the client asks (RFC 4254, section 7.2).
func (s *server) forward(c ssh.NewChannel) {
	var target struct {
		Host       string
		Port       uint32
		Origin     string
		OriginPort uint32
	}
	if err := ssh.Unmarshal(c.ExtraData(), &target); err != nil {
		c.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	conn, err := net.Dial("tcp", net.JoinHostPort(target.Host, fmt.Sprint(target.Port)))
	if err != nil {
		c.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	s.closeLater(conn)
	defer conn.Close()
	channel, requests, err := c.Accept()
	if err != nil {
		return
	}
	defer channel.Close()
	s.wg.Go(func() { ssh.DiscardRequests(requests) })
	s.wg.Go(func() {
		io.Copy(conn, channel)
		conn.(*net.TCPConn).CloseWrite()
	})
	io.Copy(channel, conn)
	channel.CloseWrite()
}
