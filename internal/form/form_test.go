package form

import (
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// FuzzUnescape holds unescape to url.QueryUnescape.
func FuzzUnescape(f *testing.F) {
	for _, text := range []string{"", "plain", "a+b", "+", "%41%62+%2B", "%", "%4", "%4g", "%g4", "%%41", "%25%", "%00%ff%FF", "a%2", "%zz", "\xff%41é"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		want, wantErr := url.QueryUnescape(text)
		got, err := unescape(text)
		require.Equal(t, wantErr != nil, err != nil, "%q", text)
		require.Equal(t, want, got, "%q", text)
	})
}

// A body is read whole, however long it is, whatever it says of its length, and in whatever pieces it comes.
func TestRead(t *testing.T) {
	for _, size := range []int{0, 1, 511, 512, 513, usual - 1, usual, usual + 1, 4 * usual, 4*usual + 1, 20*usual + 7, MaxBody} {
		want := strings.Repeat("abc&d=%41", size/9+1)[:size]
		for _, length := range []int64{-1, 0, 1, int64(size), usual, MaxBody} {
			for name, body := range map[string]io.Reader{
				"at once": strings.NewReader(want), "with its end": iotest.DataErrReader(strings.NewReader(want)), "halved": iotest.HalfReader(strings.NewReader(want)),
			} {
				got, err := read(body, length)
				require.NoError(t, err)
				require.True(t, got == want, "%d bytes that say %d, %s", size, length, name)
			}
			_, err := read(io.MultiReader(strings.NewReader(want), iotest.ErrReader(errors.New("cut off"))), length)
			assert.ErrorContains(t, err, "cut off", "%d bytes that say %d", size, length)
		}
	}
}

// What is refused for its length or its number, whatever it says, is not unescaped; what is malformed is an error all the same.
func TestParse_LongAndRepeated(t *testing.T) {
	for name, test := range map[string]struct{ text, value, want string }{
		"the longest":           {"x=" + strings.Repeat("%41", MaxValue), "x", strings.Repeat("A", MaxValue)},
		"a byte more":           {"x=" + strings.Repeat("%41", MaxValue+1), "x", strings.Repeat("%41", MaxValue+1)},
		"a byte more, in words": {"x=" + strings.Repeat("+", MaxValue+1), "x", strings.Repeat("+", MaxValue+1)},
	} {
		form, err := parse(test.text)
		require.NoError(t, err, name)
		require.True(t, form.Get(test.value) == test.want, name)
	}
	form, err := parse(strings.Repeat("x=%41&", 20))
	require.NoError(t, err)
	require.Equal(t, strings.Split("A A A A A A A A A A A A A A A A A %41 %41 %41", " "), form["x"], "one more than there may be is not taken for another")
	for _, end := range []string{"%", "%4", "%4g", "%%41", "%41%"} {
		_, err := parse("x=" + strings.Repeat("%41", MaxValue+1) + end)
		require.ErrorIs(t, err, errEscape, end)
		_, err = parse(strings.Repeat("x=%41&", 20) + "x=" + end)
		require.ErrorIs(t, err, errEscape, end)
	}
}

// FuzzParse holds parse to url.ParseQuery where that reads the form at all.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"", "&&", "a", "a=", "=a", "=", "a=1&a=2&b=3&a=4&b=5", "a=1&&a=2", "=1&=2&a=3&=4", "a%3D=%26&b+c=d", "a=b=c", "%=1", "a=%"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > MaxValue || strings.Contains(text, ";") || strings.Count(text, "&") >= maxRepeats {
			return // what is not unescaped, and what url.ParseQuery alone refuses
		}
		want, wantErr := url.ParseQuery(text)
		got, err := parse(text)
		require.Equal(t, wantErr != nil, err != nil, "%q", text)
		if err == nil {
			require.Equal(t, want, got, "%q", text)
		}
	})
}
