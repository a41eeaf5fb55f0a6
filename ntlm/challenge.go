package ntlm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// A challenge is what of a type 2 message matters (MS-NLMP §2.2.1.2).
type challenge struct {
	flags  uint32
	server [8]byte // the server's challenge
	info   *targetInfo
}

const (
	signature = "NTLMSSP\x00"

	// Where the fields of a type 2 stand.
	offType       = 8
	offFlags      = 20
	offServer     = 24
	offTargetInfo = 40
	challengeMin  = 32 // without target info, as old servers send it
	challengeSize = 48 // with the field for it

	offNegotiateFlags = 12      // of a type 1
	flagSign          = 1 << 4  // NTLMSSP_NEGOTIATE_SIGN
	flagTargetInfo    = 1 << 23 // NTLMSSP_NEGOTIATE_TARGET_INFO
	flagKeyExchange   = 1 << 30 // NTLMSSP_NEGOTIATE_KEY_EXCH
	flagVersion       = 1 << 25 // NTLMSSP_NEGOTIATE_VERSION
)

// parseChallenge checks a type 2: lengths, offsets, AV pairs.
func parseChallenge(message []byte) (challenge, error) {
	var c challenge
	if len(message) < challengeMin {
		return c, errors.New("ntlm: the challenge is too short")
	}
	if string(message[:8]) != signature || binary.LittleEndian.Uint32(message[offType:]) != 2 {
		return c, errors.New("ntlm: not a challenge message")
	}
	c.flags = binary.LittleEndian.Uint32(message[offFlags:])
	copy(c.server[:], message[offServer:])
	if c.flags&flagTargetInfo == 0 || len(message) < challengeSize {
		return c, nil
	}
	info, err := field(message, offTargetInfo)
	if err != nil || len(info) == 0 {
		return c, err
	}
	c.info, err = parseTargetInfo(info)
	return c, err
}

// field returns the bytes that the length and offset at off stand for.
func field(message []byte, off int) ([]byte, error) {
	length := uint64(binary.LittleEndian.Uint16(message[off:]))
	start := uint64(binary.LittleEndian.Uint32(message[off+4:]))
	if length == 0 {
		return nil, nil
	}
	if start+length > uint64(len(message)) {
		return nil, errors.New("ntlm: a field of the message goes beyond its end")
	}
	return message[start : start+length], nil
}

// marshal returns the challenge as a message without anything else in it.
func (c challenge) marshal() ([]byte, error) {
	b := make([]byte, challengeSize)
	copy(b, signature)
	b[offType] = 2
	flags := c.flags &^ (flagKeyExchange | flagVersion | flagTargetInfo) // a session key is of no use here
	copy(b[offServer:], c.server[:])
	if c.info != nil {
		info := c.info.marshal()
		if len(info) > 0xffff {
			return nil, errors.New("ntlm: the target info is too long")
		}
		flags |= flagTargetInfo
		binary.LittleEndian.PutUint16(b[offTargetInfo:], uint16(len(info)))
		binary.LittleEndian.PutUint16(b[offTargetInfo+2:], uint16(len(info)))
		binary.LittleEndian.PutUint32(b[offTargetInfo+4:], challengeSize)
		b = append(b, info...)
	}
	binary.LittleEndian.PutUint32(b[offFlags:], flags)
	return b, nil
}

// AV pairs (MS-NLMP §2.2.2.1).
const (
	avEOL             = 0
	avFlags           = 6
	avTimestamp       = 7
	avTargetName      = 9
	avChannelBindings = 10

	avFlagMIC = 0x2
)

type avPair struct {
	id    uint16
	value []byte
}

// targetInfo is the AV pairs of a challenge, in order, without the EOL.
type targetInfo []avPair

func parseTargetInfo(b []byte) (*targetInfo, error) {
	info := targetInfo{}
	for {
		if len(b) < 4 {
			return nil, errors.New("ntlm: the target info does not end")
		}
		id, length := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
		if id == avEOL {
			return &info, nil
		}
		if len(b) < 4+length {
			return nil, fmt.Errorf("ntlm: AV pair %d goes beyond the target info", id)
		}
		info = append(info, avPair{id, b[4 : 4+length]})
		b = b[4+length:]
	}
}

func (info targetInfo) marshal() []byte {
	var b []byte
	for _, av := range info {
		b = binary.LittleEndian.AppendUint16(b, av.id)
		b = binary.LittleEndian.AppendUint16(b, uint16(len(av.value)))
		b = append(b, av.value...)
	}
	return append(b, 0, 0, 0, 0)
}

func (info *targetInfo) lookup(id uint16) ([]byte, bool) {
	if info == nil {
		return nil, false
	}
	for _, av := range *info {
		if av.id == id {
			return av.value, true
		}
	}
	return nil, false
}

// set gives a pair its only value.
func (info *targetInfo) set(id uint16, value []byte) {
	*info = slices.DeleteFunc(*info, func(av avPair) bool { return av.id == id })
	*info = append(*info, avPair{id, value})
}

// bind adds what the client vouches for (MS-NLMP §3.1.5.1.2). It comes back to
// the server under the response's hash.
func (info *targetInfo) bind(o Options, mic bool) {
	if mic {
		var flags uint32
		if old, ok := info.lookup(avFlags); ok && len(old) == 4 {
			flags = binary.LittleEndian.Uint32(old)
		}
		info.set(avFlags, binary.LittleEndian.AppendUint32(nil, flags|avFlagMIC))
	}
	if o.TargetName != "" {
		info.set(avTargetName, encodeUTF16(o.TargetName))
	}
	if o.ChannelBinding != nil {
		info.set(avChannelBindings, hashChannelBinding(o.ChannelBinding))
	}
}
