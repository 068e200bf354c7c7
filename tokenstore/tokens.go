package tokenstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

// Tokens issues, verifies, refreshes and ends tokens that have a record in a Store. Whose issuer they are is said by the
// decision or the credential, so one Tokens serves an Exchanger that is copied for every issuer. It must not be changed
// once it is in use; then any number of goroutines may share it.
//
//	tokens := &tokenstore.Tokens{Store: tokenstore.NewMemory(), JWT: signer, Subjects: directory}
//	verifier, err := tokenexchange.NewVerifier(tokenexchange.Trust{Live: tokens.Live, …})
//	tokens.Verify = verifier.Verify
//	x.Tokens = tokens
//	x.Verify = tokenexchange.Verifiers{
//		tokenexchange.TypeAccessToken: tokens.VerifyToken, tokenexchange.TypeJWT: tokens.VerifyToken,
//		tokenexchange.TypeIDToken: tokens.VerifyToken,
//	}
type Tokens struct {
	Store Store // nil: every method fails

	// JWT signs every token that is not opaque, and ID tokens. Nil: a decision that asks for one is an error.
	JWT *tokenexchange.JWTIssuer

	// Verify verifies JWTs, (*tokenexchange.Verifier).Verify fits; in its Trust of our own issuer, Live must be that of
	// these Tokens. Nil: every JWT is refused.
	Verify func(context.Context, tokenexchange.Credential) (tokenexchange.Token, error)

	// Opaque are the types that are issued as opaque tokens, each with the prefix of its values: letters, digits and
	// underscores. Nil: access tokens only, with "at_". Refresh tokens are always opaque, with "rt_", and TypeJWT and
	// TypeIDToken never are.
	Opaque map[tokenexchange.TokenType]string

	// MayAct says who may act with a token that is about to be issued, opaque or signed. It is
	// asked where the token does not carry the may_act of the subject token (Decision.MayAct), and
	// where the rule lets it replace that one (Decision.ReplaceMayAct). A nil answer names no
	// party, and replaces nothing; an error means that nothing is issued. Nil: only a carried
	// may_act is written (D17).
	MayAct func(context.Context, tokenexchange.Decision) (*tokenexchange.Actor, error)

	// Keep names the claims of subject and actor tokens that a refresh keeps, where a resolver or a hook of the host
	// reads Token.Claims. Nil: none, since all else that a later decision and an ID token need is in fields of their own.
	Keep []string

	// Subjects is asked by IntrospectionHandler and VerifyActive whether the subject of a token and
	// the current actor of its chain are still active, as an Exchanger asks at every exchange; it
	// may be the same resolver. Nil: introspection does not ask, and a token of somebody who has
	// been disabled stays active there until it expires or is revoked.
	Subjects tokenexchange.SubjectResolver

	// Report is told why a handler has refused or failed, for a log; the caller only gets the code. What Refresh answers is
	// audited besides. Nil: nobody is told.
	Report func(context.Context, error)

	// RememberEnded is how long EndDelegation is remembered. It should be longer than any login,
	// grant or user id can be exchanged. Zero is ten years.
	RememberEnded time.Duration

	Now func() time.Time // for what is not told the time: Live, Record, Mint, Revoke, List, delegations and the handlers; nil is time.Now
}

const kindGrant = "grant"

func (t *Tokens) now() time.Time {
	if t.Now == nil {
		return time.Now()
	}
	return t.Now()
}

var errNoStore = errors.New("tokenstore: Tokens without a Store")

// no is a refusal with a reason for the audit trail.
func no(reason string, cause error) error {
	return &tokenexchange.Error{Code: tokenexchange.InvalidRequest, Reason: reason, Err: cause}
}

// Live fits in tokenexchange.Trust. Nil: the token has a record, of its kind, and neither it nor anything that it was
// made from is revoked. A token that is unknown, expired, revoked or spent is an error with the code InvalidRequest, any
// other error a failure. So what a host issues elsewhere, at a login, it must Record.
func (t *Tokens) Live(ctx context.Context, tok tokenexchange.Token) error {
	if t.Store == nil {
		return errNoStore
	}
	r, err := t.Store.Get(ctx, t.now(), TokenKey(tok))
	if err != nil {
		return err
	}
	recorded, _, err := decode(tok.Issuer, r)
	switch {
	case err != nil:
		return err
	case recorded.Type != tok.Type:
		return no("D07: recorded as a token of another type", nil)
	case r.Spent:
		return no("D09: the ticket has been used", ErrSpent)
	}
	if seen, ok := ctx.Value(recordSeen{}).(*tokenexchange.Kind); ok {
		*seen = recorded.Kind
	}
	return nil
}

// Record notes a token that the host has made elsewhere, at a login or for a client's own use, so that it is live and can
// be introspected, revoked and exchanged. Issuer, ID, Type and Expires are needed; Kind is told to the resolver when the
// token is presented. Parents end it when they are revoked: the session of the login is one for which KeyOf("session",
// issuer, id) is a good name, with no record of its own. Claims are not kept.
func (t *Tokens) Record(ctx context.Context, tok tokenexchange.Token, parents ...Key) error {
	r, err := record(tok, nil, parents, Key{})
	if err != nil {
		return err
	}
	if t.Store == nil {
		return errNoStore
	}
	return t.Store.Commit(ctx, t.now(), Batch{Put: []Record{r}})
}

