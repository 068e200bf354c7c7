package pathtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// This file computes the limits of a token. It shares no code with package tokenexchange.

// without returns the members of list that are in none of the ceilings.
func without(list []string, ceilings ...[]string) []string {
	var rest []string
	for _, s := range list {
		if !slices.ContainsFunc(ceilings, func(c []string) bool { return slices.Contains(c, s) }) {
			rest = append(rest, s)
		}
	}
	return rest
}

// within returns the members of list that are in all of the ceilings.
func within(list []string, ceilings ...[]string) []string {
	var common []string
	for _, s := range list {
		if !slices.ContainsFunc(ceilings, func(c []string) bool { return !slices.Contains(c, s) }) {
			common = append(common, s)
		}
	}
	return common
}

// link is one actor of a chain: its issuer, its sub, and the text of all members but iss and act.
type link struct{ iss, sub, rest string }

// party is a may_act claim.
type party struct {
	iss, sub, client string
	more             map[string]json.RawMessage // all other members
	malformed        bool                       // the claim matches no actor
}

// member is one name and value of a JSON object, in the order of the text.
type member struct {
	name string
	raw  json.RawMessage
}

// membersOf parses a JSON object and keeps the order and the bytes of its members.
func membersOf(raw []byte) ([]member, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, fmt.Errorf("not an object: %s", raw)
	}
	var list []member
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		list = append(list, member{name.(string), value})
	}
	return list, nil
}

// text decodes a JSON string. It returns "" for any other value.
func text(raw json.RawMessage) string {
	var s string
	_ = json.Unmarshal(raw, &s)
	return s
}

// chainOf parses an act claim. The current actor comes first. An actor without iss has the issuer
// of the token.
func chainOf(raw []byte, issuer string) ([]link, error) {
	var chain []link
	for raw != nil {
		members, err := membersOf(raw)
		if err != nil {
			return nil, err
		}
		l, rest := link{iss: issuer}, []string{}
		raw = nil
		for _, m := range members {
			switch m.name {
			case "iss":
				l.iss = text(m.raw)
			case "act":
				raw = m.raw
			default:
				rest = append(rest, m.name+"="+string(m.raw))
			}
			if m.name == "sub" {
				l.sub = text(m.raw)
			}
		}
		l.rest = strings.Join(rest, ",")
		chain = append(chain, l)
	}
	return chain, nil
}

// isBottomOf reports whether the older chain is at the bottom of the newer one.
func isSuffix(older, newer []link) bool {
	return len(older) <= len(newer) && slices.Equal(older, newer[len(newer)-len(older):])
}

// partyOf parses a may_act claim. It returns nil if there is none.
func partyOf(raw []byte) *party {
	if raw == nil {
		return nil
	}
	p := &party{more: map[string]json.RawMessage{}}
	members, err := membersOf(raw)
	p.malformed = err != nil
	for _, m := range members {
		into := map[string]*string{"iss": &p.iss, "sub": &p.sub, "client_id": &p.client}[m.name]
		switch {
		case into == nil:
			p.more[m.name] = m.raw
		default:
			*into = text(m.raw)
			p.malformed = p.malformed || *into == ""
		}
	}
	return p
}

// actingParty is the party that acts at one hop: the subject of the actor token, or the client if
// there is none.
type actingParty struct {
	id       tx.Identity // from the directory
	iss      string      // of the actor token
	sub      string      // of the actor token
	claims   []byte      // of the actor token
	hasToken bool        // there is an actor token
}

// fits reports whether may_act names the acting party (D08), or the client if there is no actor
// token (D09). The issuer is that of the token with the may_act.
func (p *party) fits(issuer, client string, a actingParty, mayActClient bool) bool {
	iss := p.iss
	if iss == "" {
		iss = issuer
	}
	isClient := a.id.Kind == tx.KindClient && a.id.Issuer == own && a.id.ID == client
	switch {
	case p.malformed || p.sub == "" && p.client == "" || p.sub == "" && p.iss != "":
		return false
	case p.client != "" && p.client != client:
		return false
	case p.sub == "" && !isClient:
		return false
	case p.sub != "" && (p.sub != a.id.ID || iss != a.id.Issuer) &&
		(p.sub != a.sub || iss != a.iss):
		return false
	case p.sub != "" && a.id.Kind == tx.KindClient && p.client != p.sub:
		return false
	case !a.hasToken && (!mayActClient || p.client != client || len(p.more) > 0):
		return false
	}
	return hasAll(a.claims, p.more)
}

// namesClient reports whether may_act lets the client exchange the token without a new actor (D09).
func (p *party) namesClient(client string, mayActClient bool) bool {
	return mayActClient && !p.malformed && p.client == client && (p.sub != "" || p.iss == "")
}

// hasAll reports whether the claims have all wanted members with equal values.
func hasAll(claims []byte, wanted map[string]json.RawMessage) bool {
	if len(wanted) == 0 {
		return true
	}
	have := map[string]any{}
	if json.Unmarshal(claims, &have) != nil {
		return false
	}
	for name, raw := range wanted {
		var value any
		if json.Unmarshal(raw, &value) != nil || have[name] == nil ||
			!reflect.DeepEqual(have[name], value) {
			return false
		}
	}
	return true
}

// noEnd stands for no end.
var noEnd = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// extendedEnd returns the latest end of a token that a rule makes from another token, given the end
// of that token. The rule may allow Until instead (D25).
func extendedEnd(end, until time.Time, rule, evidence bool) time.Time {
	switch {
	case !rule || until.IsZero():
		return end
	case evidence && end.After(until):
		return end // Until does not extend the end of evidence
	}
	return until
}

// matches reports whether one of the patterns of a rule matches the identity.
func matches(patterns []tx.Identity, id tx.Identity) bool {
	fits := func(pattern, value string) bool { return pattern == "*" || pattern == value }
	return slices.ContainsFunc(patterns, func(p tx.Identity) bool {
		return fits(p.ID, id.ID) && fits(string(p.Kind), string(id.Kind)) &&
			fits(p.Tenant, id.Tenant) &&
			(p.Issuer == "" || fits(p.Issuer, id.Issuer))
	})
}
