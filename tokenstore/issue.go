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
	"github.com/go-tokenexchange/tokenexchange/internal/refusal"
)

// IssueToken issues the tokens of a decision and makes Tokens a tokenexchange.TokenIssuer. The main
// token is opaque or a JWT, depending on its type; beside it there may be an ID token with its hash
// (at_hash), and a refresh token. One Commit records all of them, with the tokens that they were
// made from.
//
// The same Commit spends a ticket, which is a subject token of our own that is evidence and names
// the party that may act. So a ticket can be used once. An exchange that is refused before the
// Commit, or discarded after it, does not use the ticket up.
//
// If a token that the new ones are made from has been revoked by then, or the ticket is spent, the
// error has the code InvalidRequest. An incomplete decision, such as the zero Decision, is an
// error. So is a decision of the refresh_token grant outside Refresh.
func (t *Tokens) IssueToken(ctx context.Context, d tokenexchange.Decision) (
	tokenexchange.IssuedToken, error) {
	if err := d.Check(); err != nil {
		return tokenexchange.IssuedToken{}, fmt.Errorf("tokenstore: %w", err)
	}
	switch {
	case t.Store == nil:
		return tokenexchange.IssuedToken{}, errNoStore
	case d.Type == tokenexchange.TypeRefreshToken:
		return tokenexchange.IssuedToken{}, errors.New(
			"tokenstore: a refresh token cannot be the requested token (D28)")
	}
	i := &issue{Tokens: t, d: d, owner: ownerKey(d.Facts.Subject.Identity)}
	ctx = context.WithValue(ctx, issueKey{}, i)
	steps := []func(context.Context) error{
		i.findParents, i.findMayAct, i.joinDelegation,
		i.mainToken, i.idToken, i.refreshToken, i.commit,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return tokenexchange.IssuedToken{}, err
		}
	}
	i.issued.Discard = t.discard(i.batch)
	return i.issued, nil
}

// issue is one call of IssueToken.
type issue struct {
	*Tokens
	d       tokenexchange.Decision
	owner   Key
	refresh *rotation            // nil outside Refresh
	parents []Key                // what the new tokens are made from
	value   string               // the value of the new refresh token
	mayAct  *tokenexchange.Actor // the party that may act with the main token; nil if there is none
	batch   Batch
	issued  tokenexchange.IssuedToken
}

// findParents collects the tokens and the grant that the new tokens are made from, and the mark of
// a ticket.
func (i *issue) findParents(ctx context.Context) error {
	if i.d.RefreshToken {
		i.value = newValue(refreshPrefix)
	}
	if i.d.Facts.Grant == grantRefresh {
		return i.findRefreshParents(ctx)
	}
	i.parents = tokenParents(i.d)
	if i.d.RefreshToken {
		i.parents = append(i.parents, grantKey(i.d.Issuer, i.value))
	}
	if subject := i.d.Facts.Subject.Token; isTicket(subject, i.d.Issuer) {
		if subject.ID == "" {
			return refusal.New(tokenexchange.InvalidRequest, "ticket_without_id",
				"the ticket of issuer %q has no ID, so it cannot be spent (D09)", subject.Issuer)
		}
		i.batch.Spend = []Mark{{Key: TokenKey(subject), Until: subject.Expires}}
	}
	return nil
}

// Parents returns the keys that IssueToken makes the tokens of a decision from: the subject token,
// the actor token, and the delegation that the decision begins or adds to. A user ID is not a token
// and has no key here. Keys that only the store knows are missing: a host that records something
// which must end with the token uses ParentsIn.
func Parents(d tokenexchange.Decision) []Key {
	list := tokenParents(d)
	if !isOwn(d) {
		list = append(list, delegationKey(d, relations(d, nil)[0], time.Time{}))
	}
	return list
}

// tokenParents returns the keys of the subject token and of the actor token, if they are not zero.
func tokenParents(d tokenexchange.Decision) (list []Key) {
	if key := TokenKey(d.Facts.Subject.Token); key != (Key{}) {
		list = append(list, key)
	}
	if actor := d.Facts.Actor; actor != nil && TokenKey(actor.Token) != (Key{}) {
		list = append(list, TokenKey(actor.Token))
	}
	return list
}

// findMayAct finds the party that may act with the main token.
func (i *issue) findMayAct(ctx context.Context) (err error) {
	i.mayAct, err = i.mayActFor(ctx, i.d)
	return err
}