// Mint makes an opaque token that says what tok says, and records it as Record does. The type must be an opaque one, or
// TypeRefreshToken, which can then be presented as far as VerifyRefreshToken is in use, and not be refreshed. The ID is
// made here.
func (t *Tokens) Mint(ctx context.Context, tok tokenexchange.Token, parents ...Key) (tokenexchange.IssuedToken, error) {
	prefix, opaque := t.prefix(tok.Type)
	if !opaque {
		return tokenexchange.IssuedToken{}, fmt.Errorf("tokenstore: type %q is not opaque", tok.Type)
	}
	value := newValue(prefix)
	tok.ID = handle(value)
	if err := t.Record(ctx, tok, parents...); err != nil {
		return tokenexchange.IssuedToken{}, err
	}
	undo := Batch{Put: []Record{{Key: TokenKey(tok)}}}
	return tokenexchange.IssuedToken{Value: value, ID: tok.ID, Expires: tok.Expires, Discard: t.discard(undo)}, nil
}

// record is what the store keeps of a token.
func record(tok tokenexchange.Token, g *grant, parents []Key, owner Key) (Record, error) {
	if tok.Issuer == "" || tok.ID == "" || tok.Type == "" || tok.Type == tokenexchange.TypeJWT {
		return Record{}, errors.New("tokenstore: a token without issuer, ID or a type that says what it is")
	}
	data, err := encode(tok, g)
	return Record{Key: TokenKey(tok), Ancestors: parents, Owner: owner, Expires: tok.Expires, Data: data}, err
}

func (t *Tokens) discard(b Batch) func(context.Context) error {
	return func(ctx context.Context) error { return t.Store.Discard(ctx, b) }
}

// Revoke ends a token and everything that was made from it; a refresh token with its whole grant, all that was issued
// under it (RFC 7009 §2.1). Issuer and ID name it, and Expires says how long a token of which there is no record must be
// remembered: one of another issuer can be revoked too. A token that has ended is no error.
func (t *Tokens) Revoke(ctx context.Context, tok tokenexchange.Token) error {
	if t.Store == nil {
		return errNoStore
	}
	key, now := TokenKey(tok), t.now()
	if key == (Key{}) {
		return errors.New("tokenstore: a token without issuer or ID cannot be revoked")
	}
	r, err := t.Store.Get(ctx, now, key)
	var refusal Refusal
	switch {
	case errors.As(err, &refusal):
		return t.Store.Revoke(ctx, now, key, tok.Expires)
	case err != nil:
		return err
	}
	_, g, err := decode(tok.Issuer, r)
	if err != nil {
		return err
	}
	if g != nil {
		key = g.Key
	}
	return t.Store.Revoke(ctx, now, key, r.Expires)
}

// List returns a page of the live tokens that exchanges have issued about somebody, refresh tokens
// included, the user's own ones as well as those that an actor has, see Delegations. Tokens that a
// host records or mints itself are not among them. Revoke ends one.
//
// A page has at most limit tokens, and at most MaxPage; a limit below 1 is an error. A page may
// have fewer tokens, or none, although more follow. next is the value of after for the next page,
// and is empty after the last page; an empty after begins. It names a position in the list and is
// not a secret. The order has no meaning. A token that is live from the first page to the last is
// on exactly one.
func (t *Tokens) List(ctx context.Context, about tokenexchange.Identity, after string, limit int) (
	page []tokenexchange.Token, next string, err error) {
	var from Key
	if after != "" {
		if from, err = parseKey(after); err != nil {
			return nil, "", fmt.Errorf("tokenstore: not a position in a list: %w", err)
		}
	}
	if t.Store == nil {
		return nil, "", errNoStore
	}
	records, to, err := t.Store.List(ctx, t.now(), ownerKey(about), from, limit)
	if err != nil {
		return nil, "", err
	}
	for _, r := range records {
		tok, _, err := decode(about.Issuer, r)
		if err != nil {
			return nil, "", err
		}
		if !r.Spent {
			page = append(page, tok)
		}
	}
	if to != (Key{}) {
		next = to.text()
	}
	return page, next, nil
}

// all yields the records about somebody, spent ones included. It ends after an error.
func (t *Tokens) all(ctx context.Context, about tokenexchange.Identity) iter.Seq2[finding, error] {
	return func(yield func(finding, error) bool) {
		for r, err := range t.records(ctx, ownerKey(about)) {
			f := finding{Record: r}
			if err == nil {
				f.token, f.grant, err = decode(about.Issuer, r)
			}
			if !yield(f, err) || err != nil {
				return
			}
		}
	}
}

// records yields the records of an owner, and reads each page when it is needed. It ends after an
// error.
func (t *Tokens) records(ctx context.Context, owner Key) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if t.Store == nil {
			yield(Record{}, errNoStore)
			return
		}
		var after Key
		for {
			page, next, err := t.Store.List(ctx, t.now(), owner, after, MaxPage)
			if err == nil && next != (Key{}) && compareKeys(next, after) <= 0 {
				err = errors.New("tokenstore: next of Store.List is not greater than after")
			}
			if err != nil {
				yield(Record{}, err)
				return
			}
			for _, r := range page {
				if !yield(r, nil) {
					return
				}
			}
			if next == (Key{}) {
				return
			}
			after = next
		}
	}
}

func ownerKey(id tokenexchange.Identity) Key {
	return KeyOf("owner", id.Issuer, string(id.Kind), id.Tenant, id.ID)
}

// Once is replay memory: nil for the first who says the id within its kind and issuer, ErrSpent for everybody else until
// then, on whatever machine. It is for the jti of assertions (RFC 7523 §3); kind keeps their name spaces apart, see KeyOf.
// Until should be the expiry of the assertion, which a host should bound: so long the store remembers.
func (t *Tokens) Once(ctx context.Context, now time.Time, kind, issuer, id string, until time.Time) error {
	if t.Store == nil {
		return errNoStore
	}
	return t.Store.Commit(ctx, now, Batch{Spend: []Mark{{Key: KeyOf(kind, issuer, id), Until: until}}})
}
