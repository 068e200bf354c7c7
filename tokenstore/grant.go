package tokenstore

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/refusal"
)

// grant is what the record of a refresh token holds beside the token itself: the tokens that were
// exchanged, as they were verified then, and the request. It holds no privileges, scopes or
// organisations of people, because a refresh asks the host for those again.
type grant struct {
	// Key is an ancestor of every token that is issued under the grant.
	Key Key `json:"key"`

	// Request has no tokens. Its RequestedTokenType is the type that was granted.
	Request tokenexchange.Request `json:"request"`

	Subject tokenexchange.Token  `json:"subject"`
	Actor   *tokenexchange.Token `json:"actor,omitempty"`

	// About is Decision.Subject, in the tenant that was selected.
	About tokenexchange.Identity `json:"about"`

	// Since is the time of the exchange. A refresh does not change it.
	Since time.Time `json:"since"`

	// Chain is Subject.Actor while the grant is stored, because encoding/json would change the
	// bytes of the chain (D12).
	Chain []byte `json:"chain,omitempty"`
}

func (g *grant) encode() ([]byte, error) {
	stored := *g
	if chain := stored.Subject.Actor; chain != nil {
		text, err := chain.MarshalJSON()
		if err != nil {
			return nil, err
		}
		stored.Chain, stored.Subject.Actor = text, nil
	}
	return json.Marshal(stored)
}

func decodeGrant(text []byte) (*grant, error) {
	g := &grant{}
	if err := json.Unmarshal(text, g); err != nil || g.Chain == nil {
		return g, err
	}
	g.Subject.Actor = &tokenexchange.Actor{}
	err := g.Subject.Actor.UnmarshalJSON(g.Chain)
	g.Chain = nil
	return g, err
}

// newGrant returns the grant of a decision. Of the claims of its tokens it keeps the named ones.
func newGrant(d tokenexchange.Decision, key Key, keep []string) (*grant, error) {
	g := &grant{Key: key, Request: d.Facts.Request, Subject: d.Facts.Subject.Token,
		About: d.Subject, Since: d.Issued}
	g.Request.RequestedTokenType = d.Type
	g.Subject.Lineage = grantLineage(d)
	var err error
	if g.Subject.Claims, err = selectClaims(keep, g.Subject.Claims); err != nil {
		return nil, err
	}
	if a := d.Facts.Actor; a != nil {
		actor := a.Token
		if actor.Claims, err = selectClaims(keep, actor.Claims); err != nil {
			return nil, err
		}
		g.Actor = &actor
	}
	return g, nil
}

// grantLineage returns the lineage of the recorded subject token. The expiry of a login or an
// assertion does not limit the grant. The lineage of such a token gets the end of the grant
// instead, which no rotation moves: Subject.Until, or the expiry of the first refresh token if that
// is zero.
func grantLineage(d tokenexchange.Decision) *tokenexchange.Lineage {
	subject := d.Facts.Subject.Token
	if isEvidence(subject.Type) {
		ends := d.Facts.Subject.Until
		if ends.IsZero() {
			ends = d.RefreshExpires
		}
		return endingAt(subject, ends)
	}
	if d.Ends.After(subject.Expires) { // the rule lets the grant outlive the token until d.Ends
		return endingAt(subject, d.Ends)
	}
	return subject.Lineage
}

// endingAt returns the lineage of a token, with an end for everything that is made from it.
func endingAt(t tokenexchange.Token, ends time.Time) *tokenexchange.Lineage {
	lineage := tokenexchange.Lineage{Begun: t.Begun()}
	if t.Lineage != nil {
		lineage = *t.Lineage
	}
	if lineage.Ends.IsZero() || ends.Before(lineage.Ends) {
		lineage.Ends = ends
	}
	return &lineage
}

// selectClaims returns the claims with these names, or nil if there are none.
func selectClaims(names []string, claims json.RawMessage) (json.RawMessage, error) {
	if len(names) == 0 || len(claims) == 0 {
		return nil, nil
	}
	all, selected := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	if err := json.Unmarshal(claims, &all); err != nil {
		return nil, err
	}
	for _, name := range names {
		if value, ok := all[name]; ok {
			selected[name] = value
		}
	}
	if len(selected) == 0 {
		return nil, nil
	}
	return json.Marshal(selected)
}

// request returns the request of a refresh: what was granted, with the given scope. A refresh
// requests the same targets as the exchange did, so that a target that selected a tenant selects it
// again (D24). If the exchange requested none, the refresh requests the granted audience, because
// the default targets of today's policy could be more.
func (g *grant) request(granted tokenexchange.Token,
	scope tokenexchange.Scope) tokenexchange.Request {
	r := g.Request
	if len(r.Targets()) == 0 {
		r.Audience = granted.Audience
	}
	r.Scope = scope
	return r
}

// checkWithin refuses a decision that exceeds the grant (D28).
func (g *grant) checkWithin(granted tokenexchange.Token, d tokenexchange.Decision) error {
	more := func(got, had []string) bool {
		return slices.ContainsFunc(got, func(s string) bool { return !slices.Contains(had, s) })
	}
	switch {
	case d.Subject != g.About:
		return refusal.New(tokenexchange.InvalidRequest, "grant_other_subject",
			"the decision is about %s, the grant is for %s (D28)",
			refusal.Party(d.Subject), refusal.Party(g.About))
	case !sameChain(d.Actor, granted.Actor):
		return refusal.New(tokenexchange.InvalidRequest, "grant_other_actor",
			"the decision has the actors %s, the grant has %s (D28)",
			refusal.Actor(d.Actor), refusal.Actor(granted.Actor))
	case d.Type != g.Request.RequestedTokenType:
		return refusal.New(tokenexchange.InvalidRequest, "grant_other_type",
			"the decision is for type %q, the grant is for %q (D28)",
			d.Type, g.Request.RequestedTokenType)
	case more(d.Scope, granted.Scope):
		return refusal.New(tokenexchange.InvalidRequest, "grant_other_scope",
			"the decision has the scope %q, the grant has %q (D28)", d.Scope, granted.Scope)
	case more(d.Audience, granted.Audience):
		return refusal.New(tokenexchange.InvalidRequest, "grant_other_target",
			"the decision has the targets %q, the grant has %q (D28)",
			d.Audience, granted.Audience)
	}
	return nil
}

func sameChain(a, b *tokenexchange.Actor) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
