package grants

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/refusal"
	"github.com/go-tokenexchange/tokenexchange/internal/reserved"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// Embedded embeds a second, narrower token in JWT access tokens, as a claim. An API that receives
// the outer token can pass the inner one on to a service behind it.
//
// The policy decides about the inner token separately. The inner token is recorded before the outer
// one and has an audit event of its own. It has the subject, the act claim and the key of the outer
// token, no scope that the outer token lacks, and does not expire later. Only the policy limits its
// audience. If the inner token is refused or fails, so is the outer one.
//
// Both methods must be used: Issuer in front of the issuer of the Exchanger, and AddClaims in
// JWTIssuer.Claims. Without Issuer, AddClaims fails; without AddClaims no token is embedded.
//
//	tokens.JWT.Claims = embedded.AddClaims
//	x.TokenIssuer = embedded.Issuer(tokens)
//
// The inner token is not secret: every holder of the outer token can read it, including the client,
// and it is valid until it expires. If the outer token is not delivered, neither is the inner one;
// its record is undone, and its event stays.
type Embedded struct {
	// Exchanger decides about the inner token, issues and records it. Its Issuer is not used; the
	// inner token has the issuer of the outer one.
	Exchanger *tokenexchange.Exchanger

	// Store links the tokens, so that the inner token ends if the outer one is revoked, or one of
	// the tokens it was made from. If tokenstore issues a refresh token beside the outer token, the
	// refresh token is one of them. Nil links nothing, for servers whose tokens have no records.
	Store tokenstore.Store

	// Type is the type of the outer token in the decision about the inner one. Clients cannot
	// present a token of this type. A rule for it has mode impersonate, Type in SubjectTypes, and
	// neither IDToken nor RefreshToken.
	Type tokenexchange.TokenType

	// Claim is the name of the claim. AddClaims fails if a JWTIssuer writes a claim of this name,
	// or if it is set already.
	Claim string

	// Rules has the request for the inner token by the name of the rule that decided about the
	// outer one: audience, resource, type and scope. The scope is narrowed to that of the outer
	// token; if nothing is left, no token is embedded. A nil Scope requests all that the rule for
	// the inner token allows.
	Rules map[string]tokenexchange.Request
}

// slot collects in the context of the outer token how to undo the inner one.
type slot struct{ undo []func(context.Context) error }

type slotKey struct{}

// Issuer returns an issuer that calls next, which must call AddClaims for JWTs. It undoes the inner
// token if the outer one is not issued or not delivered (I06).
func (e *Embedded) Issuer(next tokenexchange.TokenIssuer) tokenexchange.TokenIssuer {
	return embeddingIssuer{next}
}

type embeddingIssuer struct{ next tokenexchange.TokenIssuer }

func (i embeddingIssuer) IssueToken(ctx context.Context, d tokenexchange.Decision) (
	tokenexchange.IssuedToken, error) {
	if i.next == nil {
		return tokenexchange.IssuedToken{}, errors.New(
			"grants: Embedded.Issuer was called with nil")
	}
	s := &slot{}
	return issueOrUndo(context.WithValue(ctx, slotKey{}, s), d, i.next, s.discard)
}

// discard undoes everything in reverse order, and continues after an error.
func (s *slot) discard(ctx context.Context) (err error) {
	for _, undo := range slices.Backward(s.undo) {
		err = errors.Join(err, undo(ctx))
	}
	return err
}

