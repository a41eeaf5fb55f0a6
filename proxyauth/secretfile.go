package proxyauth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// CredentialFile returns a source of credentials in a file: one line
// "username:password", in which the first colon separates. The line's end may
// be missing.
//
// It is read when it is asked for, and again when it has changed, also by the
// swap of a symbolic link (Kubernetes). Replace it by renaming another file:
// one that is being written may be read in halves.
//
// Except on Windows it is an error if others than owner and group can read it,
// or others than the owner can write it. A secret mounted into a container has
// such a mode by default: write defaultMode: 0440 (Kubernetes) or mode: 0440
// (Docker).
func CredentialFile(path string) CredentialSource {
	file := &secretFile[Credentials]{path: path, parse: func(text string) (Credentials, error) {
		text, err := line(text)
		if err != nil {
			return Credentials{}, err
		}
		username, password, ok := strings.Cut(text, ":")
		if !ok || username == "" {
			return Credentials{}, errors.New("it is not username:password")
		}
		return Credentials{username, password}, nil
	}}
	return CredentialFunc(func(context.Context, CredentialRequest) (Credentials, error) {
		c, err := file.get()
		if err != nil {
			err = fmt.Errorf("proxyauth: %w", err)
		}
		return c, err
	})
}

// PasswordFile returns a source of a user whose password is in a file: all of
// it but the line's end. For the file see [CredentialFile].
func PasswordFile(username, path string) CredentialSource {
	file := passwordFile(path)
	return CredentialFunc(func(context.Context, CredentialRequest) (Credentials, error) {
		password, err := file.get()
		if err != nil {
			return Credentials{}, fmt.Errorf("proxyauth: %w", err)
		}
		return Credentials{username, password}, nil
	})
}

func passwordFile(path string) *secretFile[string] {
	return &secretFile[string]{path: path, parse: line}
}

// line returns a text of one line without the line's end.
func line(text string) (string, error) {
	text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	switch {
	case text == "":
		return "", errors.New("it is empty")
	case strings.ContainsAny(text, "\r\n"):
		return "", errors.New("it has more than one line")
	case hasControl(text):
		return "", errors.New("it has a control character")
	}
	return text, nil
}

// A secretFile is a file with secrets, parsed, which is read again when it has
// changed. Its errors name the path and nothing of what is in it.
type secretFile[T any] struct {
	path  string
	parse func(text string) (T, error)

	mu    sync.Mutex
	read  fs.FileInfo // of the file that value and err are from; nil: none
	value T
	err   error
}

const (
	maxSecretFile = 1 << 20

	// A file can change twice within one tick of its time, which is up to two
	// seconds. One that young is read again.
	fileTick = 2 * time.Second
)

func (f *secretFile[T]) get() (T, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.refresh(); err != nil {
		var none T
		f.read = nil
		if path := (*fs.PathError)(nil); errors.As(err, &path) {
			err = path.Err
		}
		return none, fmt.Errorf("%s: %w", f.path, err)
	}
	return f.value, f.err
}

// refresh reads the file if it is not the one that was read.
func (f *secretFile[T]) refresh() error {
	info, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	if err := checkSecretFile(info); err != nil { // before Open, which would wait for a FIFO
		return err
	}
	if old := f.read; old != nil && os.SameFile(old, info) && old.Size() == info.Size() && old.ModTime().Equal(info.ModTime()) {
		return nil
	}
	file, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer file.Close()
	if info, err = file.Stat(); err != nil {
		return err
	}
	if err := checkSecretFile(info); err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxSecretFile+1))
	if err != nil {
		return err
	}
	if len(text) > maxSecretFile {
		return errors.New("it is larger than 1 MiB")
	}
	f.read = nil
	if time.Since(info.ModTime()) > fileTick {
		f.read = info
	}
	if f.value, f.err = f.decode(text); f.err != nil {
		f.err = fmt.Errorf("%s: %w", f.path, f.err)
	}
	return nil
}

// decode parses the text, without the byte order mark that editors of Windows
// write.
func (f *secretFile[T]) decode(text []byte) (value T, err error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 { // as other encodings are, and binary files
		return value, errors.New("it is not a text in UTF-8")
	}
	return f.parse(string(text))
}

// checkSecretFile refuses what cannot be read again, and secrets in the open.
func checkSecretFile(info fs.FileInfo) error {
	mode := info.Mode()
	switch {
	case !mode.IsRegular():
		return errors.New("it is not a regular file")
	case runtime.GOOS == "windows": // has other rights than these
	case mode&0o004 != 0:
		return fmt.Errorf("everyone can read it (mode %04o): chmod o-r, or in Kubernetes defaultMode: 0440", mode.Perm())
	case mode&0o022 != 0:
		return fmt.Errorf("others than its owner can write it (mode %04o): chmod go-w", mode.Perm())
	}
	return nil
}
