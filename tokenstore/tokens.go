package tokenstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/refusal"
)

// Tokens issues, verifies, refreshes and revokes tokens that have a record in a Store. The issuer
// comes from the decision or the credential, so one Tokens serves an Exchanger that is copied for
// every issuer. It must not be changed once it is in use; then it is safe for concurrent use.
//
//	tokens := &tokenstore.Tokens{Store: tokenstore.NewMemory(), JWT: signer, Subjects: directory}
//	verifier, err := tokenexchange.NewVerifier(tokenexchange.Trust{Live: tokens.Live, …})
//	tokens.Verify = verifier.Verify
//	x.TokenIssuer = tokens
//	x.Verify = tokenexchange.Verifiers{
//		tokenexchange.TypeAccessToken: tokens.VerifyToken,
//		tokenexchange.TypeJWT:         tokens.VerifyToken,
//		tokenexchange.TypeIDToken:     tokens.VerifyToken,
//	}
type Tokens struct {
	// Store keeps the records. If it is nil, every method fails.
	Store Store

	// JWT signs ID tokens and every other token that is not opaque. If it is nil, a decision that
	// needs it is an error.
	JWT *tokenexchange.JWTIssuer

	// Verify verifies JWTs; the method Verify of a tokenexchange.Verifier fits. In its Trust for
	// our own issuer, Live must be the method Live of these Tokens. If it is nil, every JWT is
	// refused.
	Verify func(context.Context, tokenexchange.Credential) (tokenexchange.Token, error)

	// Opaque has the types that are issued as opaque tokens, each with the prefix of its values,
	// which consists of letters, digits and underscores. Nil means access tokens only, with "at_".
	// Refresh tokens are always opaque, with "rt_". TypeJWT and TypeIDToken never are.
	Opaque map[tokenexchange.TokenType]string

	// MayAct returns the party that may act with a token that is about to be issued. It is asked
	// if the token does not carry over the may_act of the subject token (Decision.MayAct), and if
	// the rule lets the answer replace that may_act (Decision.ReplaceMayAct). A nil party sets and
	// replaces nothing. After an error nothing is issued. If MayAct is nil, a token has only the
	// may_act that it carries over (D17).
	MayAct func(context.Context, tokenexchange.Decision) (*tokenexchange.Actor, error)

	// Keep names the claims of subject and actor tokens that a grant records, for a resolver or a
	// hook of the host that reads Token.Claims at a refresh. Nil means none. A later decision and
	// an ID token need no claims, because all that they use is in fields of Token.
	Keep []string

	// Subjects tells IntrospectionHandler and VerifyActive whether the subject of a token and the
	// current actor of its chain are still active. It may be the resolver of the Exchanger, which
	// asks it at every exchange. If it is nil, introspection does not ask, and the token of a
	// disabled user stays active there until it expires or is revoked.
	Subjects tokenexchange.SubjectResolver

	// Report gets the errors for which a handler refuses a request or fails, for a log. The client
	// gets only the code. The results of Refresh are audited as well. If Report is nil, the errors
	// are dropped.
	Report func(context.Context, error)

	// RememberEnded is how long EndDelegation is remembered. It should be longer than any login,
	// grant or user ID can be exchanged. Zero means ten years.
	RememberEnded time.Duration

	// Now returns the time for the methods that do not get it from an Exchanger: Live, Record,
	// Mint, Revoke, List, the methods for delegations, and the handlers. Nil means time.Now.
	Now func() time.Time
}

func (t *Tokens) now() time.Time {
	if t.Now == nil {
		return time.Now()
	}
	return t.Now()
}

var errNoStore = errors.New("tokenstore: Tokens has no Store")

// refuseUnknown turns a Refusal of Store.Get about a token into an error for an exchange.
func refuseUnknown(err error, id string) error {
	switch {
	case errors.Is(err, ErrUnknown):
		return refusal.WithCause(err, tokenexchange.InvalidRequest, "token_unknown",
			"the store has no record of token %q, or the token has expired (D07)", id)
	case errors.Is(err, ErrRevoked):
		return refusal.WithCause(err, tokenexchange.InvalidRequest, "token_revoked",
			"token %q, or a token that it was made from, is revoked (D07)", id)
	}
	return err
}

// refuseSpent returns the refusal of a ticket that was exchanged before.
func refuseSpent(id string) error {
	return refusal.WithCause(ErrSpent, tokenexchange.InvalidRequest, "ticket_spent",
		"ticket %q has been exchanged, and a ticket is good for one exchange (D09)", id)
}

// Live fits in tokenexchange.Trust. It returns nil if the token has a record of its type and
// neither it nor anything that it was made from is revoked. A token that is unknown, expired,
// revoked or spent is an error with the code InvalidRequest; any other error is a failure. So a
// host must Record the tokens that it issues elsewhere, such as at a login.
func (t *Tokens) Live(ctx context.Context, tok tokenexchange.Token) error {
	if t.Store == nil {
		return errNoStore
	}
	r, err := t.Store.Get(ctx, t.now(), TokenKey(tok))
	if err != nil {
		return refuseUnknown(err, tok.ID)
	}
	recorded, _, err := decode(tok.Issuer, r)
	switch {
	case err != nil:
		return err
	case recorded.Type != tok.Type:
		return refusal.New(tokenexchange.InvalidRequest, "record_other_type",
			"the record of token %q has type %q, not %q (R07)", tok.ID, recorded.Type, tok.Type)
	case r.Spent:
		return refuseSpent(tok.ID)
	}
	if kind, ok := ctx.Value(recordedKind{}).(*tokenexchange.Kind); ok {
		*kind = recorded.Kind
	}
	return nil
}

