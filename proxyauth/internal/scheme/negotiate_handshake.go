package scheme

import (
	"encoding/base64"
	"fmt"

	"github.com/go-proxyauth/go-proxyauth/negotiate"
)

type negotiateHandshake struct {
	h        *negotiate.Handshake
	noTicket error // why it is NTLM
	ticket   bool
}

func (n *negotiateHandshake) next(token68 string) (string, bool, error) {
	token, err := decode(token68)
	if err != nil {
		return "", false, err
	}
	reply, last, err := n.h.Next(token)
	return base64.StdEncoding.EncodeToString(reply), last, err
}

func (n *negotiateHandshake) bare(last bool) *Failure {
	switch {
	case !last:
		return &Failure{Err: fmt.Errorf("%w, and it does not take NTLM inside Negotiate", n.noTicket), Early: true}
	case n.ticket:
		return RefusedTicket
	}
	return nil
}

func (n *negotiateHandshake) done(token68 string) error {
	token, err := decode(token68)
	if err == nil {
		err = n.h.Done(token)
	}
	if err != nil {
		return Unproven{fmt.Errorf("%w: %w", negotiate.ErrServer, err)}
	}
	return nil
}

func (*negotiateHandshake) close() {}
