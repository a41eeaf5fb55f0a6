package proxyauth_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
)

// When a program does not get through, the report says where it ends, why, and
// what to do. Printed as a whole it is for people; see examples/doctor.
func ExampleTransport_Diagnose() {
	proxy := exampleProxy()
	defer proxy.Close()

	transport := &proxyauth.Transport{Proxy: http.ProxyURL(proxy.URLFor("alice", "wrong"))}
	defer transport.CloseIdleConnections()
	report := transport.Diagnose(context.Background(), "https://api.example.com/")

	if !report.OK() {
		last := report.Steps[len(report.Steps)-1]
		fmt.Println(last.Name, last.Outcome)
		fmt.Println(last.Remedy)
	}
	// Output:
	// CONNECT failed
	// check user name and password in the proxy URL; they are tried again in 31m
}
