package secret_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// R44: encodings as they are written by hand, in and at the ends of each other, and what is
// none.
func TestCanonical(t *testing.T) {
	for _, test := range []struct{ secret, text, want string }{
		{"sesame7x", "a s%65same7x b", "a REDACTED b"},
		{"sesame7x", "%2573esame7x", "REDACTED"},
		{"sesame7x", "%25%37%33esame7x", "REDACTED"},
		{"sesame7x", "%s%esesame7x%", "%s%eREDACTED%"},
		{"sesame7x", "%u0073esame7x %u73esame7x", "REDACTED %u73esame7x"},
		{"sesame7x", "&#115esame7x&#115;esame7x;", "REDACTEDREDACTED;"},
		{"sesame7x", "&#x73;esame7&#x000000000078", "REDACTED"},
		{"sesame7x", "&#X73;esame7&#00000000000000000120;.", "REDACTED."},
		{"sesame7x", "&amp;#115;esame7x &amp;amp;#115;esame7x", "REDACTED REDACTED"},
		{"sesame7x", "&#38;#115;esame7x &#38#115;esame7x", "REDACTED REDACTED"},
		{"sesame7x", "&#;&#x;&;&# sesame7x&#", "&#;&#x;&;&# REDACTED&#"},
		{"sesame7x", "&nosuch;sesame7x&sesame7x;", "&nosuch;REDACTED&REDACTED;"},
		{"sesame7x", "&#1114112;sesame7x &#xFFFFFFFFF;sesame7x", "&#1114112;REDACTED &#xFFFFFFFFF;REDACTED"},
		{"a<b>c\"d&e'f", "a&LT;b&gtc&quotd&ampe&#39f.", "REDACTED."},
		{"a<b>c\"d&e'f", "a&lt;;b&gt;c&QUOT;d&amp;e&apos;f", "a&lt;;b&gt;c&QUOT;d&amp;e&apos;f"},
		{"grüße", "gr&uuml;&szlig;e gr&uuml&szlig;e gr&#252;&#223e;", "REDACTED REDACTED REDACTED;"},
		{"sesame7x", `\163esame7x \x73esame7x \u0073esame7x \U00000073esame7x`, "REDACTED REDACTED REDACTED REDACTED"},
		{"sesame7x", `\u{73}esame7x \u{0000000073}esame7x \x{73}esame7x`, "REDACTED REDACTED REDACTED"},
		{"sesame7x", `\u{}sesame7x\u{110000}\`, `\u{}REDACTED\u{110000}\`},
		{"sesame7x", `\400sesame7x {73} x{73} \y{73}esame7x`, `\400REDACTED {73} x{73} \y{73}esame7x`},
		{"sesame7x", `\\u0073esame7x \\\\x73esame7x`, "REDACTED REDACTED"},
		{"sesame7x", `\s\e\s\a\m\e\7\x`, `\REDACTED`},
		{"sesame7x", `ses\r\name7x ses\tame7x`, "REDACTED REDACTED"},
		{"sesame7x", "ses\r\n\tame7x, ses-ame-7x, s e s a m e 7 x", "REDACTED, REDACTED, REDACTED"},
		{"sesame7x", "SESAME7X SeSaMe7x", "REDACTED REDACTED"},
		{"sesame7x", "s\x00es\x7fame7x \x00", "REDACTED \x00"},
		{"sesame7x", "ses\u200bame7x\u200b s\u00adesame7x ses\ufeffame\u20667x", "REDACTED\u200b REDACTED REDACTED"},
		{"se same", "se+same se  same se&nbsp;same se\u00a0same se%20same", "REDACTED REDACTED REDACTED REDACTED REDACTED"},
		{"sesame", "ses ame ses\r\name", "ses ame ses\r\name"}, // too short for that
		{"😀smile", `\ud83d\ude00smile \uD83D\uDE00smile &#55357;&#56832;smile`, "REDACTED REDACTED REDACTED"},
		{"😀smile", "\xed\xa0\xbd\xed\xb8\x80smile %ED%A0%BD%ED%B8%80smile &#x1f600;smile", "REDACTED REDACTED REDACTED"},
		{"😀smile", `\ude00\ud83dsmile \ud83dsmile`, `\ude00\ud83dsmile \ud83dsmile`},
		{"grüße", "gr\xfc\xdfe grÃ¼Ã\u009fe gr%fc%dfe gr%C3%BC%c3%9Fe", "REDACTED REDACTED REDACTED REDACTED"},
		{"gr\xfc\xdfe", "grüße grÃ¼Ã\u009fe R3L8Zw== Z3LDvMOfZQ== 6772fcdf65 6772c3bcc39f65", "REDACTED REDACTED R3L8Zw== REDACTED== REDACTED REDACTED"},
		{"пароль", "\\u043f\\u0430\\u0440\\u043e\\u043b\\u044c &#1087;&#1072;&#1088;&#1086;&#1083;&#1100;", "REDACTED REDACTED"},
		{"äöü", "&auml;&ouml;&uuml; \xe4\xf6\xfc äöü", "REDACTED REDACTED REDACTED"},
		{"%41bcdef", "%41bcdef Abcdef %2541bcdef", "REDACTED REDACTED REDACTED"},
		{`ends with\`, `ends with\ ends with\\ ends with%5c "ends with\""`, `REDACTED REDACTED\ REDACTED%5c "REDACTED""`},
		{`sesame7x`, `sesame7x\r\n "sesame7x\" CORP\sesame7x`, `REDACTED\r\n "REDACTED\" CORP\REDACTED`},
		{"ends with%", "ends with%41 ends with%25 ends with%", "REDACTED41 REDACTED REDACTED"},
		{"73 is it", "%73 is it", "%REDACTED"},
		{"abcdefgh", "61:62:63:64:65:66:67:68 0x6162636465666768 61 62 63 64 65 66 67 68", "REDACTED 0xREDACTED REDACTED"},
		{"abcdefgh", "YWJjZGVmZ2g YWJjZGVmZ2gK eGFiY2RlZmdoeQ== eHhhYmNkZWZnaHg=", "REDACTED REDACTEDK eREDACTEDeQ== eHREDACTEDg="},
		{"abcdefgh", "YWJj\r\nZGVm\r\nZ2g= YWJj ZGVm Z2g=", "REDACTED= REDACTED="},
		{"&#65;BCDE", "&#65;BCDE %26%2365%3BBCDE &amp;#65;BCDE &#38;#65&#59;BCDE a%26%2365%3BBCD", "REDACTED REDACTED REDACTED REDACTED a%26%2365%3BBCD"},
		{"kurz", "%26%23107%3B%26%23117%3B%26%23114%3B%26%23122%3B", "REDACTED"},
		{"a;bcd", "&#97&#59&#98&#99&#100 a%3Bbcd", "REDACTED REDACTED"},
		{"%41%42", "%2541%2542 %41%42 ab", "REDACTED REDACTED ab"}, // the canonical form is too short
		{"    x", "%20%20%20%20x ++++x  x", "REDACTED REDACTED  x"},
		{`"\"\`, "&#34;\\&#34;\\ %22%5C%22%5C", "REDACTED REDACTED"},
		{"Sesam-open!42", "100%536573616d2d6f70656e213432 100%25536573616d2d6f70656e213432", "100REDACTED 100REDACTED"},
		{"p@ss:w/rd", "100%cEBzczp3L3Jk", "100REDACTED"},
		{"100%sure&not;", `CORP\\100%25sure%26not%3B CORP\100%sure&amp;not;`, "CORPREDACTED CORPREDACTED"},
		{strings.Repeat("ab", 600), strings.Repeat("ab", 601), "REDACTED"},
	} {
		assert.Equal(t, test.want, sent(test.secret).StrikeString(test.text), "%q in %q", test.secret, test.text)
	}
}
