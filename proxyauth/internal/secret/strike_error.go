package secret

import "github.com/go-proxyauth/go-proxyauth/proxyauth/internal/printable"

// StrikeError returns an error like err, without the secrets of sent in its text. If the
// text has none, it returns err itself.
func StrikeError(err error, sent *Sent) error {
	text := err.Error()
	if struck := sent.StrikeString(text); struck != text {
		return printable.Told(struck, err)
	}
	return err
}
