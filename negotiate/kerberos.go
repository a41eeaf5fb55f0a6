package negotiate

import (
	"crypto/md5"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/chksumtype"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/spnego"
	"github.com/jcmturner/gokrb5/v8/types"
)

// An authenticator is what of an AP-REQ its AP-REP repeats.
type authenticator struct {
	ctime time.Time
	cusec int
}

// apReq returns the GSS-API token of an AP-REQ (RFC 4121 §4.1) that asks for
// mutual authentication, bound to the channel where binding is not nil.
func (t *Ticket) apReq(binding []byte) ([]byte, authenticator, error) {
	auth, err := types.NewAuthenticator(t.realm, t.name)
	if err != nil {
		return nil, authenticator{}, fmt.Errorf("negotiate: %w", err)
	}
	now := t.now()
	auth.CTime, auth.Cusec = now.Truncate(time.Second), now.Nanosecond()/1000
	auth.Cksum = types.Checksum{CksumType: chksumtype.GSSAPI, Checksum: checksum(binding)}
	req, err := messages.NewAPReq(t.ticket, t.key, auth)
	if err != nil {
		return nil, authenticator{}, fmt.Errorf("negotiate: %w", err)
	}
	types.SetFlag(&req.APOptions, flags.APOptionMutualRequired)
	message, err := req.Marshal()
	if err != nil {
		return nil, authenticator{}, fmt.Errorf("negotiate: %w", err)
	}
	token := slices.Concat(oidKerberos, []byte{0x01, 0x00}, message) // TOK_ID of AP-REQ
	return asn1tools.AddASNAppTag(token, 0), authenticator{auth.CTime, auth.Cusec}, nil
}

// oidKerberos is the mechanism's OID as it is written.
var oidKerberos, _ = asn1.Marshal(asn1.ObjectIdentifier(gssapi.OIDKRB5.OID()))

// checksum is the authenticator's, of RFC 4121 §4.1.1: the length and hash of
// the channel binding, and flags.
func checksum(binding []byte) []byte {
	b := make([]byte, 24)
	binary.LittleEndian.PutUint32(b, 16)
	if binding != nil {
		// The MD5 of the gss_channel_bindings_struct, without addresses.
		data := make([]byte, 16, 20+len(binding))
		data = binary.LittleEndian.AppendUint32(data, uint32(len(binding)))
		sum := md5.Sum(append(data, binding...))
		copy(b[4:], sum[:])
	}
	binary.LittleEndian.PutUint32(b[20:], gssapi.ContextFlagMutual|gssapi.ContextFlagInteg|gssapi.ContextFlagConf)
	return b
}

// verify checks an AP-REP: only who has the service's key can repeat the time
// of the authenticator (RFC 4120 §3.2.5).
func (t *Ticket) verify(token []byte, sent authenticator) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("negotiate: malformed AP-REP")
		}
	}()
	var krb spnego.KRB5Token
	if err := krb.Unmarshal(token); err != nil {
		return fmt.Errorf("negotiate: malformed AP-REP: %w", err)
	}
	if !krb.IsAPRep() {
		return fmt.Errorf("%w (no AP-REP)", ErrServer)
	}
	plain, err := crypto.DecryptEncPart(krb.APRep.EncPart, t.key, keyusage.AP_REP_ENCPART)
	if err != nil {
		return fmt.Errorf("%w: %v", ErrServer, err)
	}
	var part messages.EncAPRepPart
	if err := part.Unmarshal(plain); err != nil {
		return fmt.Errorf("%w: %v", ErrServer, err)
	}
	if part.CTime.Unix() != sent.ctime.Unix() || part.Cusec != sent.cusec {
		return fmt.Errorf("%w (another authenticator)", ErrServer)
	}
	return nil
}
