package main

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"time"
	"unicode"
)

const (
	sampleRate = 16000                 // of what is spoken, per second
	perLetter  = 60 * time.Millisecond // of a tone
	ownPitch   = 220.0                 // Hz of the voice that needs no reference
)

// speak says text, a tone for each character and silence for blanks: a WAV file
// of 16-bit PCM, mono.
func speak(text string, pitch float64) []byte {
	const samples = int(sampleRate * perLetter / time.Second)
	const fade = samples / 10 // at both ends of a tone, or it clicks
	var sound []byte
	for _, letter := range text {
		frequency := pitch * math.Exp2(float64(letter%24)/12) // two octaves
		for i := range samples {
			volume := 0.5 * min(1, float64(min(i, samples-i))/float64(fade))
			if unicode.IsSpace(letter) {
				volume = 0
			}
			level := volume * math.Sin(2*math.Pi*frequency*float64(i)/sampleRate)
			sound = binary.LittleEndian.AppendUint16(sound, uint16(int16(level*math.MaxInt16)))
		}
	}
	return append(wavHeader(len(sound)), sound...)
}

// wavHeader returns what comes before size bytes of samples.
func wavHeader(size int) []byte {
	little := binary.LittleEndian
	h := append([]byte(nil), "RIFF"...)
	h = little.AppendUint32(h, uint32(36+size)) // all that follows
	h = append(h, "WAVEfmt "...)
	h = little.AppendUint32(h, 16)
	h = little.AppendUint16(h, 1) // PCM
	h = little.AppendUint16(h, 1) // channel
	h = little.AppendUint32(h, sampleRate)
	h = little.AppendUint32(h, sampleRate*2) // bytes per second
	h = little.AppendUint16(h, 2)            // bytes per sample
	h = little.AppendUint16(h, 16)           // bits per sample
	h = append(h, "data"...)
	return little.AppendUint32(h, uint32(size))
}

// readWAV reads a WAV file to its end and returns how long it plays. It keeps
// nothing of it.
func readWAV(r io.Reader) (time.Duration, error) {
	var riff struct {
		ID   [4]byte
		Size uint32
		Form [4]byte
	}
	if err := binary.Read(r, binary.LittleEndian, &riff); err != nil {
		return 0, wavError(err)
	}
	if string(riff.ID[:]) != "RIFF" || string(riff.Form[:]) != "WAVE" {
		return 0, errors.New("it does not begin as a WAV file does")
	}
	var bytesPerSecond uint32
	for {
		var chunk struct {
			ID   [4]byte
			Size uint32
		}
		if err := binary.Read(r, binary.LittleEndian, &chunk); err != nil {
			return 0, wavError(err)
		}
		rest := int64(chunk.Size) + int64(chunk.Size%2) // chunks begin at even offsets
		switch string(chunk.ID[:]) {
		case "fmt ":
			var format struct {
				Coding, Channels           uint16
				SampleRate, BytesPerSecond uint32
				BytesPerFrame, Bits        uint16
			}
			if err := binary.Read(r, binary.LittleEndian, &format); err != nil {
				return 0, wavError(err)
			}
			rest -= int64(binary.Size(format))
			if bytesPerSecond = format.BytesPerSecond; rest < 0 || bytesPerSecond == 0 {
				return 0, errors.New("its format chunk is wrong")
			}
		case "data":
			if bytesPerSecond == 0 {
				return 0, errors.New("its samples come before their format")
			}
			if _, err := io.CopyN(io.Discard, r, int64(chunk.Size)); err != nil {
				return 0, wavError(err)
			}
			if _, err := io.Copy(io.Discard, r); err != nil { // chunks without sound
				return 0, err
			}
			seconds := float64(chunk.Size) / float64(bytesPerSecond)
			return time.Duration(seconds * float64(time.Second)), nil
		}
		if _, err := io.CopyN(io.Discard, r, rest); err != nil {
			return 0, wavError(err)
		}
	}
}

func wavError(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errors.New("it ends too early")
	}
	return err
}