// AddClaims adds the claim with the inner token. It is called by, or assigned to,
// tokenexchange.JWTIssuer.Claims. It adds nothing for a rule that is not in Rules, for a token that
// is not an access token, and for an inner token.
func (e *Embedded) AddClaims(ctx context.Context, d tokenexchange.Decision,
	claims map[string]any) error {
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
	switch {
	case s == nil:
		return errors.New("grants: AddClaims was called without Embedded.Issuer")
	case id == "":
		return errors.New("grants: the outer token has no jti")
	case e.Claim == "" || e.Exchanger == nil || e.Exchanger.TokenIssuer == nil ||
		!isOwnType(e.Type):
		return errors.New(
			"grants: Embedded needs a Claim, an Exchanger with TokenIssuer, and a Type of its own")
	}
	// An issuer drops a reserved claim of a hook without an error, and with it the embedded token.
	dropped := reserved.Claim(e.Claim) || e.Claim == "may_act"
	if _, taken := claims[e.Claim]; taken || dropped {
		return fmt.Errorf("grants: the claim %q is set already, or reserved", e.Claim)
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

// mayActOf returns the may_act of the outer token, or nil. It is that of the subject token, or that
// of another claims hook if the subject token has none or the rule has ReplaceMayAct.
func mayActOf(d tokenexchange.Decision, claims map[string]any) (*tokenexchange.Actor, error) {
	carried, value := d.MayAct(), claims["may_act"]
	if carried != nil && !d.ReplaceMayAct || value == nil {
		return carried, nil
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("grants: may_act of the outer token: %w", err)
	}
	tok, err := tokenexchange.ParseToken(slices.Concat([]byte(`{"may_act":`), text, []byte(`}`)))
	return tok.MayAct, err
}

// mint decides about the inner token and issues it. The outer token is its subject token; of that,
// only the jti is known yet. The may_act of the outer token is not enforced, because no client
// presents the outer token here; the inner token carries it.
func (e *Embedded) mint(ctx context.Context, s *slot, d tokenexchange.Decision, id string,
	req tokenexchange.Request, mayAct *tokenexchange.Actor) (tokenexchange.Response, error) {
	outer := d.Token("embedded in " + id)
	outer.Type, outer.MayAct = e.Type, nil
	outer.Lineage = e.lineage(d, id, outer)
	if err := e.link(ctx, s, d, id, outer); err != nil {
		return tokenexchange.Response{}, err
	}
	x := *e.Exchanger
	x.Issuer, x.Now = d.Issuer, func() time.Time { return d.Facts.Now }
	x.Decide, x.TokenIssuer = within(d, x.Decide), innerIssuer{s, x.TokenIssuer, mayAct}
	return x.Run(ctx, GrantEmbedded, d.Facts.Client, func(context.Context, time.Time) (
		tokenexchange.Request, tokenexchange.Token, *tokenexchange.Token, error) {
		return req, outer, nil, nil
	})
}

// lineage returns the lineage of the outer token, which ends with the outer token. On a server
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

// link records a placeholder for the outer token, made from the outer token and from everything the
// outer token is made from. It makes the revocation of any of them end the inner token, although
// the outer token has no record yet.
func (e *Embedded) link(ctx context.Context, s *slot, d tokenexchange.Decision, id string,
	outer tokenexchange.Token) error {
	if e.Store == nil {
		return nil
	}
	self := tokenexchange.Token{Issuer: d.Issuer, ID: id}
	ancestors := []tokenstore.Key{tokenstore.TokenKey(self)}
	for _, key := range tokenstore.ParentsIn(ctx, d) {
		if !slices.Contains(ancestors, key) {
			ancestors = append(ancestors, key)
		}
	}
	placeholder := tokenstore.Batch{Put: []tokenstore.Record{{
		Key: tokenstore.TokenKey(outer), Ancestors: ancestors, Expires: d.Expires,
	}}}
	s.undo = append(s.undo, func(ctx context.Context) error {
		return e.Store.Discard(ctx, placeholder)
	})
	return e.Store.Commit(ctx, d.Issued, placeholder)
}

// within returns a decider that keeps the inner token within the outer one, for every policy.
func within(outer tokenexchange.Decision, decide decider) decider {
	return limitExpiry(outer.Expires, decide, func(inner tokenexchange.Decision) error {
		return checkWithin(inner, outer)
	})
}

// innerIssuer issues the inner token with the may_act of the outer one, and keeps the function that
// undoes it.
type innerIssuer struct {
	*slot
	next   tokenexchange.TokenIssuer
	mayAct *tokenexchange.Actor // of the outer token
}

func (i innerIssuer) IssueToken(ctx context.Context, d tokenexchange.Decision) (
	tokenexchange.IssuedToken, error) {
	if i.mayAct != nil {
		d.Facts.Subject.Token.MayAct, d.ReplaceMayAct = i.mayAct, false
	}
	issued, err := i.next.IssueToken(ctx, d)
	if err == nil && issued.Discard != nil {
		i.undo = append(i.undo, issued.Discard)
	}
	return issued, err
}

// checkWithin refuses an inner token that would be more than its outer one.
func checkWithin(inner, outer tokenexchange.Decision) error {
	switch {
	case inner.Subject != outer.Subject:
		return refusal.New(tokenexchange.InvalidRequest, "embedded_other_subject",
			"the embedded token would be about %s, the outer token is about %s (I13)",
			refusal.Party(inner.Subject), refusal.Party(outer.Subject))
	case !sameChain(inner.Actor, outer.Actor):
		return refusal.New(tokenexchange.InvalidRequest, "embedded_other_actor",
			"the embedded token would have act %s, the outer token has %s (I13)",
			refusal.Actor(inner.Actor), refusal.Actor(outer.Actor))
	case len(inner.Scope.Within(outer.Scope)) < len(inner.Scope):
		return refusal.New(tokenexchange.InvalidRequest, "embedded_other_scope",
			"the embedded token would have the scope %q, the outer token has %q (I13)",
			inner.Scope, outer.Scope)
	case inner.Confirmation != outer.Confirmation:
		return refusal.New(tokenexchange.InvalidRequest, "embedded_other_key",
			"the embedded token would be bound to another key than the outer token (I13)")
	case inner.IDToken || inner.RefreshToken:
		return refusal.New(tokenexchange.InvalidRequest, "embedded_further_tokens",
			"rule %q would issue an ID token or a refresh token beside the embedded token (D23)",
			inner.Rule)
	}
	return nil
}

// sameChain reports whether two act claims are equal as they are written.
func sameChain(a, b *tokenexchange.Actor) bool {
	x, errX := a.MarshalJSON()
	y, errY := b.MarshalJSON()
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
