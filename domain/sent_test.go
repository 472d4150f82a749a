package domain

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestRule71IDs(t *testing.T) {
	want := uuid.MustParse("0190163d-8694-739b-aea5-966c26f8ad91")
	for _, sent := range []string{
		want.String(), strings.ToUpper(want.String()), strings.ReplaceAll(want.String(), "-", ""), "0190163D8694739BAEA5966C26F8AD91",
		"{" + want.String() + "}", `"` + want.String() + `"`, "'" + want.String() + "'", "[" + want.String() + "]", "<" + want.String() + ">", "`" + want.String() + "`",
		`"{ ` + want.String() + ` }"`, " " + want.String() + "\r\n", "\uFEFF" + want.String(), "{0190163D8694739BAEA5966C26F8AD91}",
	} {
		got, ok := ParseSentID(sent)
		require.True(t, ok, "%q", sent)
		require.Equal(t, want, got, "%q", sent)
	}
	for _, sent := range []string{
		"", "{", "{}", `""`, "123", "{CLICK}", "{" + want.String(), want.String() + "}", "{" + want.String() + `"`, "((((" + want.String() + "))))",
		want.String()[:35], want.String() + "1", "0190163d-8694-739b-aea5966c26f8-ad91", "urn:uuid:" + want.String(),
		strings.Replace(want.String(), "a", "ａ", 1), strings.Replace(want.String(), "-", "_", 1), want.String() + "," + want.String(),
	} {
		_, ok := ParseSentID(sent)
		require.False(t, ok, "%q", sent)
	}
}

func TestRule72StoredText(t *testing.T) {
	for sent, stored := range map[string]string{
		"": "", "member-1": "member-1", "José": "José", " m ": " m ", "Jos\xe9": "bytes:Jos%E9", "Jos\xe8": "bytes:Jos%E8",
		"bytes:Jos%E9": "bytes:bytes%3AJos%25E9", "bytes:": "bytes:bytes%3A", "a\x00b": "bytes:a%00b", "a b\xff": "bytes:a%20b%FF",
		"Bytes:x": "Bytes:x", "x bytes:": "x bytes:", "\xed\xa0\x80": "bytes:%ED%A0%80", "\uFFFD": "\uFFFD",
	} {
		require.Equal(t, stored, StoredText(sent), "%q", sent)
		require.Equal(t, sent, SentText(stored), "%q", stored)
	}
	for _, old := range []string{"bytes:old", "bytes:%zz", "bytes:%c3%a9"} { // from before there was the form
		require.Equal(t, old, SentText(old))
	}
}

// Rule 72: two values never become one, and what is stored is a text.
func FuzzStoredText(f *testing.F) {
	f.Add("Jos\xe9", "Jos\xe8")
	f.Add("bytes:Jos%E9", "Jos\xe9")
	f.Add("a\x00", "a\uFFFD")
	f.Fuzz(func(t *testing.T, a, b string) {
		require.Equal(t, a, SentText(StoredText(a)))
		require.Equal(t, a == b, StoredText(a) == StoredText(b))
		require.NotContains(t, StoredText(a), "\x00")
		require.Equal(t, StoredText(a), strings.ToValidUTF8(StoredText(a), "?"))
	})
}
