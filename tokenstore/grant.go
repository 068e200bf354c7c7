package tokenstore

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

// grant is what a refresh token stands for beside what every token says: the tokens that were exchanged, as they were
// verified then, and the request. Privileges, scopes and organisations of people are not in it: they are asked for anew.
type grant struct {
	Key     Key                    `json:"key"`     // its name in the lineage of all that is issued under it
	Request tokenexchange.Request  `json:"request"` // without its tokens; RequestedTokenType is what was granted
	Subject tokenexchange.Token    `json:"subject"`
	Actor   *tokenexchange.Token   `json:"actor,omitempty"`
	About   tokenexchange.Identity `json:"about"`           // Decision.Subject, in the tenant that was selected
	Since   time.Time              `json:"since"`           // when it was given; refreshes leave it as it is
	Chain   []byte                 `json:"chain,omitempty"` // Subject.Actor as it stands: encoding/json would change its bytes (D12)
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

// newGrant records a decision, with the claims of its tokens that keep names.
func newGrant(d tokenexchange.Decision, key Key, keep []string) (*grant, error) {
	g := &grant{Key: key, Request: d.Facts.Request, Subject: d.Facts.Subject.Token, About: d.Subject, Since: d.Issued}
	g.Request.RequestedTokenType = d.Type
	g.Subject.Lineage = grantLineage(d)
	var err error
	if g.Subject.Claims, err = only(keep, g.Subject.Claims); err != nil {
		return nil, err
	}
	if a := d.Facts.Actor; a != nil {
		actor := a.Token
		if actor.Claims, err = only(keep, actor.Claims); err != nil {
			return nil, err
		}
		g.Actor = &actor
	}
	return g, nil
}

// grantLineage is the lineage of the recorded subject token. The own expiry of a login or an
// assertion does not limit the grant, so its lineage gets the end of the grant, which no rotation
// moves: Subject.Until, or the expiry of the first refresh token where that is zero.
func grantLineage(d tokenexchange.Decision) *tokenexchange.Lineage {
	subject := d.Facts.Subject.Token
	if isEvidence(subject.Type) {
		ends := d.Facts.Subject.Until
		if ends.IsZero() {
			ends = d.RefreshExpires
		}
		return endingAt(subject, ends)
	}
	if d.Ends.After(subject.Expires) { // the rule lets the grant outlive the token, until then
		return endingAt(subject, d.Ends)
	}
	return subject.Lineage
}

// endingAt returns the lineage of a token with an end for what is made from it.
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

// only returns the claims that are named; nil if none is left.
func only(keep []string, claims json.RawMessage) (json.RawMessage, error) {
	if len(keep) == 0 || len(claims) == 0 {
		return nil, nil
	}
	all, kept := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	if err := json.Unmarshal(claims, &all); err != nil {
		return nil, err
	}
	for _, name := range keep {
		if value, there := all[name]; there {
			kept[name] = value
		}
	}
	if len(kept) == 0 {
		return nil, nil
	}
	return json.Marshal(kept)
}

// request is what a refresh asks the policy for: what was granted, or less scope. Targets that were asked for are asked
// for again, so that one that selected a tenant does so again (D24). Where none was, what was granted is asked for, since
// the defaults of today's policy could be more.
func (g *grant) request(granted tokenexchange.Token, scope tokenexchange.Scope) tokenexchange.Request {
	r := g.Request
	if len(r.Targets()) == 0 {
		r.Audience = granted.Audience
	}
	r.Scope = scope
	return r
}

// exceeded returns where a decision is not within what was granted, or nothing.
func (g *grant) exceeded(granted tokenexchange.Token, d tokenexchange.Decision) (reason string) {
	more := func(got, had []string) bool {
		return slices.ContainsFunc(got, func(s string) bool { return !slices.Contains(had, s) })
	}
	switch {
	case d.Subject != g.About:
		return "D28: the subject is somebody else by now, or of another organisation"
	case !sameChain(d.Actor, granted.Actor):
		return "D28: other actors than were granted"
	case d.Type != g.Request.RequestedTokenType:
		return "D28: another type than was granted"
	case more(d.Scope, granted.Scope):
		return "D28: more scope than was granted"
	case more(d.Audience, granted.Audience):
		return "D28: more targets than were granted"
	}
	return ""
}

func sameChain(a, b *tokenexchange.Actor) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
