package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"time"
)

// loginTime is how long a login may take.
const loginTime = 10 * time.Minute

// pendingLogin is a login that was sent to the authorization server and has not come back. It is
// kept in a cookie only, so that a million begun logins take no memory here.
type pendingLogin struct {
	State, Nonce, Verifier string
	Begun                  time.Time
}

// sealer encrypts and authenticates logins with a key that ends with this program. A login may be
// opened twice: its code is redeemed once, as the authorization server ensures (RFC 6749 §4.1.2).
type sealer struct{ cipher.AEAD }

func newSealer() (sealer, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return sealer{aead}, err
}

func (s sealer) seal(l pendingLogin) string {
	text, _ := json.Marshal(l) // strings and a time never fail
	return base64.RawURLEncoding.EncodeToString(s.Seal(nil, nil, text, []byte(cookieLogin)))
}

// open returns ok false for a value that this program has not sealed, or has sealed too long ago.
func (s sealer) open(value string, now time.Time) (l pendingLogin, ok bool) {
	sealed, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		return l, false
	}
	text, err := s.Open(nil, nil, sealed, []byte(cookieLogin))
	if err != nil || json.Unmarshal(text, &l) != nil {
		return pendingLogin{}, false
	}
	return l, now.Before(l.Begun.Add(loginTime))
}
