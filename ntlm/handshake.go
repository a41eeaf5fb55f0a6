package ntlm

import (
	"errors"
	"fmt"
	"io"

	"github.com/Azure/go-ntlmssp"
)

// Options tie a handshake to a service and to a connection. The zero value does
// neither.
type Options struct {
	// TargetName is the SPN of the service, such as "HTTP/proxy.example"
	// (MsvAvTargetName, MS-NLMP §2.2.2.1). Empty: none is sent.
	TargetName string

	// ChannelBinding is the application data of the channel binding, such as
	// "tls-server-end-point:" and a hash of the server's certificate (RFC
	// 5929 §4). Nil: none is sent.
	ChannelBinding []byte

	// Sign asks for a session in which [Handshake.Sign] can be used.
	Sign bool
}

// ErrRefused is returned by [Handshake.Next] when the server does not go on: it answers
// type 1 without a message, or asks anew after type 3, since it refuses the credentials.
var ErrRefused = errors.New("ntlm: the server refused")

// A Handshake is the messages of one authentication, which travel on one
// connection. It is not safe for concurrent use.
type Handshake struct {
	username, password string
	options            Options

	state         state
	negotiate     []byte // the type 1 as sent, for the MIC
	authenticated []byte // the type 3 as sent, for signing
}

// A state is what the handshake waits for.
type state int

const (
	toBegin       state = iota // for the call that begins it
	wantChallenge              // type 1 is sent
	done                       // type 3 is sent
)

// New returns a handshake for a user: "alice", `CORP\alice` or
// "alice@CORP.EXAMPLE". The domain is the user's, not the server's.
func New(username, password string, o Options) *Handshake {
	return &Handshake{username: username, password: password, options: o}
}

// Format prints the same for every verb: a handshake holds a password.
func (h *Handshake) Format(f fmt.State, _ rune) { io.WriteString(f, "ntlm.Handshake") }

// Next returns the next message of the client. message is the server's last one: nil
// to begin, for which Next returns type 1; then the server's type 2, for which it returns
// type 3. What comes after that, by HTTP's status or the like, says whether the server
// has accepted the user. If the server answers type 1 without a message, or type 3 with
// any, call Next with that: the error is [ErrRefused].
//
// A type 2 that is malformed, or asks for what NTLMv2 does not have, is another error.
// After an error the handshake is over.
func (h *Handshake) Next(message []byte) ([]byte, error) {
	was := h.state
	h.state = done
	switch {
	case was == toBegin && len(message) == 0:
		h.state = wantChallenge
		var err error
		h.negotiate, err = ntlmssp.NewNegotiateMessage("", "")
		if err == nil && h.options.Sign {
			h.negotiate[offNegotiateFlags] |= flagSign
		}
		return h.negotiate, err
	case was == wantChallenge && len(message) > 0:
		var err error
		h.authenticated, err = h.authenticate(message)
		return h.authenticated, err
	}
	return nil, ErrRefused
}

// authenticate returns the type 3 for a type 2.
func (h *Handshake) authenticate(message []byte) ([]byte, error) {
	challenge, err := parseChallenge(message)
	if err != nil {
		return nil, err
	}
	_, timed := challenge.info.lookup(avTimestamp)
	if challenge.info != nil {
		challenge.info.bind(h.options, timed)
	}
	plain, err := challenge.marshal()
	if err != nil {
		return nil, err
	}
	authenticate, err := ntlmssp.NewAuthenticateMessage(plain, h.username, h.password, nil)
	if err != nil {
		return nil, fmt.Errorf("ntlm: %w", err)
	}
	if !timed {
		return authenticate, nil
	}
	return addMIC(h.negotiate, message, authenticate, h.password)
}
