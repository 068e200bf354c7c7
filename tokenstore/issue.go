package tokenstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/bounded"
)

// IssueToken makes what was decided, and is a tokenexchange.TokenIssuer: an opaque token or a JWT by type, an ID token
// beside either with the hash of that token (at_hash), a refresh token. All of it is recorded in one Commit, with what it
// was made from, and in the same Commit a ticket is spent: a subject token of our own that is evidence and says who may
// act. So a ticket is good once, and what is refused before, or discarded after, leaves it as it was.
//
// A parent that is revoked by then, and a ticket that is spent, is an error with the code InvalidRequest. An incomplete
// decision, the zero Decision for one, is an error. A decision of the refresh_token grant is an error outside of Refresh.
func (t *Tokens) IssueToken(ctx context.Context, d tokenexchange.Decision) (tokenexchange.IssuedToken, error) {
	if err := d.Check(); err != nil {
		return tokenexchange.IssuedToken{}, fmt.Errorf("tokenstore: %w", err)
	}
	switch {
	case t.Store == nil:
		return tokenexchange.IssuedToken{}, errNoStore
	case d.Type == tokenexchange.TypeRefreshToken:
		return tokenexchange.IssuedToken{}, errors.New("tokenstore: a refresh token is no type to be asked for (D28)")
	}
	i := &issue{Tokens: t, d: d, owner: ownerKey(d.Facts.Subject.Identity)}
	ctx = context.WithValue(ctx, parentsKey{}, i)
	steps := []func(context.Context) error{
		i.trace, i.nameActor, i.join, i.main, i.idToken, i.refreshToken, i.commit,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return tokenexchange.IssuedToken{}, err
		}
	}
	i.issued.Discard = t.discard(i.batch)
	return i.issued, nil
}

// issue is one decision on its way into the store.
type issue struct {
	*Tokens
	d       tokenexchange.Decision
	owner   Key
	refresh *rotation // nil: not a refresh
	parents []Key
	value   string               // of the refresh token to be
	mayAct  *tokenexchange.Actor // who may act with the access token; nil: no party is named
	batch   Batch
	issued  tokenexchange.IssuedToken
}

// trace finds out what the tokens are made from, and what is used up by that.
func (i *issue) trace(ctx context.Context) error {
	if i.d.RefreshToken {
		i.value = newValue(refreshPrefix)
	}
	if i.d.Facts.Grant == grantRefresh {
		return i.traceRefresh(ctx)
	}
	i.parents = madeFrom(i.d)
	if i.d.RefreshToken {
		i.parents = append(i.parents, grantKey(i.d.Issuer, i.value))
	}
	if subject := i.d.Facts.Subject.Token; isTicket(subject, i.d.Issuer) {
		if subject.ID == "" {
			return no("D09: a ticket without an ID cannot be spent", nil)
		}
		i.batch.Spend = []Mark{{Key: TokenKey(subject), Until: subject.Expires}}
	}
	return nil
}

// Parents is what IssueToken makes the tokens of a decision from: subject token, actor token, and the delegation that the
// decision begins or adds to. A user id, which is no token, is none. Parents that only the store
// knows are missing: a record of the host that must end with such a token has the parents that
// ParentsIn returns.
func Parents(d tokenexchange.Decision) []Key {
	list := madeFrom(d)
	if !isOwn(d) {
		list = append(list, delegationKey(d, relations(d, nil)[0], time.Time{}))
	}
	return list
}

// madeFrom returns the keys of the subject token and of the actor token, if they have names.
func madeFrom(d tokenexchange.Decision) (list []Key) {
	if key := TokenKey(d.Facts.Subject.Token); key != (Key{}) {
		list = append(list, key)
	}
	if actor := d.Facts.Actor; actor != nil && TokenKey(actor.Token) != (Key{}) {
		list = append(list, TokenKey(actor.Token))
	}
	return list
}

// nameActor finds out who may act with the token.
func (i *issue) nameActor(ctx context.Context) (err error) {
	i.mayAct, err = i.mayActFor(ctx, i.d)
	return err
}

// join adds the tokens to the delegation that the decision begins or continues. A refresh is in it
// already.
func (i *issue) join(ctx context.Context) error {
	if i.refresh != nil || isOwn(i.d) {
		return nil
	}
	relations := relations(i.d, i.mayAct)
	ends, err := i.lastEnds(ctx, relations)
	if err != nil {
		return err
	}
	i.parents = append(i.parents, delegationKey(i.d, relations[0], ends[0]))
	for n, r := range relations {
		if key := generationKey(i.d.Issuer, r, ends[n]); !slices.Contains(i.parents, key) {
			i.parents = append(i.parents, key)
		}
	}
	return nil
}

type parentsKey struct{}

// ParentsIn is Parents for a hook that IssueToken calls, JWT.Claims or MayAct, with the context that it is called with: the
// grant of a refresh token is then among them, what the refresh token of a refresh was made from,
// and the key by which EndDelegation ends the token. Elsewhere it is Parents.
func ParentsIn(ctx context.Context, d tokenexchange.Decision) []Key {
	if i, ok := ctx.Value(parentsKey{}).(*issue); ok {
		return slices.Clone(i.parents)
	}
	return Parents(d)
}

// grantKey names all that is issued under one grant, after its first refresh token.
func grantKey(issuer, value string) Key { return KeyOf(kindGrant, issuer, handle(value)) }

