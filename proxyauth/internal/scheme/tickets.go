package scheme

import "errors"

// RefusedTicket is no refusal of credentials: no account can be locked by a ticket,
// and kinit gets another.
var RefusedTicket = &Failure{
	Err:    errors.New("the proxy refuses the Kerberos ticket"),
	Once:   true,
	Remedy: "compare SPN and keytab of the proxy, and its clock with this machine's: its log tells which it is",
}

// DeniedTicket is RefusedTicket for tickets that were good before.
var DeniedTicket = &Failure{
	Err:    errors.New("the proxy refuses the Kerberos ticket, and took such a one before"),
	Once:   true,
	Remedy: "ask the proxy's administrators whether it denies this target; if it refuses all targets, " + RefusedTicket.Remedy,
}
