package tokenexchangetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

// Issuer is a TokenIssuer of opaque tokens, and their verifier. Access tokens, refresh tokens and
// ID tokens are random texts that name a record in memory; an ID token of an Issuer is not a JWT.
// The zero Issuer is ready to use. It is safe for concurrent use.
type Issuer struct {
	mu      sync.Mutex
	records map[string]record // by token
	failure error
}

// record is the meaning of one token.
type record struct {
	tokenexchange.Token
	decision *tokenexchange.Decision // nil for a token of Put
}

// Fail makes every later IssueToken return err and record nothing; nil ends that. Tokens that were
// issued before stay valid.
func (i *Issuer) Fail(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.failure = err
}

// IssueToken makes the tokens that the decision asks for. Each is valid until the latest expiry
// that the decision allows. They share one ID, so Discard and Revoke end all of them. A decision
// that fails Decision.Check is an error. If ctx has ended, IssueToken returns its error, as an
// issuer that uses the network would.
func (i *Issuer) IssueToken(ctx context.Context,
	d tokenexchange.Decision) (tokenexchange.IssuedToken, error) {
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
	t := tokenexchange.IssuedToken{Value: i.record(tok, &d), ID: tok.ID, Expires: tok.Expires}
	t.Discard = func(context.Context) error {
		i.Revoke(tok.ID)
		return nil
	}
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

// Put makes a token that was not decided by a policy, such as the token of a login, and returns its
// value. An empty Type means TypeAccessToken, and an empty ID is replaced by a random one. All
// other fields are used as they are: a token with a zero Expires has expired, and a token with a
// nil Scope does not state its scope.
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

// record adds a record and returns its token. The caller holds the lock.
func (i *Issuer) record(t tokenexchange.Token, d *tokenexchange.Decision) (value string) {
	if i.records == nil {
		i.records = map[string]record{}
	}
	value = rand.Text()
	i.records[value] = record{t, d}
	return value
}

// Verify is a verifier for Verifiers, for the tokens of IssueToken and Put. A token that is unknown
// or expired, and one whose issuer or type is not that of the credential, is InvalidRequest; a
// credential of TypeJWT matches every type. If ctx has ended, Verify returns its error.
func (i *Issuer) Verify(ctx context.Context,
	c tokenexchange.Credential) (tokenexchange.Token, error) {
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
		reason = fmt.Sprintf("the issuer of the token is %q, not %q", r.Issuer, c.Issuer)
	case r.Type != c.Type && c.Type != tokenexchange.TypeJWT:
		reason = fmt.Sprintf("the type of the token is %s, not %s", r.Type, c.Type)
	case !c.Now.Before(r.Expires):
		reason = "the token expired at " + r.Expires.Format(time.RFC3339)
	default:
		return deepCopy(r.Token), nil
	}
	return tokenexchange.Token{}, fmt.Errorf("%w: %s", tokenexchange.InvalidRequest, reason)
}

// Decision returns the decision that a token was issued for. It returns false if the token is
// unknown, discarded or revoked, and for a token of Put.
func (i *Issuer) Decision(value string) (d tokenexchange.Decision, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	r := i.records[value]
	if r.decision == nil {
		return tokenexchange.Decision{}, false
	}
	return deepCopy(*r.decision), true
}

// Revoke deletes all tokens with the ID, as Discard does. It does nothing if the ID is unknown.
func (i *Issuer) Revoke(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for value, r := range i.records {
		if r.ID == id {
			delete(i.records, value)
		}
	}
}

// Len returns the number of tokens that have a record, expired ones included.
func (i *Issuer) Len() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.records)
}