// Record records a token that the host has issued elsewhere, at a login or for its own use. From
// then on the token is live, and can be introspected, revoked and exchanged. Issuer, ID, Type and
// Expires are required. The resolver gets Kind when the token is presented. Claims are not
// recorded.
//
// The token is revoked with any of its parents. A parent can be the session of the login, with the
// key KeyOf("session", issuer, id) and without a record.
func (t *Tokens) Record(ctx context.Context, tok tokenexchange.Token, parents ...Key) error {
	r, err := newRecord(tok, nil, parents, Key{})
	if err != nil {
		return err
	}
	if t.Store == nil {
		return errNoStore
	}
	return t.Store.Commit(ctx, t.now(), Batch{Put: []Record{r}})
}

// Mint issues an opaque token with the content of tok and a new ID, and records it as Record does.
// The type must be opaque. A refresh token from Mint can be exchanged if VerifyRefreshToken is in
// use, but not refreshed.
func (t *Tokens) Mint(ctx context.Context, tok tokenexchange.Token, parents ...Key) (
	tokenexchange.IssuedToken, error) {
	prefix, opaque := t.prefix(tok.Type)
	if !opaque {
		err := fmt.Errorf("tokenstore: type %q is not opaque", tok.Type)
		return tokenexchange.IssuedToken{}, err
	}
	value := newValue(prefix)
	tok.ID = valueID(value)
	if err := t.Record(ctx, tok, parents...); err != nil {
		return tokenexchange.IssuedToken{}, err
	}
	batch := Batch{Put: []Record{{Key: TokenKey(tok)}}}
	return tokenexchange.IssuedToken{Value: value, ID: tok.ID, Expires: tok.Expires,
		Discard: t.discard(batch)}, nil
}

// newRecord returns the record of a token.
func newRecord(tok tokenexchange.Token, g *grant, parents []Key, owner Key) (Record, error) {
	if tok.Issuer == "" || tok.ID == "" {
		return Record{}, errors.New("tokenstore: the token has no issuer or ID")
	}
	if tok.Type == "" || tok.Type == tokenexchange.TypeJWT {
		return Record{}, fmt.Errorf("tokenstore: type %q does not say what the token is", tok.Type)
	}
	data, err := encode(tok, g)
	return Record{Key: TokenKey(tok), Ancestors: parents, Owner: owner, Expires: tok.Expires,
		Data: data}, err
}

func (t *Tokens) discard(b Batch) func(context.Context) error {
	return func(ctx context.Context) error { return t.Store.Discard(ctx, b) }
}

// Revoke revokes a token and everything that was made from it. It revokes a refresh token with its
// whole grant and everything that was issued under it (RFC 7009 §2.1). Issuer and ID name the
// token. A token without a record, such as one of another issuer, can be revoked too: the
// revocation is remembered until Expires. To revoke a token that has ended is not an error.
func (t *Tokens) Revoke(ctx context.Context, tok tokenexchange.Token) error {
	if t.Store == nil {
		return errNoStore
	}
	key, now := TokenKey(tok), t.now()
	if key == (Key{}) {
		return errors.New("tokenstore: a token without issuer or ID cannot be revoked")
	}
	r, err := t.Store.Get(ctx, now, key)
	var answer Refusal
	switch {
	case errors.As(err, &answer):
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

// List returns a page of the live tokens that exchanges have issued about a user. The page has the
// user's own tokens, the tokens that another party uses (see Delegations), and refresh tokens. It
// has no tokens that the host has recorded or minted. Revoke revokes one of them.
//
// A page has at most limit tokens, and at most MaxPage. A limit below 1 is an error. A page may
// have fewer tokens, or none, although more follow. next is the value of after for the next page,
// and is empty on the last page. An empty after starts the list. The value names a position in the
// list and is not a secret. The order of the tokens has no meaning. A token that is live from the
// first page to the last is on exactly one page.
func (t *Tokens) List(ctx context.Context, about tokenexchange.Identity, after string, limit int) (
	page []tokenexchange.Token, next string, err error) {
	var from Key
	if after != "" {
		if from, err = parseKey(after); err != nil {
			return nil, "", fmt.Errorf("tokenstore: after is not a position in a list: %w", err)
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

// all yields all stored tokens about a user, spent ones included. It stops after an error.
func (t *Tokens) all(ctx context.Context,
	about tokenexchange.Identity) iter.Seq2[storedToken, error] {
	return func(yield func(storedToken, error) bool) {
		for r, err := range t.records(ctx, ownerKey(about)) {
			s := storedToken{Record: r}
			if err == nil {
				s.token, s.grant, err = decode(about.Issuer, r)
			}
			if !yield(s, err) || err != nil {
				return
			}
		}
	}
}

// records yields the records of an owner, and reads each page when it is needed. It stops after an
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

// ownerKey returns the owner of the tokens about a user.
func ownerKey(id tokenexchange.Identity) Key {
	return KeyOf("owner", id.Issuer, string(id.Kind), id.Tenant, id.ID)
}

// Once protects against replay, for example of assertions by their jti (RFC 7523 §3). The first
// call with an ID in the name space of a kind and an issuer returns nil. Every other call until the
// given time returns ErrSpent, on any machine that shares the store. For the kinds see KeyOf. until
// should be the expiry of the assertion, which the host should limit, because the store remembers
// the ID until then.
func (t *Tokens) Once(ctx context.Context, now time.Time, kind, issuer, id string,
	until time.Time) error {
	if t.Store == nil {
		return errNoStore
	}
	return t.Store.Commit(ctx, now, Batch{
		Spend: []Mark{{Key: KeyOf(kind, issuer, id), Until: until}}})
}
