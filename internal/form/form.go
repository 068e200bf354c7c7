// Package form reads the forms that the endpoints of an authorization server get: by the letter of RFC 6749 §3.2, from the
// body and nowhere else. Which parameters mean what is not its business.
package form

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// What one form may bring (R10). More is refused, never cut.
const (
	// MaxBody is how many bytes of form are read.
	MaxBody = 1 << 20

	// maxParameters is how many name=value pairs one form may have. It is far above what a form can use, and keeps a body of
	// nothing but separators cheap.
	maxParameters = 1 << 14

	// MaxValue is how many bytes a value may have, a token above all. Of those that exceed it nothing but the length counts.
	MaxValue = 64 << 10

	// maxRepeats is how many values of one name there can be in a form that is not refused: the most targets of an exchange.
	maxRepeats = 16
)

// authentication are the parameters by which a client says who it is (RFC 6749 §2.3.1, RFC 7521 §4.2).
var authentication = []string{"client_id", "client_secret", "client_assertion", "client_assertion_type"}

// Problem is why a form is malformed for any client. Err is the cause; nil if the reason says all.
type Problem struct {
	Reason string // begins with the row that it is about
	Err    error
}

// Read fills in r.PostForm from the body alone, and leaves the body to be read once more; a form that has been parsed
// already is used as it is. inBody are the parameters, beside those that say who the client is, that must not be in the
// query. Nil means that nothing is wrong.
func Read(w http.ResponseWriter, r *http.Request, inBody []string) *Problem {
	if !isForm(r.Header.Values("Content-Type")) {
		return &Problem{Reason: "R01: not a form"}
	}
	if r.PostForm == nil {
		text, err := read(http.MaxBytesReader(w, r.Body, MaxBody), r.ContentLength)
		if err != nil {
			return &Problem{"R10: the body cannot be read, or is too long", err}
		}
		if r.PostForm, err = parse(text); err != nil {
			return &Problem{"R01: the body is not a form", err}
		}
		r.Body = io.NopCloser(strings.NewReader(text))
	} else if size(r.PostForm) > MaxBody {
		return &Problem{Reason: "R10: the body is too long"}
	}
	if problem := checkQuery(r.URL.RawQuery, inBody); problem != nil {
		return problem
	}
	return checkAuthentication(r)
}

// checkAuthentication refuses a request that two readers could attribute to two clients. RFC 6749
// §2.3 allows one way of authentication, and RFC 9110 §5.3 one Authorization header; of several,
// net/http reads the first.
func checkAuthentication(r *http.Request) *Problem {
	if n := len(r.Header.Values("Authorization")); n > 1 {
		return &Problem{Reason: fmt.Sprintf("R09: %d Authorization headers; 1 at most", n)}
	}
	secret := r.PostForm.Get("client_secret") != ""
	assertion := r.PostForm.Get("client_assertion") != ""
	if UsesBasic(r) && (secret || assertion) || secret && assertion {
		return &Problem{Reason: "R09: two ways of client authentication in one request"}
	}
	return nil
}

// usual is how long the body of an exchange with two tokens may well be.
const usual = 8 << 10

// read is io.ReadAll. Where the length of the body is said, and is usual, there is room for it at once, and for the end that
// has to be seen; more is only made for what has really come.
func read(body io.Reader, length int64) (string, error) {
	if length < 0 || length > usual {
		return readLong(body, length)
	}
	text := make([]byte, 0, max(int(length)+1, bytes.MinRead))
	for {
		n, err := body.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		switch {
		case err == io.EOF:
			return string(text), nil
		case err != nil:
			return "", err
		case len(text) == cap(text):
			text = slices.Grow(text, len(text))
		}
	}
}

// readLong is for bodies that may be long. It allocates 1.3 times MaxBody at most, where io.ReadAll allocates 5 times, and
// holds eight times of what has come, so that announcing a long body holds nothing.
func readLong(body io.Reader, length int64) (string, error) {
	if length < 0 || length > MaxBody {
		length = MaxBody
	}
	text, chunk := &strings.Builder{}, make([]byte, 4*usual)
	for {
		n, err := body.Read(chunk)
		if need := text.Len() + n; need > text.Cap() {
			larger := &strings.Builder{} // a Builder that grows by itself takes twice as much as it is told
			larger.Grow(max(need, min(8*need, int(length))))
			larger.WriteString(text.String())
			text = larger
		}
		text.Write(chunk[:n])
		switch {
		case err == io.EOF:
			return text.String(), nil
		case err != nil:
			return "", err
		}
	}
}

// UsesBasic reports whether the client tried to authenticate with the Basic scheme, however badly.
func UsesBasic(r *http.Request) bool {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "Basic")
}

const formType = "application/x-www-form-urlencoded"

