package negotiate_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-proxyauth/go-proxyauth/negotiate"
)

// Without a ticket the error names the cause and the remedy.
func Example() {
	client := negotiate.NewClient(negotiate.Options{CachePath: "FILE:/nonexistent", Username: "alice", Password: "secret"})
	ticket, err := client.Ticket(context.Background(), "HTTP/proxy.example")
	var no *negotiate.Error
	if errors.As(err, &no) {
		fmt.Println(no.Cause)
		fmt.Println(no.Remedy)
		return
	}
	handshake := negotiate.Kerberos(ticket, nil)
	token, _, err := handshake.Next(nil)
	fmt.Println(len(token), err)
	// Output:
	// no ticket, and no realm to get one from
	// kinit, or write the user name as user@REALM
}
