package doors

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/reserved"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// Embedded puts a second, narrower token into JWT access tokens, as a claim: an API that gets the outer token hands the
// inner one on to a service behind it. The inner token is decided by the policy, with facts of its own, is recorded before
// the outer one and has an audit event of its own. It is about the same subject, has the same act, is bound to the same
// key, has no scope that the outer token lacks and ends no later; whom it is for is the policy's matter alone. Where it is
// refused or fails, so is the outer token.
//
// It takes both halves: Issuer in front of the issuer of the Exchanger, and AddClaims in JWTIssuer.Claims. Without the
// first an embedded token is an error; without the second there is none.
//
//	tokens.JWT.Claims = embedded.AddClaims
//	x.Tokens = embedded.Issuer(tokens)
//
// Not promised: the inner token is no secret, whoever holds the outer one can read it, the client too, and it is good for
// whom it names until it ends. Its event stays on record where the outer token does not leave; the token itself does
// not leave then, and its record is undone.
type Embedded struct {
	Exchanger *tokenexchange.Exchanger // decides, issues and records the inner token, under the issuer of the outer one

	// Store links both: revoking the outer token, or what it was made from, ends the inner one; the refresh token beside it is
	// among that where tokenstore issues it. Nil: nothing is linked, as befits a server whose tokens have no records.
	Store tokenstore.Store

	// Type is what the outer token counts as in the decision about the inner one. Nobody presents one. A rule for it has
	// mode impersonate, Type in SubjectTypes, and no IDToken or RefreshToken.
	Type tokenexchange.TokenType

	Claim string // the name of the claim; one that a JWTIssuer writes, or that is there already, is an error

	// Rules are what is asked for, by the name of the rule that has decided about the outer token: audience and resource,
	// the type, and scope, cut to that of the outer token. A nil Scope asks for what the rule of the inner token allows of
	// it; where a cut leaves nothing there is no inner token.
	Rules map[string]tokenexchange.Request
}

// slot is where AddClaims leaves how to undo the inner token, for the issuer in front.
type slot struct{ undo []func(context.Context) error }

type slotKey struct{}

// Issuer is a TokenIssuer in front of next, which must call AddClaims for JWTs. It undoes the inner token where the outer
// one is not made, or must not leave (I06).
func (e *Embedded) Issuer(next tokenexchange.TokenIssuer) tokenexchange.TokenIssuer {
	return embeddingIssuer{next}
}

type embeddingIssuer struct{ next tokenexchange.TokenIssuer }

func (i embeddingIssuer) IssueToken(ctx context.Context, d tokenexchange.Decision) (tokenexchange.IssuedToken, error) {
	if i.next == nil {
		return tokenexchange.IssuedToken{}, errors.New("doors: an issuer in front of none")
	}
	s := &slot{}
	return undoing(context.WithValue(ctx, slotKey{}, s), d, i.next, s.discard)
}

// discard undoes everything, the latest first, also where something fails.
func (s *slot) discard(ctx context.Context) (err error) {
	for _, undo := range slices.Backward(s.undo) {
		err = errors.Join(err, undo(ctx))
	}
	return err
}

// AddClaims fits in tokenexchange.JWTIssuer.Claims, or is called there. It does nothing for a rule that is not among
// Rules, for other than access tokens, and for an inner token: nothing is embedded twice.
func (e *Embedded) AddClaims(ctx context.Context, d tokenexchange.Decision, claims map[string]any) error {
	req, embeds := e.Rules[d.Rule]
	isAccess := d.Type == tokenexchange.TypeAccessToken || d.Type == tokenexchange.TypeJWT
	if !embeds || !isAccess || d.Facts.Grant == GrantEmbedded {
		return nil
	}
	if req.Scope != nil {
		if req.Scope = req.Scope.Within(d.Scope); len(req.Scope) == 0 {
			return nil
		}
	}
	s, _ := ctx.Value(slotKey{}).(*slot)
	id, _ := claims["jti"].(string)
	if s == nil || id == "" || e.Claim == "" || e.Exchanger == nil || e.Exchanger.Tokens == nil || !isOfItsOwn(e.Type) {
		return errors.New("doors: an embedded token without its issuer in front, or Embedded lacks a part")
	}
	// An issuer drops what a hook writes there without an error: the embedded token would be lost.
	dropped := reserved.Claim(e.Claim) || e.Claim == "may_act"
	if _, taken := claims[e.Claim]; taken || dropped {
		return errors.New("doors: the claim for the embedded token is somebody else's")
	}
	mayAct, err := mayActOf(d, claims)
	if err != nil {
		return err
	}
	inner, err := e.mint(ctx, s, d, id, req, mayAct)
	if err != nil {
		return err
	}
	claims[e.Claim] = inner.AccessToken
	return nil
}

// mayActOf returns the may_act that the outer token will have: the carried one, unless a hook
// before this one has replaced it by the rule's leave; else the one that the hook has set; nil if
// neither names a party.
func mayActOf(d tokenexchange.Decision, claims map[string]any) (*tokenexchange.Actor, error) {
	carried, value := d.MayAct(), claims["may_act"]
	if carried != nil && !d.ReplaceMayAct || value == nil {
		return carried, nil
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("doors: may_act of the outer token: %w", err)
	}
	tok, err := tokenexchange.ParseToken(slices.Concat([]byte(`{"may_act":`), text, []byte(`}`)))
	return tok.MayAct, err
}

