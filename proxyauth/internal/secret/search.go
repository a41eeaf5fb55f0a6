package secret

import "bytes"

// A search looks for several shapes at once, in time that hardly depends on how many
// they are.
type search struct {
	shapes  []shape
	begins  map[uint32][]int // shapes by their first window bytes
	filter  [1 << filterBits / 64]uint64
	longest int
}

// A shape is a text to search for.
type shape struct {
	text        string
	left, right bool // the byte before, or after, belongs to it where it is a digit of base64
}

const (
	window     = 3 // bytes; no shape is shorter
	filterBits = 12
)

// add adds a shape, unless it is too short. index has to be called before the search.
func (s *search) add(shape shape) {
	if len(shape.text) >= window {
		s.shapes = append(s.shapes, shape)
	}
}

func (s *search) index() {
	s.begins = make(map[uint32][]int, len(s.shapes))
	seen := make(map[shape]bool, len(s.shapes))
	for i, shape := range s.shapes {
		if seen[shape] {
			continue
		}
		seen[shape] = true
		var key uint32
		for _, b := range []byte(shape.text[:window]) {
			key = key<<8 | uint32(b)
		}
		s.begins[key] = append(s.begins[key], i)
		h := hash(key)
		s.filter[h/64] |= 1 << (h % 64)
		s.longest = max(s.longest, len(shape.text))
	}
}

// hash returns a number of filterBits bits.
func hash(key uint32) uint32 { return key * 0x9e3779b1 >> (32 - filterBits) }

// each calls found with the place in text of each shape that is in it, until that returns
// false.
func (s *search) each(text []byte, found func(begin int, shape *shape) bool) {
	var key uint32
	for i, b := range text {
		key = (key<<8 | uint32(b)) & (1<<(8*window) - 1)
		if h := hash(key); s.filter[h/64]&(1<<(h%64)) == 0 || i < window-1 {
			continue
		}
		begin := i - window + 1
		for _, n := range s.begins[key] {
			shape := &s.shapes[n]
			if end := begin + len(shape.text); end <= len(text) && string(text[begin:end]) == shape.text && !found(begin, shape) {
				return
			}
		}
	}
}

// in reports whether one of the shapes is in text.
func (s *search) in(text []byte) (found bool) {
	s.each(text, func(int, *shape) bool { found = true; return false })
	return found
}

// cut returns the length of the longest end of text that is the beginning of a shape, or
// a whole one.
func (s *search) cut(text []byte) (length int, cut *shape) {
	text = text[max(0, len(text)-s.longest):]
	for i := range s.shapes {
		shape := &s.shapes[i]
		if n := overlap(text, shape.text); n > length {
			length, cut = n, shape
		}
	}
	return length, cut
}

// overlap returns the length of the longest end of text that is the beginning of shape, in
// linear time (by Knuth, Morris and Pratt).
func overlap(text []byte, shape string) int {
	text = text[max(0, len(text)-len(shape)):]
	if len(text) == 0 || bytes.IndexByte(text, shape[0]) < 0 {
		return 0
	}
	border := make([]int, len(shape)+1) // of each beginning: its longest beginning that is an end of it, too
	for i, n := 1, 0; i < len(shape); i++ {
		for n > 0 && shape[i] != shape[n] {
			n = border[n]
		}
		if shape[i] == shape[n] {
			n++
		}
		border[i+1] = n
	}
	n := 0
	for i, b := range text {
		for n > 0 && (n == len(shape) || b != shape[n]) {
			n = border[n]
		}
		if b == shape[n] {
			n++
		}
		if i == len(text)-1 {
			return n
		}
	}
	return 0
}
