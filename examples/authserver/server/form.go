package server

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The forms of login and consent carry the authorization request that they belong to in a hidden
// field. The server keeps nothing for a form, so login pages take no memory.

// formLifetime is how long a user may take to fill in a form.
const formLifetime = 10 * time.Minute

// longestForm is how many bytes a filled-in form may have. A sealed authorization request is a
// third longer than the request.
const longestForm = 2 * longestAuthorization

// fieldTransaction is the hidden field.
const fieldTransaction = "transaction"

// sealer encrypts and authenticates hidden fields with a key that ends with the process. Several
// processes that serve one issuer need the same key. The nonces are random, which is safe for 2^32
// values.
type sealer struct{ cipher.AEAD }

func newSealer() (sealer, error) {
	key := make([]byte, 32)
	rand.Read(key) // never fails
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return sealer{aead}, err
}

// sealedForm is the content of a hidden field.
type sealedForm struct {
	id      string // unique
	request string // the authorization request, form-encoded
	expires time.Time
}

// seal makes the hidden field of a form of one kind. The form is accepted from its holder only: the
// browser or the session for which it was made.
func (s sealer) seal(kind, holder, request string, expires time.Time) string {
	text := strconv.FormatInt(expires.Unix(), 10) + "?" + request
	sealed := s.Seal(nil, nil, []byte(text), []byte(kind+" "+holder))
	return base64.RawURLEncoding.EncodeToString(sealed)
}

// open reads a hidden field. The id is the sealed bytes and not their base64, since several texts
// decode to the same bytes.
func (s sealer) open(kind, holder, value string, now time.Time) (sealedForm, error) {
	sealed, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		return sealedForm{}, refuse("the field " + fieldTransaction + " is not base64url")
	}
	text, err := s.Open(nil, nil, sealed, []byte(kind+" "+holder))
	if err != nil {
		return sealedForm{}, refuse("the field " + fieldTransaction + " is not a " + kind +
			" form that this server has made for this browser or session")
	}
	seconds, request, _ := strings.Cut(string(text), "?")
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return sealedForm{}, err
	}
	f := sealedForm{id: string(sealed), request: request, expires: time.Unix(unix, 0)}
	if !now.Before(f.expires) {
		return sealedForm{}, refuse("the " + kind + " form expired at " + f.expires.UTC().String())
	}
	return f, nil
}

// seal makes the hidden field for an authorization request.
func (s *Server) seal(kind, holder string, a *authorization) string {
	return s.forms.seal(kind, holder, a.sent, s.clock().Add(formLifetime))
}

// readForm reads a filled-in form and the authorization request that it carries. The request is
// validated again, since the client may have changed. On an error readForm writes the response, and
// ok is false.
func (s *Server) readForm(w http.ResponseWriter, r *http.Request, kind, holder string) (
	f sealedForm, a *authorization, ok bool) {
	r.Body = http.MaxBytesReader(w, r.Body, longestForm)
	if err := r.ParseForm(); err != nil {
		s.showError(w, r, refuse("the form cannot be read"))
		return f, nil, false
	}
	f, err := s.forms.open(kind, holder, r.PostForm.Get(fieldTransaction), s.clock())
	if err != nil {
		s.showError(w, r, err)
		return f, nil, false
	}
	request, err := url.ParseQuery(f.request)
	if err != nil {
		s.showError(w, r, err)
		return f, nil, false
	}
	a, ok = s.readRequest(w, r, request)
	return f, a, ok
}

// spend uses up the form of a user who has authenticated. Otherwise the back button of the browser
// could send the password again.
func (s *Server) spend(ctx context.Context, kind string, f sealedForm) error {
	return s.Tokens.Once(ctx, s.clock(), kind, s.Issuer, f.id, f.expires)
}
