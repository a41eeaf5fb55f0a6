package secret

import (
	"bytes"
	"cmp"
	"slices"
	"unicode"
	"unicode/utf8"
)

// work is what a Sent needs to strike secrets out of texts.
type work struct {
	short  []string // secrets that are struck as words
	shapes *shapes  // of the others

	// Buffers for one text.
	text  []byte
	form  canonical
	spans []span
}

// find returns where the secrets are in text, sorted by where they begin.
func (w *work) find(text []byte) []span {
	w.spans = w.spans[:0]
	for _, word := range w.short {
		w.findWord(text, word)
	}
	w.shapes.plain.each(text, func(begin int, shape *shape) bool {
		w.found(text, span{begin, begin + len(shape.text)})
		return true
	})
	w.form.read(text, false)
	if w.shapes.canonical.in(w.form.text) || w.shapes.letters.in(w.form.letters) {
		w.form.read(text, true)
		w.shapes.canonical.each(w.form.text, func(begin int, shape *shape) bool {
			w.found(text, w.inForm(begin, begin+len(shape.text), shape))
			return true
		})
		w.shapes.letters.each(w.form.letters, func(begin int, shape *shape) bool {
			w.found(text, w.inLetters(begin, begin+len(shape.text), shape))
			return true
		})
	}
	slices.SortFunc(w.spans, func(a, b span) int { return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(b.end, a.end)) })
	return w.spans
}

// original returns what a part of the canonical form stands for.
func (w *work) original(begin, end int) span {
	return span{w.form.from[begin].begin, w.form.from[end-1].end}
}

// inForm returns the place in the original of a shape that is at begin of the canonical form.
func (w *work) inForm(begin, end int, shape *shape) span {
	form := w.form.text
	before := len(bytes.TrimRight(form[:begin], " =")) - 1
	after := len(form) - len(bytes.TrimLeft(form[end:], " ="))
	return w.withEnds(begin, end, before, after, shape)
}

// inLetters is inForm for a shape that is at begin of the letters.
func (w *work) inLetters(begin, end int, shape *shape) span {
	form, at := w.form.text, w.form.at
	before, after := -1, len(form)
	if begin > 0 {
		before = at[begin-1]
	}
	if end < len(at) {
		after = at[end]
	}
	begin, end = at[begin], at[end-1]+1
	// Line ends may be between, also as the letters of \r\n, and a "+" or "/" of base64.
	before += len(bytes.TrimRight(form[before+1:begin], " =rn"))
	after -= len(bytes.TrimLeft(form[end:after], " =rn"))
	return w.withEnds(begin, end, before, after, shape)
}

// withEnds is original, with those of the bytes before and after that belong to the shape.
func (w *work) withEnds(begin, end, before, after int, shape *shape) span {
	form := w.form.text
	if shape.left && before >= 0 && isBase64(form[before]) {
		begin = before
	}
	if shape.right && after < len(form) && isBase64(form[after]) {
		end = after + 1
	}
	return w.original(begin, end)
}

// found notes the place of a secret.
func (w *work) found(text []byte, at span) {
	if !inWithheld(text, at) {
		w.spans = append(w.spans, at)
	}
}

// inWithheld reports whether a part of text belongs to what is struck already.
func inWithheld(text []byte, at span) bool {
	near := text[max(0, at.begin-len(Withheld)+1):min(len(text), at.end+len(Withheld)-1)]
	return bytes.Contains(near, []byte(Withheld)) && !bytes.Contains(text[at.begin:at.end], []byte(Withheld)) ||
		string(text[at.begin:at.end]) == Withheld
}

func isBase64(b byte) bool {
	return isAlphanumeric(b) || b == '+' || b == '/' || b == '-' || b == '_'
}

// findWord notes where word has no letter or digit beside it.
func (w *work) findWord(text []byte, word string) {
	touches := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	for at := 0; ; {
		i := bytes.Index(text[at:], []byte(word))
		if i < 0 {
			return
		}
		begin := at + i
		end := begin + len(word)
		before, _ := utf8.DecodeLastRune(text[:begin])
		after, _ := utf8.DecodeRune(text[end:])
		if touches(before) || touches(after) { // RuneError at the ends
			_, size := utf8.DecodeRune(text[begin:])
			at = begin + size
			continue
		}
		w.spans = append(w.spans, span{begin, end})
		at = end
	}
}

// cut returns the length of text without the beginning of a secret at its end.
func (w *work) cut(text []byte) int {
	end := len(text)
	for _, word := range w.short {
		end = min(end, len(text)-overlap(text, word))
	}
	n, _ := w.shapes.plain.cut(text)
	end = min(end, len(text)-n)
	rest := text
	for range maxCut { // each time without the encoding that is cut off, with which another may be
		w.form.read(rest, true)
		end = min(end, w.cutForm(rest))
		if w.form.whole == len(rest) {
			break
		}
		rest = rest[:w.form.whole]
	}
	if i := bytes.LastIndex(text[:min(len(text), end+len(Withheld)-1)], []byte(Withheld)); i >= 0 && i < end {
		end = max(end, i+len(Withheld))
	}
	return end
}

// maxCut bounds how many encodings, one in another, may be cut off together: a digit of a
// character reference, percent-encoded, is in two, and with a part of UTF-8 before it, in three.
const maxCut = 6

// cutForm is cut by the canonical form that w has of text.
func (w *work) cutForm(text []byte) int {
	end, form := len(text), len(w.form.text)
	if n, shape := w.shapes.canonical.cut(w.form.text); n > 0 {
		end = w.inForm(form-n, form, shape).begin
	}
	if n, shape := w.shapes.letters.cut(w.form.letters); n > 0 {
		end = min(end, w.inLetters(len(w.form.letters)-n, len(w.form.letters), shape).begin)
	}
	return end
}