// joinDelegation adds the tokens to the delegation that the decision begins or adds to. The tokens
// of a refresh are in the delegation already, through the refresh token.
func (i *issue) joinDelegation(ctx context.Context) error {
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

// issueKey is the context key of the issue.
type issueKey struct{}

// ParentsIn is Parents for the hooks that IssueToken calls, JWT.Claims and MayAct, with the context
// of the hook. It also returns the grant of a refresh token, the keys that the refresh token of a
// refresh was made from, and the key by which EndDelegation ends the token. With any other context
// it returns Parents(d).
func ParentsIn(ctx context.Context, d tokenexchange.Decision) []Key {
	if i, ok := ctx.Value(issueKey{}).(*issue); ok {
		return slices.Clone(i.parents)
	}
	return Parents(d)
}

// grantKey returns the key of a grant, named after its first refresh token.
func grantKey(issuer, value string) Key { return KeyOf("grant", issuer, valueID(value)) }

// isTicket reports whether a subject token can be used only once: it is evidence, of our own, and
// names the party that may act.
func isTicket(t tokenexchange.Token, issuer string) bool {
	return isEvidence(t.Type) && t.Issuer == issuer && t.MayAct != nil
}

// isEvidence reports whether a token type is neither an access token nor a refresh or ID token.
func isEvidence(t tokenexchange.TokenType) bool {
	switch t {
	case tokenexchange.TypeAccessToken, tokenexchange.TypeRefreshToken, tokenexchange.TypeJWT,
		tokenexchange.TypeIDToken:
		return false
	}
	return true
}

// mainToken makes the token of the requested type.
func (i *issue) mainToken(ctx context.Context) (err error) {
	tok := i.d.Token("")
	tok.MayAct = i.mayAct
	if prefix, opaque := i.prefix(i.d.Type); opaque {
		i.issued.Value = newValue(prefix)
		tok.ID = valueID(i.issued.Value)
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

// mayActFor returns the party that may act with a token of the decision. It is the party that the
// subject token names, if the decision carries it over, and otherwise the party that the MayAct
// hook names. It is nil if neither names a party.
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

// signer returns the JWTIssuer with a hook that sets may_act before the hook of the host runs.
func (i *issue) signer(mayAct *tokenexchange.Actor) (*tokenexchange.JWTIssuer, error) {
	if i.JWT == nil {
		return nil, fmt.Errorf("tokenstore: type %q needs Tokens.JWT, which is not set", i.d.Type)
	}
	signer := *i.JWT
	signer.Claims = func(ctx context.Context, d tokenexchange.Decision,
		claims map[string]any) error {
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

// idToken makes the ID token beside the main token.
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

// refreshToken makes the refresh token, the first of a new grant or the next of an existing one. It
// has the may_act of the main token, because it may be exchanged like an access token.
func (i *issue) refreshToken(context.Context) (err error) {
	if !i.d.RefreshToken {
		return nil
	}
	tok := i.d.Token("")
	tok.Type, tok.MayAct = tokenexchange.TypeRefreshToken, i.mayAct
	var g *grant
	if i.refresh != nil {
		// A refresh may narrow the scope of the access token, but not of the grant (RFC 6749 §6).
		tok, g = i.refresh.token, i.refresh.grant
		tok.Issued = i.d.Issued
	} else if g, err = newGrant(i.d, grantKey(i.d.Issuer, i.value), i.Keep); err != nil {
		return err
	}
	i.issued.RefreshToken, i.issued.RefreshExpires = i.value, i.d.RefreshExpires
	tok.ID, tok.Expires = valueID(i.value), i.d.RefreshExpires
	return i.put(tok, g)
}

// put adds the record of a token to the batch.
func (i *issue) put(tok tokenexchange.Token, g *grant) error {
	r, err := newRecord(tok, g, i.parents, i.owner)
	i.batch.Put = append(i.batch.Put, r)
	return err
}

// commit writes the batch. If the store does not know whether it has written the batch, commit
// discards it: a token that is not sent must not have a live record (I06).
func (i *issue) commit(ctx context.Context) error {
	err := i.Store.Commit(ctx, i.d.Issued, i.batch)
	var answer Refusal
	switch {
	case err == nil && i.refresh != nil:
		i.refresh.done = true
	case err == nil:
	case !errors.As(err, &answer):
		return errors.Join(err, bounded.Call(ctx, bounded.Usual, i.discard(i.batch)))
	case answer == ErrSpent && i.refresh != nil: // two requests used the same refresh token
		return i.endReused(ctx, i.refresh.storedToken, i.d.Issued)
	case answer == ErrSpent:
		return refuseSpent(i.d.Facts.Subject.Token.ID)
	case answer == ErrRevoked:
		return refusal.WithCause(err, tokenexchange.InvalidRequest, "origin_revoked",
			"a token that the new token is made from was revoked during the exchange (D07)")
	case answer == ErrTooMany:
		return refusal.WithCause(err, tokenexchange.InvalidRequest, "too_many_ancestors",
			"the token would be made from more than %d tokens and grants (I13)", MaxAncestors)
	}
	return err
}
