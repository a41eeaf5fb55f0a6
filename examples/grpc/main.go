// Grpc goes through a proxy that demands NTLM, with google.golang.org/grpc. It
// needs nothing but Go:
//
//	go run .
//
// The proxy and the server are in this process. Real ones are named by flags
// (the proxy by HTTPS_PROXY, too), the password for the proxy by the environment;
// the server must have the standard services for health and reflection:
//
//	PROXY_USER='CORP\alice' PROXY_PASS=secret go run . -proxy http://proxy.corp:3128 -addr grpc.example:443
//
// The lines to copy into your own program are those between the rulers, below.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

func main() {
	proxy := flag.String("proxy", "", "`URL` of the proxy; empty: with -addr that of the environment, otherwise one in this process")
	addr := flag.String("addr", "", "`host:port` of the server; empty: one in this process")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "grpc: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	if err := run(os.Stdout, *proxy, *addr); err != nil {
		fmt.Fprintln(os.Stderr, "grpc:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, proxy, addr string) error {
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
	trust := &tls.Config{}
	if addr == "" {
		server := newServer()
		defer server.Close()
		addr, trust = server.Listener.Addr().String(), trustIn(server)
	}

	conn, err := dial(transport, addr, trust)
	if err != nil {
		return err
	}
	defer conn.Close()
	return talk(ctx, w, conn)
}

// dial returns a client of the server behind the proxy. It connects with the
// first call.
func dial(transport *proxyauth.Transport, addr string, trust *tls.Config) (*grpc.ClientConn, error) {
	// -------------------------------------------------------------------------
	// With passthrough the name goes to the proxy as it is. Without it grpc asks
	// the DNS, which often does not know the outside world behind a proxy.
	return grpc.NewClient("passthrough:///"+addr,
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return transport.DialContext(ctx, "tcp", addr)
		}),
		grpc.WithTransportCredentials(credentials.NewTLS(trust)),
	)
	// -------------------------------------------------------------------------
}

// talk makes a call and holds a conversation (a stream in both directions).
func talk(ctx context.Context, w io.Writer, conn *grpc.ClientConn) error {
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "health:", answer.Status)

	stream, err := grpc_reflection_v1.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		return err
	}
	ask := func(q *grpc_reflection_v1.ServerReflectionRequest) (*grpc_reflection_v1.ServerReflectionResponse, error) {
		if err := stream.Send(q); err != nil {
			return nil, err
		}
		return stream.Recv()
	}
	list, err := ask(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{},
	})
	if err != nil {
		return err
	}
	for _, service := range list.GetListServicesResponse().GetService() {
		file, err := ask(&grpc_reflection_v1.ServerReflectionRequest{
			MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: service.Name},
		})
		if err != nil {
			return err
		}
		if refusal := file.GetErrorResponse(); refusal != nil {
			return fmt.Errorf("reflection: %s", refusal.ErrorMessage)
		}
		fmt.Fprintln(w, "service:", service.Name)
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if _, err := stream.Recv(); err != io.EOF {
		return fmt.Errorf("end of the stream: %w", err)
	}
	return nil
}

// newServer starts a server with two services that grpc brings along.
func newServer() *httptest.Server {
	services := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(services, health.NewServer())
	reflection.RegisterV1(services)
	server := httptest.NewUnstartedServer(services)
	server.EnableHTTP2 = true
	server.StartTLS()
	return server
}

func trustIn(server *httptest.Server) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return &tls.Config{RootCAs: pool}
}
