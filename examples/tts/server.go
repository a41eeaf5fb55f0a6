package main

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// The API's limits.
const (
	maxText   = 1000            // characters
	maxOrder  = 64 << 10        // bytes of JSON
	maxAudio  = 1 << 20         // bytes of a reference
	maxVoices = 16              // of a key
	burst     = 5               // requests at once, and then
	refill    = time.Second / 2 // between two
)

// An api is a text-to-speech API, to stand in for a real one. It has two calls:
//
//	POST /v1/voices  audio/wav: the reference      answer: {"voice": "…"}
//	POST /v1/speech  {"text": "…", "voice": "…"}   answer: audio/wav
type api struct {
	accounts []*account
	audit    *slog.Logger
}

// An account is what belongs to an API key.
type account struct {
	keyHash [sha256.Size]byte // of the key, which is not kept
	id      string            // how the audit log names the key

	mu     sync.Mutex
	full   time.Time          // when there will be a whole burst again
	voices map[string]float64 // pitch in Hz by name
}

// newAPI returns an API that takes the given keys. They must be random, such as
// of rand.Text: the audit log has the first digits of their hashes.
func newAPI(audit *slog.Logger, keys ...string) *api {
	a := &api{audit: audit}
	for _, key := range keys {
		hash := sha256.Sum256([]byte(key))
		a.accounts = append(a.accounts, &account{keyHash: hash, id: hex.EncodeToString(hash[:4]), voices: make(map[string]float64)})
	}
	return a
}

// An entry of the audit log tells who did what and how much of it. It has
// neither keys nor texts.
type entry struct {
	key        string
	call       string
	characters int
	audio      int64 // bytes of the reference
}

// A refusal is an answer that is not a success.
type refusal struct {
	status     int
	retryAfter time.Duration
	message    string
}

func (r *refusal) Error() string { return r.message }

func refuse(status int, format string, args ...any) error {
	return &refusal{status: status, message: fmt.Sprintf(format, args...)}
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := &entry{key: "unknown", call: "unknown"}
	contentType, body, err := a.answer(w, r, e)
	status := http.StatusOK
	if err != nil {
		refused, ok := errors.AsType[*refusal](err)
		if tooLarge, large := errors.AsType[*http.MaxBytesError](err); large {
			refused = &refusal{status: http.StatusRequestEntityTooLarge, message: fmt.Sprintf("at most %d bytes are allowed", tooLarge.Limit)}
		} else if !ok { // the connection broke
			refused = &refusal{status: http.StatusBadRequest, message: "the request could not be read"}
		}
		status = refused.status
		contentType = "application/json"
		body, _ = json.Marshal(map[string]string{"error": refused.message})
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		if refused.retryAfter > 0 { // in whole seconds, so rounded up
			w.Header().Set("Retry-After", strconv.Itoa(int((refused.retryAfter+time.Second-1)/time.Second)))
		}
	}
	// Before the answer: nothing happens that is not in the log.
	a.audit.LogAttrs(r.Context(), slog.LevelInfo, "audit", slog.String("key", e.key), slog.String("call", e.call),
		slog.Int("status", status), slog.Int("characters", e.characters), slog.Int64("audio", e.audio))
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body)
}

func (a *api) answer(w http.ResponseWriter, r *http.Request, e *entry) (contentType string, body []byte, err error) {
	account := a.authenticate(r)
	if account == nil {
		return "", nil, refuse(http.StatusUnauthorized, "a valid API key is needed: Authorization: Bearer …")
	}
	e.key = account.id
	if wait := account.take(time.Now()); wait > 0 {
		return "", nil, &refusal{http.StatusTooManyRequests, wait, "too many requests"}
	}
	switch r.Method + " " + r.URL.Path {
	case "POST /v1/voices":
		e.call = "voices"
		return account.addVoice(w, r, e)
	case "POST /v1/speech":
		e.call = "speech"
		return account.speech(w, r, e)
	}
	return "", nil, refuse(http.StatusNotFound, "there is no such call")
}

// authenticate returns the account of the request's key, or nil.
func (a *api) authenticate(r *http.Request) *account {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return nil
	}
	hash := sha256.Sum256([]byte(key))
	var found *account
	for _, account := range a.accounts { // all of them, so that time tells nothing
		if subtle.ConstantTimeCompare(hash[:], account.keyHash[:]) == 1 {
			found = account
		}
	}
	return found
}

// take takes a token out of the account's bucket, or returns how long to wait
// for one.
func (a *account) take(now time.Time) (wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.full.Before(now) {
		a.full = now
	}
	if wait := a.full.Sub(now) - (burst-1)*refill; wait > 0 {
		return wait
	}
	a.full = a.full.Add(refill)
	return 0
}

func (a *account) addVoice(w http.ResponseWriter, r *http.Request, e *entry) (string, []byte, error) {
	if r.Header.Get("Content-Type") != "audio/wav" {
		return "", nil, refuse(http.StatusUnsupportedMediaType, "a reference is audio/wav")
	}
	if r.ContentLength > maxAudio { // before any of it is sent
		return "", nil, &http.MaxBytesError{Limit: maxAudio}
	}
	audio := &countingReader{r: http.MaxBytesReader(w, r.Body, maxAudio)}
	length, err := readWAV(audio)
	e.audio = audio.n
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return "", nil, large
	}
	if err != nil {
		return "", nil, refuse(http.StatusBadRequest, "the reference is no WAV file: %v", err)
	}
	name := rand.Text()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.voices) == maxVoices {
		return "", nil, refuse(http.StatusForbidden, "at most %d voices are kept", maxVoices)
	}
	a.voices[name] = max(80, 2*ownPitch/(1+length.Seconds())) // the longer the deeper
	body, err := json.Marshal(map[string]string{"voice": name})
	return "application/json", body, err
}

func (a *account) speech(w http.ResponseWriter, r *http.Request, e *entry) (string, []byte, error) {
	if r.Header.Get("Content-Type") != "application/json" {
		return "", nil, refuse(http.StatusUnsupportedMediaType, "an order is application/json")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxOrder))
	if err != nil {
		return "", nil, err
	}
	var order struct{ Text, Voice string }
	if !utf8.Valid(body) || json.Unmarshal(body, &order) != nil {
		return "", nil, refuse(http.StatusBadRequest, `an order is JSON: {"text": "…", "voice": "…"}`)
	}
	e.characters = utf8.RuneCountInString(order.Text)
	if err := checkText(order.Text); err != nil {
		return "", nil, err
	}
	pitch := ownPitch
	if order.Voice != "" {
		a.mu.Lock()
		known, ok := a.voices[order.Voice]
		a.mu.Unlock()
		if !ok {
			return "", nil, refuse(http.StatusBadRequest, "there is no such voice")
		}
		pitch = known
	}
	return "audio/wav", speak(order.Text, pitch), nil
}

func checkText(text string) error {
	switch n := utf8.RuneCountInString(text); {
	case n == 0:
		return refuse(http.StatusBadRequest, "the text is empty")
	case n > maxText:
		return refuse(http.StatusBadRequest, "the text has %d characters, at most %d are allowed", n, maxText)
	}
	position := 0
	for _, c := range text {
		position++
		if unicode.IsControl(c) && c != '\n' {
			return refuse(http.StatusBadRequest, "character %d of the text is a control character (%U)", position, c)
		}
	}
	return nil
}

// A countingReader counts what it reads.
type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
