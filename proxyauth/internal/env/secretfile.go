package env

import (
	"bytes"
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

// A File is a file with secrets. It is parsed, and read again when it has changed. Errors
// name the path and nothing of the text.
type File[T any] struct {
	Path  string
	Parse func(text string) (T, error) // text is in UTF-8

	mu    sync.Mutex
	read  fs.FileInfo // of the file whose text gave value and err; nil: read the file
	value T
	err   error
}

const (
	maxFile = 1 << 20

	// Times of files have a resolution of up to two seconds, within which a file can
	// change twice. So a file that was changed so recently is read again.
	fileTick = 2 * time.Second
)

// Get returns the result of Parse for the file, which is read again if it has changed. If
// there is no file, the error is [fs.ErrNotExist].
func (f *File[T]) Get() (T, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.refresh(); err != nil {
		var none T
		f.read = nil
		if path := (*fs.PathError)(nil); errors.As(err, &path) {
			err = path.Err
		}
		return none, fmt.Errorf("%s: %w", f.Path, err)
	}
	return f.value, f.err
}

// refresh reads the file if it has changed since it was read.
func (f *File[T]) refresh() error {
	info, err := os.Stat(f.Path)
	if err != nil {
		return err
	}
	if err := checkMode(info); err != nil { // before Open, which would block on a FIFO
		return err
	}
	if old := f.read; old != nil && os.SameFile(old, info) && old.Size() == info.Size() && old.ModTime().Equal(info.ModTime()) {
		return nil
	}
	file, err := os.Open(f.Path)
	if err != nil {
		return err
	}
	defer file.Close()
	if info, err = file.Stat(); err != nil {
		return err
	}
	if err := checkMode(info); err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return err
	}
	if len(text) > maxFile {
		return errors.New("it is larger than 1 MiB")
	}
	f.read = nil
	if time.Since(info.ModTime()) > fileTick {
		f.read = info
	}
	if f.value, f.err = f.decode(text); f.err != nil {
		f.err = fmt.Errorf("%s: %w", f.Path, f.err)
	}
	return nil
}

// decode parses the text, without the byte order mark that editors of Windows
// write.
func (f *File[T]) decode(text []byte) (value T, err error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 { // another encoding, or a binary file
		return value, errors.New("it is not a text in UTF-8")
	}
	return f.Parse(string(text))
}

// checkMode returns an error for what is not a regular file, and for a file that others
// than its owner and group can read, or others than its owner can write.
func checkMode(info fs.FileInfo) error {
	mode := info.Mode()
	switch {
	case !mode.IsRegular():
		return errors.New("it is not a regular file")
	case runtime.GOOS == "windows": // its rights are not in the mode
	case mode&0o004 != 0:
		return fmt.Errorf("everyone can read it (mode %04o): chmod o-r, or in Kubernetes defaultMode: 0440", mode.Perm())
	case mode&0o022 != 0:
		return fmt.Errorf("others than its owner can write it (mode %04o): chmod go-w", mode.Perm())
	}
	return nil
}

// Line returns a text of one line without the line's end.
func Line(text string) (string, error) {
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

// PasswordFile returns a file of one line, which is a password.
func PasswordFile(path string) *File[string] { return &File[string]{Path: path, Parse: Line} }
