package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
)

// The sizes in the header are those of the file, as players want it.
func TestSpeak(t *testing.T) {
	wav := speak("Hello", ownPitch)
	little := binary.LittleEndian
	require.Equal(t, "RIFF", string(wav[:4]))
	require.EqualValues(t, len(wav)-8, little.Uint32(wav[4:]))
	require.Equal(t, "WAVEfmt ", string(wav[8:16]))
	require.EqualValues(t, 1, little.Uint16(wav[20:]), "PCM")
	require.EqualValues(t, 1, little.Uint16(wav[22:]), "mono")
	require.EqualValues(t, 16, little.Uint16(wav[34:]), "bits")
	require.EqualValues(t, little.Uint32(wav[24:])*2, little.Uint32(wav[28:]))
	require.Equal(t, "data", string(wav[36:40]))
	require.EqualValues(t, len(wav)-44, little.Uint32(wav[40:]))
	require.Equal(t, 44+5*960*2, len(wav))

	length, err := readWAV(bytes.NewReader(wav))
	require.NoError(t, err)
	require.Equal(t, 300*time.Millisecond, length)

	loud := func(samples []byte) (peak int16) {
		for ; len(samples) > 0; samples = samples[2:] {
			peak = max(peak, int16(little.Uint16(samples)))
		}
		return peak
	}
	require.InDelta(t, 1<<14, loud(wav[44:]), 100)
	require.Zero(t, loud(speak(" \n", ownPitch)[44:]))

	require.NotEqual(t, wav, speak("Hallo", ownPitch))
	require.NotEqual(t, wav, speak("Hello", ownPitch+1))
}

func TestReadWAV(t *testing.T) {
	whole := speak("ab", ownPitch)
	extra := append(append(append([]byte(nil), whole[:36]...), "LIST\x03\x00\x00\x00abc\x00"...), whole[36:]...) // odd, and padded
	length, err := readWAV(iotest.OneByteReader(bytes.NewReader(append(extra, "junk"...))))
	require.NoError(t, err)
	require.Equal(t, 120*time.Millisecond, length)

	for n := range whole {
		_, err := readWAV(bytes.NewReader(whole[:n]))
		require.Error(t, err, n)
	}
	change := func(at int, with string) []byte {
		wav := append([]byte(nil), whole...)
		copy(wav[at:], with)
		return wav
	}
	for want, wav := range map[string][]byte{
		"it does not begin as a WAV file does": change(8, "AVI "),
		"its format chunk is wrong":            change(28, "\x00\x00\x00\x00"),
		"its samples come before their format": change(12, "data"),
		"it ends too early":                    change(40, "\xff\xff\xff\xff"),
	} {
		_, err := readWAV(bytes.NewReader(wav))
		require.EqualError(t, err, want)
	}
	broken := errors.New("broken")
	_, err = readWAV(iotest.ErrReader(broken))
	require.ErrorIs(t, err, broken)
}