// mint is the second decision. The outer token, which has a jti by now and nothing else, is its
// subject token. Its may_act is not enforced, since no client presents the outer token here; the
// inner token carries it.
func (e *Embedded) mint(ctx context.Context, s *slot, d tokenexchange.Decision, id string,
	req tokenexchange.Request, mayAct *tokenexchange.Actor) (tokenexchange.Response, error) {
	outer := d.Token("embedded in " + id)
	outer.Type, outer.MayAct = e.Type, nil
	outer.Lineage = e.lineage(d, id, outer)
	if err := e.link(ctx, s, d, id, outer); err != nil {
		return tokenexchange.Response{}, err
	}
	with := *e.Exchanger
	with.Issuer, with.Now = d.Issuer, func() time.Time { return d.Facts.Now }
	with.Decide, with.Tokens = within(d, with.Decide), innerIssuer{s, with.Tokens, mayAct}
	return with.Run(ctx, GrantEmbedded, d.Facts.Client, func(context.Context, time.Time) (
		tokenexchange.Request, tokenexchange.Token, *tokenexchange.Token, error) {
		return req, outer, nil, nil
	})
}

// lineage is that of the outer token, with its end, which its type does not state here. On a server
// without records, From lists the outer token and its origins.
func (e *Embedded) lineage(d tokenexchange.Decision, id string,
	outer tokenexchange.Token) *tokenexchange.Lineage {
	lineage := tokenexchange.Lineage{Begun: outer.Begun()}
	if e.Store == nil {
		outer.Lineage = d.LineageWithOrigins()
	}
	if outer.Lineage != nil {
		lineage = *outer.Lineage
	}
	if e.Store == nil {
		lineage.From = append(lineage.From, tokenexchange.Token{Issuer: d.Issuer, ID: id}.Origin())
	}
	lineage.Ends = d.Expires
	return &lineage
}

// link records a name for the outer token, made from it and from all that it is made from. The outer token has no record
// yet, so its own would not pass on what ends it.
func (e *Embedded) link(ctx context.Context, s *slot, d tokenexchange.Decision, id string, outer tokenexchange.Token) error {
	if e.Store == nil {
		return nil
	}
	ancestors := []tokenstore.Key{tokenstore.TokenKey(tokenexchange.Token{Issuer: d.Issuer, ID: id})}
	for _, key := range tokenstore.ParentsIn(ctx, d) {
		if !slices.Contains(ancestors, key) {
			ancestors = append(ancestors, key)
		}
	}
	name := tokenstore.Batch{Put: []tokenstore.Record{{Key: tokenstore.TokenKey(outer), Ancestors: ancestors, Expires: d.Expires}}}
	s.undo = append(s.undo, func(ctx context.Context) error { return e.Store.Discard(ctx, name) })
	return e.Store.Commit(ctx, d.Issued, name)
}

// within holds the decision about an inner token to that about its outer one, whatever the policy says.
func within(outer tokenexchange.Decision, decide decider) decider {
	return until(outer.Expires, decide, func(inner tokenexchange.Decision) error {
		if reason := wider(inner, outer); reason != "" {
			return refuse(tokenexchange.InvalidRequest, reason)
		}
		return nil
	})
}

// innerIssuer stands before the issuer of the inner token. It has the inner token carry the outer
// token's may_act, and keeps the call that undoes the inner token.
type innerIssuer struct {
	*slot
	next   tokenexchange.TokenIssuer
	mayAct *tokenexchange.Actor // of the outer token
}

func (i innerIssuer) IssueToken(ctx context.Context, d tokenexchange.Decision) (tokenexchange.IssuedToken, error) {
	if i.mayAct != nil {
		d.Facts.Subject.Token.MayAct, d.ReplaceMayAct = i.mayAct, false
	}
	issued, err := i.next.IssueToken(ctx, d)
	if err == nil && issued.Discard != nil {
		i.undo = append(i.undo, issued.Discard)
	}
	return issued, err
}

// wider returns where an inner token would be more than its outer one, or nothing.
func wider(inner, outer tokenexchange.Decision) (reason string) {
	switch {
	case inner.Subject != outer.Subject:
		return "C05: the inner token would be about somebody else"
	case !sameChain(inner.Actor, outer.Actor):
		return "C05: the inner token would have other actors"
	case slices.ContainsFunc(inner.Scope, func(token string) bool { return !slices.Contains(outer.Scope, token) }):
		return "C05: the inner token would have more scope"
	case inner.Confirmation != outer.Confirmation:
		return "C05: the inner token would be bound to another key"
	case inner.IDToken || inner.RefreshToken:
		return "C05: a further token with the inner one"
	}
	return ""
}

// sameChain compares act claims as they will be written.
func sameChain(a, b *tokenexchange.Actor) bool {
	x, errX := a.MarshalJSON()
	y, errY := b.MarshalJSON()
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