// isForm reports whether there is one Content-Type and it says that the body is a form of UTF-8.
func isForm(contentType []string) bool {
	if len(contentType) != 1 {
		return false
	}
	if contentType[0] == formType {
		return true // as nearly everybody writes it; the rest of this takes 150 ns
	}
	media, params, err := mime.ParseMediaType(contentType[0])
	charset, given := params["charset"]
	return err == nil && media == formType && (!given || strings.EqualFold(charset, "utf-8"))
}

// parse reads application/x-www-form-urlencoded, and nothing that is nearly that. net/url would stop at ten thousand
// pairs, before anybody could say that they are too many targets. What is refused for its length or its number whatever it
// says is not unescaped: a value of more than MaxValue, and those that follow more than any parameter may have.
func parse(text string) (url.Values, error) {
	pairs := strings.Count(text, "&") + 1
	if pairs > maxParameters {
		return nil, errors.New("too many parameters")
	}
	form := url.Values{}
	values := make([]string, 0, pairs) // one allocation for what is mostly one value for each name
	var (
		raw, name string   // of the pair before; who repeats a name does so in a row, and it is looked up once
		list      []string // the values of the name
		first     int      // where they are in values; -1: they have an allocation of their own
	)
	for pair := range strings.SplitSeq(text, "&") {
		if pair == "" {
			continue
		}
		value, same := strings.CutPrefix(pair, raw)
		if same = same && list != nil && value != "" && value[0] == '='; same {
			value = value[1:]
		} else {
			if list != nil {
				form[name] = list
			}
			var err error
			raw, value, _ = strings.Cut(pair, "=")
			if name, err = unescape(raw); err != nil {
				return nil, err
			}
			if list, first = form[name], len(values); list != nil {
				first = -1
			}
		}
		var err error
		if len(list) > maxRepeats {
			err = checkEscapes(value)
		} else {
			value, err = unescape(value)
		}
		if err != nil {
			return nil, err
		}
		if first < 0 {
			list = append(list, value)
			continue
		}
		values = append(values, value)
		list = values[first:len(values):len(values)]
	}
	if list != nil {
		form[name] = list
	}
	return form, nil
}

var errEscape = errors.New("malformed escape")

// unescape is url.QueryUnescape in a third of the time, or in hardly any where nothing is escaped: a body of 1 MiB must not
// cost much more than it costs to send it.
func unescape(text string) (string, error) {
	escapes := strings.Count(text, "%")
	switch {
	case escapes == 0 && strings.IndexByte(text, '+') < 0:
		return text, nil
	case len(text)-2*escapes > MaxValue:
		return text, checkEscapes(text)
	}
	room, n := max(0, len(text)-2*escapes), 0
	var short [256]byte // on the stack: one allocation less for what is short
	plain := short[:min(room, len(short))]
	if room > len(short) {
		plain = make([]byte, room)
	}
	for i := 0; i < len(text); i++ {
		if n == len(plain) {
			return "", errEscape // one that ends too soon has left no room
		}
		c := text[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			if i+2 >= len(text) {
				return "", errEscape
			}
			high, low := hex[text[i+1]], hex[text[i+2]]
			if high|low > 15 {
				return "", errEscape
			}
			c, i = high<<4|low, i+2
		}
		plain[n] = c
		n++
	}
	return string(plain), nil
}

// checkEscapes is all that is wanted of a text that is refused, or of no interest, whatever it says.
func checkEscapes(text string) error {
	bad := byte(0)
	for i := 0; i < len(text); i += 3 {
		if text[i] != '%' {
			skip := strings.IndexByte(text[i:], '%')
			if skip < 0 {
				break
			}
			i += skip
		}
		if i+2 >= len(text) {
			return errEscape
		}
		bad |= hex[text[i+1]] | hex[text[i+2]] // looked at once, at the end: a third of the time
	}
	if bad > 15 {
		return errEscape
	}
	return nil
}

// hex has the value of each hex digit, and more than 15 for what is none.
var hex = func() (table [256]byte) {
	for c := range table {
		if at := strings.IndexByte("0123456789abcdef0123456789ABCDEF", byte(c)); at >= 0 {
			table[c] = byte(at % 16)
		} else {
			table[c] = 0xFF
		}
	}
	return table
}()

// size is about what a form was as a body.
func size(form url.Values) int {
	n := 0
	for name, values := range form {
		for _, value := range values {
			n += len(name) + len(value) + len("=&")
		}
	}
	return n
}

func checkQuery(raw string, inBody []string) *Problem {
	if raw == "" {
		return nil
	}
	query, err := parse(raw)
	if err != nil {
		return &Problem{"R01: a malformed query", err}
	}
	for _, names := range [][]string{authentication, inBody} {
		for _, name := range names {
			if query.Has(name) {
				return &Problem{Reason: "R01: a parameter of the body in the query"}
			}
		}
	}
	return nil
}