// isTicket reports whether a subject token is good once: our own, neither an access nor an ID token, and for somebody to
// act upon.
func isTicket(t tokenexchange.Token, issuer string) bool {
	return isEvidence(t.Type) && t.Issuer == issuer && t.MayAct != nil
}

// isEvidence reports whether a type is neither that of an access token nor that of an ID token.
func isEvidence(t tokenexchange.TokenType) bool {
	switch t {
	case tokenexchange.TypeAccessToken, tokenexchange.TypeRefreshToken, tokenexchange.TypeJWT,
		tokenexchange.TypeIDToken:
		return false
	}
	return true
}

// main makes the token that was asked for.
func (i *issue) main(ctx context.Context) (err error) {
	tok := i.d.Token("")
	tok.MayAct = i.mayAct
	if prefix, opaque := i.prefix(i.d.Type); opaque {
		i.issued.Value = newValue(prefix)
		tok.ID = handle(i.issued.Value)
	} else {
		signer, err := i.signer(i.mayAct)
		if err != nil {
			return err
		}
		alone := i.d
		alone.IDToken, alone.RefreshToken, alone.RefreshExpires = false, false, time.Time{}
		tok.ID = rand.Text()
		if i.issued, err = signer.IssueTokenWithID(ctx, alone, tok.ID); err != nil {
			return err
		}
	}
	i.issued.ID, i.issued.Expires = tok.ID, tok.Expires
	return i.put(tok, nil)
}

// mayActFor returns who may act with a token of the decision: the party that the subject token
// names, where that is carried, else the party that the hook names; nil if neither names one.
func (i *issue) mayActFor(ctx context.Context, d tokenexchange.Decision) (
	*tokenexchange.Actor, error) {
	carried := d.MayAct()
	if i.MayAct == nil || carried != nil && !d.ReplaceMayAct {
		return carried, nil
	}
	party, err := i.MayAct(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("may_act: %w", err)
	}
	if party == nil {
		return carried, nil
	}
	return party, nil
}

// signer is the JWTIssuer with a hook that names who may act, before its own hook.
func (i *issue) signer(mayAct *tokenexchange.Actor) (*tokenexchange.JWTIssuer, error) {
	if i.JWT == nil {
		return nil, fmt.Errorf("tokenstore: no issuer of JWTs for type %q", i.d.Type)
	}
	signer := *i.JWT
	signer.Claims = func(ctx context.Context, d tokenexchange.Decision, claims map[string]any) error {
		if mayAct != nil {
			claims["may_act"] = mayAct
		}
		if i.JWT.Claims == nil {
			return nil
		}
		return i.JWT.Claims(ctx, d, claims)
	}
	return &signer, nil
}

// idToken signs the ID token beside the main token.
func (i *issue) idToken(ctx context.Context) error {
	if !i.d.IDToken {
		return nil
	}
	d := i.d
	d.Type, d.Audience = tokenexchange.TypeIDToken, []string{d.Client}
	tok := d.Token(rand.Text())
	var err error
	if tok.MayAct, err = i.mayActFor(ctx, d); err != nil {
		return err
	}
	signer, err := i.signer(tok.MayAct)
	if err != nil {
		return err
	}
	i.issued.IDToken, err = signer.IssueIDTokenWithID(ctx, i.d, i.issued.Value, tok.ID)
	if err != nil {
		return err
	}
	return i.put(tok, nil)
}

// refreshToken makes the refresh token: of a new grant, or the next one of an old. Its may_act is
// that of the access token, since it may be exchanged like one.
func (i *issue) refreshToken(context.Context) (err error) {
	if !i.d.RefreshToken {
		return nil
	}
	tok := i.d.Token("")
	tok.Type, tok.MayAct = tokenexchange.TypeRefreshToken, i.mayAct
	var g *grant
	if i.refresh != nil {
		tok, g = i.refresh.token, i.refresh.grant // its scope is not narrowed with that of the access token (RFC 6749 §6)
		tok.Issued = i.d.Issued
	} else if g, err = newGrant(i.d, grantKey(i.d.Issuer, i.value), i.Keep); err != nil {
		return err
	}
	i.issued.RefreshToken, i.issued.RefreshExpires = i.value, i.d.RefreshExpires
	tok.ID, tok.Expires = handle(i.value), i.d.RefreshExpires
	return i.put(tok, g)
}

func (i *issue) put(tok tokenexchange.Token, g *grant) error {
	r, err := record(tok, g, i.parents, i.owner)
	i.batch.Put = append(i.batch.Put, r)
	return err
}

// commit writes it all. Where nobody knows whether that has happened, it is undone: no live record may stay of a token
// that does not leave (I06).
func (i *issue) commit(ctx context.Context) error {
	err := i.Store.Commit(ctx, i.d.Issued, i.batch)
	var refusal Refusal
	switch {
	case err == nil && i.refresh != nil:
		i.refresh.done = true
	case err == nil:
	case !errors.As(err, &refusal):
		return errors.Join(err, bounded.Call(ctx, bounded.Usual, i.discard(i.batch)))
	case refusal == ErrSpent && i.refresh != nil: // another request was faster: the token is in two hands
		return i.reused(ctx, i.refresh.finding, i.d.Issued)
	}
	return err
}
