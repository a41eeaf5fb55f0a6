// Ssh goes through a proxy that demands NTLM, with golang.org/x/crypto/ssh. It
// needs nothing but Go:
//
//	go run .
//
// The proxy and the server are in this process. Real ones are named by flags
// (the proxy by HTTPS_PROXY, too), the passwords by the environment; the server's
// key must be in ~/.ssh/known_hosts, and the proxy must allow CONNECT to its port:
//
//	PROXY_USER='CORP\alice' PROXY_PASS=secret SSH_USER=git SSH_PASS=secret \
//		go run . -proxy http://proxy.corp:3128 -addr ssh.example:443 -command uptime
//
// The lines to copy into your own program are those between the rulers, below.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

func main() {
	proxy := flag.String("proxy", "", "`URL` of the proxy; empty: with -addr that of the environment, otherwise one in this process")
	addr := flag.String("addr", "", "`host:port` of the server; empty: one in this process")
	command := flag.String("command", "hello", "`command` to run there; the server in this process answers any")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "ssh: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	if err := run(os.Stdout, *proxy, *addr, *command); err != nil {
		fmt.Fprintln(os.Stderr, "ssh:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, proxy, addr, command string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	transport := &proxyauth.Transport{} // from the environment: HTTPS_PROXY, PROXY_USER, PROXY_PASS
	switch {
	case proxy != "":
		u, err := url.Parse(proxy)
		if err != nil || u.Hostname() == "" { // err would show a password
			return errors.New("-proxy is not a URL such as http://proxy.example:3128 (special characters of a password are percent-encoded)")
		}
		transport.Proxy = http.ProxyURL(u)
	case addr == "":
		p := proxytest.New(proxytest.Config{Auth: []proxytest.Auth{proxytest.NTLM{}}, Users: map[string]string{"alice": "secret"}})
		defer p.Close()
		transport.Proxy, transport.Credentials = http.ProxyURL(p.URL), proxyauth.UserPassword("alice", "secret")
	}

	config := &ssh.ClientConfig{User: os.Getenv("SSH_USER"), Auth: []ssh.AuthMethod{ssh.Password(os.Getenv("SSH_PASS"))}}
	if addr == "" {
		server, err := newServer()
		if err != nil {
			return err
		}
		defer server.Close()
		addr, config = server.Addr(), server.ClientConfig()
	} else {
		if err := trustKnown(config, addr); err != nil {
			return err
		}
	}

	client, err := dial(ctx, transport, addr, config)
	if err != nil {
		return err
	}
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return err
	}
	defer session.Close()
	session.Stdout, session.Stderr = w, os.Stderr // not one for both: ssh writes to them at once
	return session.Run(command)
}

// dial is ssh.Dial through the proxy.
func dial(ctx context.Context, transport *proxyauth.Transport, addr string, config *ssh.ClientConfig) (*ssh.Client, error) {
	// -------------------------------------------------------------------------
	conn, err := transport.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	// ssh knows no context: the handshake ends when the connection does.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	c, channels, requests, err := ssh.NewClientConn(conn, addr, config)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return ssh.NewClient(c, channels, requests), nil
	// -------------------------------------------------------------------------
}

// trustKnown accepts the servers that the user's ssh has accepted.
func trustKnown(config *ssh.ClientConfig, addr string) error {
	home, err := os.UserHomeDir()
	if err != nil {
		return err
	}
	known, err := knownhosts.New(filepath.Join(home, ".ssh", "known_hosts"))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: connect once with ssh, to accept the server's key", err)
	}
	if err != nil {
		return err
	}
	config.HostKeyCallback, config.HostKeyAlgorithms = known, algorithms(known, addr)
	return nil
}

// algorithms returns those of the keys that are known of a server, nil for any:
// left to itself it may show a key of another kind, which is not known.
func algorithms(known ssh.HostKeyCallback, addr string) []string {
	var unknown *knownhosts.KeyError
	if !errors.As(known(addr, &net.TCPAddr{}, noKey{}), &unknown) {
		return nil
	}
	var names []string
	for _, k := range unknown.Want {
		if k.Key.Type() == ssh.KeyAlgoRSA {
			names = append(names, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		}
		names = append(names, k.Key.Type())
	}
	return names
}

// A noKey is the key of no server.
type noKey struct{ ssh.PublicKey }

func (noKey) Type() string    { return "none" }
func (noKey) Marshal() []byte { return nil }
