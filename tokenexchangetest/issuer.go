package tokenexchangetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"

	"github.com/go-tokenexchange/tokenexchange"
)

// Issuer is a TokenIssuer of opaque tokens and the verifier of what it made. Access tokens, refresh tokens and ID tokens
// are random text with a record behind it: an ID token of an Issuer is no JWT. The zero Issuer is empty and ready. It is
// safe for concurrent use.
type Issuer struct {
	mu      sync.Mutex
	records map[string]record // by token
	failure error
}

// record is what one token stands for.
type record struct {
	tokenexchange.Token
	decision *tokenexchange.Decision // nil: it was put in
}

// Fail makes IssueToken fail with err and record nothing; nil ends that. What has been issued stays good.
func (i *Issuer) Fail(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.failure = err
}

// IssueToken makes the tokens that the decision asks for, each good until the decision's own end. All of them have one ID
// and go together, by Discard or Revoke. An incomplete decision, the zero Decision for one, is an error. A context that
// is over is its error, as with an issuer that needs the network.
func (i *Issuer) IssueToken(ctx context.Context, d tokenexchange.Decision) (tokenexchange.IssuedToken, error) {
	if err := ctx.Err(); err != nil {
		return tokenexchange.IssuedToken{}, err
	}
	if err := d.Check(); err != nil {
		return tokenexchange.IssuedToken{}, fmt.Errorf("tokenexchangetest: %w", err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.failure != nil {
		return tokenexchange.IssuedToken{}, i.failure
	}
	d = deepCopy(d)
	tok := d.Token(rand.Text())
	t := tokenexchange.IssuedToken{ID: tok.ID, Expires: tok.Expires, Discard: func(context.Context) error {
		i.Revoke(tok.ID)
		return nil
	}}
	t.Value = i.record(tok, &d)
	if d.RefreshToken {
		refresh := tok
		refresh.Type, refresh.Expires = tokenexchange.TypeRefreshToken, d.RefreshExpires
		t.RefreshToken, t.RefreshExpires = i.record(refresh, &d), d.RefreshExpires
	}
	if d.IDToken {
		id := tok
		id.Type, id.Audience, id.Scope = tokenexchange.TypeIDToken, []string{d.Client}, nil
		t.IDToken = i.record(id, &d)
	}
	return t, nil
}

// Put makes a token as if it had been issued before, at a login for one, and returns its value. An empty Type is
// TypeAccessToken and an empty ID is made up; all else is taken as it is. So a zero Expires is a token that has expired,
// and a nil Scope one that does not say its scope.
func (i *Issuer) Put(t tokenexchange.Token) (value string) {
	t = deepCopy(t)
	if t.Type == "" {
		t.Type = tokenexchange.TypeAccessToken
	}
	if t.ID == "" {
		t.ID = rand.Text()
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.record(t, nil)
}

// record is called under the lock.
func (i *Issuer) record(t tokenexchange.Token, d *tokenexchange.Decision) (value string) {
	if i.records == nil {
		i.records = map[string]record{}
	}
	value = rand.Text()
	i.records[value] = record{t, d}
	return value
}

// Verify fits in Verifiers, for every type of token that was issued or put in. A token that is unknown, expired, issued
// under another issuer name or of another type than declared is InvalidRequest; TypeJWT may be any type. A context that
// is over is its error.
func (i *Issuer) Verify(ctx context.Context, c tokenexchange.Credential) (tokenexchange.Token, error) {
	if err := ctx.Err(); err != nil {
		return tokenexchange.Token{}, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	r, known := i.records[c.Token]
	reason := ""
	switch {
	case !known:
		reason = "the token is unknown"
	case r.Issuer != c.Issuer:
		reason = "the token was issued under another issuer name"
	case r.Type != c.Type && c.Type != tokenexchange.TypeJWT:
		reason = "the token is of another type"
	case !c.Now.Before(r.Expires):
		reason = "the token has expired"
	default:
		return deepCopy(r.Token), nil
	}
	return tokenexchange.Token{}, fmt.Errorf("%w: %s", tokenexchange.InvalidRequest, reason)
}

// Decision returns what a token was issued for; false if it is unknown, discarded, revoked or was put in.
func (i *Issuer) Decision(value string) (d tokenexchange.Decision, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	r := i.records[value]
	if r.decision == nil {
		return tokenexchange.Decision{}, false
	}
	return deepCopy(*r.decision), true
}

// Revoke forgets all tokens of an ID, as Discard does. An unknown ID changes nothing.
func (i *Issuer) Revoke(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for value, r := range i.records {
		if r.ID == id {
			delete(i.records, value)
		}
	}
}

// Len is the number of tokens that have a record, expired ones included.
func (i *Issuer) Len() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.records)
}
