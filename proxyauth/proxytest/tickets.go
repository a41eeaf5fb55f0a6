package proxytest

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	gofork "github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// keySizes are the sizes of keys by encryption type, in bytes. (Not those of
// gokrb5, which has another for the last.)
var keySizes = map[int32]int{
	etypeID.AES128_CTS_HMAC_SHA1_96:    16,
	etypeID.AES256_CTS_HMAC_SHA1_96:    32,
	etypeID.AES128_CTS_HMAC_SHA256_128: 16,
	etypeID.AES256_CTS_HMAC_SHA384_192: 32,
}

const keyVersion = 1

// WriteTicketCache writes a ticket cache for a proxy that offers [Negotiate]:
// a file of MIT Kerberos, version 4 (the value of KRB5CCNAME is its path). It
// holds tickets of the user for the service HTTP on each host, and a ticket
// for a KDC that there is not, because libraries look for one. If no hosts are
// given they are 127.0.0.1 and localhost. For hosts that are not this proxy
// the tickets are made with keys that it does not use.
//
// The user is a principal, "user" or "user@REALM", and need not be in
// Config.Users, but the proxy refuses one who is not there when the ticket comes. The tickets are valid from a minute ago on, and expire after
// the lifetime; if that is negative they have expired.
func (p *Proxy) WriteTicketCache(path, user string, lifetime time.Duration, hosts ...string) error {
	n, err := p.negotiate()
	if err != nil {
		return err
	}
	if len(hosts) == 0 {
		hosts = []string{"127.0.0.1", "localhost"}
	}
	name, realm := splitRealm(user)
	if realm == "" {
		realm = n.KerberosRealm
	}
	client := principal{realm, types.NewPrincipalName(nametype.KRB_NT_PRINCIPAL, name)}
	end := time.Now().Add(lifetime)
	begin := time.Now().Add(min(lifetime, 0) - time.Minute)

	b := []byte{5, 4, 0, 0} // version 4, no header
	b = client.append(b)
	service := principal{realm, types.NewPrincipalName(nametype.KRB_NT_SRV_INST, "krbtgt/"+realm)}
	for _, host := range append([]string{""}, hosts...) {
		if host != "" {
			service = principal{n.KerberosRealm, types.NewPrincipalName(nametype.KRB_NT_SRV_HST, "HTTP/"+host)}
		}
		if b, err = n.appendCredential(b, client, service, begin, end); err != nil {
			return err
		}
	}
	return os.WriteFile(path, b, 0o600)
}

// WriteKerberosConfig writes the configuration of a client of the realm of a
// proxy that offers [Negotiate] (the value of KRB5_CONFIG is its path). The
// KDC in it cannot be reached: what is not in a ticket cache cannot be had.
func (p *Proxy) WriteKerberosConfig(path string) error {
	n, err := p.negotiate()
	if err != nil {
		return err
	}
	return os.WriteFile(path, fmt.Appendf(nil, `[libdefaults]
  default_realm = %[1]s
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
[realms]
  %[1]s = {
    kdc = 127.0.0.1:1
  }
[domain_realm]
  127.0.0.1 = %[1]s
  localhost = %[1]s
  proxy.test = %[1]s
`, n.KerberosRealm), 0o600)
}

// negotiate returns the scheme, if it is offered.
func (p *Proxy) negotiate() (*negotiate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.spaces[len(p.spaces)-1].schemes {
		if n, ok := s.(*negotiate); ok {
			return n, nil
		}
	}
	return nil, errors.New("proxytest: the proxy does not offer Negotiate")
}

// principal is a principal of a realm.
type principal struct {
	realm string
	types.PrincipalName
}

func (p principal) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(p.NameType))
	b = binary.BigEndian.AppendUint32(b, uint32(len(p.NameString)))
	b = appendData(b, []byte(p.realm))
	for _, s := range p.NameString {
		b = appendData(b, []byte(s))
	}
	return b
}

func appendData(b, data []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(data))), data...)
}

// appendCredential makes a ticket, and an entry of a ticket cache with it.
func (n *negotiate) appendCredential(b []byte, client, service principal, begin, end time.Time) ([]byte, error) {
	key := n.newKey()
	ticket, err := n.newTicket(client, service, key, begin, end)
	if err != nil {
		return nil, err
	}
	b = service.append(client.append(b))
	b = binary.BigEndian.AppendUint16(b, uint16(key.KeyType))
	b = appendData(b, key.KeyValue)
	for _, t := range []int64{begin.Unix(), begin.Unix(), end.Unix(), 0} { // authenticated, from, until, renewable until
		b = binary.BigEndian.AppendUint32(b, uint32(t))
	}
	b = append(b, 0) // not encrypted with a session key
	b = append(b, ticketFlags().Bytes...)
	b = append(b, make([]byte, 8)...) // no addresses, no authorization data
	b = appendData(b, ticket)
	return appendData(b, nil), nil // no second ticket
}

// newTicket makes a ticket (RFC 4120, section 5.3).
func (n *negotiate) newTicket(client, service principal, key types.EncryptionKey, begin, end time.Time) ([]byte, error) {
	plain, err := gofork.Marshal(messages.EncTicketPart{
		Flags: ticketFlags(), Key: key, CRealm: client.realm, CName: client.PrincipalName,
		Transited: messages.TransitedEncoding{TRType: 1},
		AuthTime:  begin.UTC(), StartTime: begin.UTC(), EndTime: end.UTC(),
	})
	if err != nil {
		return nil, err
	}
	serviceKey, ok := n.serviceKey(service)
	if !ok {
		serviceKey = n.newKey() // of a service elsewhere
	}
	plain = asn1tools.AddASNAppTag(plain, asnAppTag.EncTicketPart)
	encrypted, err := crypto.GetEncryptedData(plain, serviceKey, keyusage.KDC_REP_TICKET, keyVersion)
	if err != nil {
		return nil, err
	}
	ticket := messages.Ticket{TktVNO: krb5Version, Realm: service.realm, SName: service.PrincipalName, EncPart: encrypted}
	return ticket.Marshal()
}

func ticketFlags() gofork.BitString {
	f := types.NewKrbFlags()
	types.SetFlag(&f, flags.PreAuthent)
	return f
}

// newKey makes a key.
func (n *negotiate) newKey() types.EncryptionKey {
	key := types.EncryptionKey{KeyType: n.EncType, KeyValue: make([]byte, keySizes[n.EncType])}
	rand.Read(key.KeyValue)
	return key
}

// serviceKey returns the key of the service, if it is one of this proxy.
func (n *negotiate) serviceKey(service principal) (types.EncryptionKey, bool) {
	key, ok := n.keys[service.PrincipalNameString()]
	return key, ok && service.realm == n.KerberosRealm
}
