package tokenexchange

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/go-tokenexchange/tokenexchange/internal/strictjson"
)

// Actor is one member of an act chain (RFC 8693 §4.1), or the party that a may_act names (§4.4). The zero Actor names
// nobody.
type Actor struct {
	Issuer   string          // iss; empty: the issuer of the token that carries it
	Subject  string          // sub
	ClientID string          // client_id
	Prior    *Actor          // act: who acted before; history only
	Raw      json.RawMessage // as received, where that says more than the fields do; written as it is if there
}

// UnmarshalJSON reads an object and keeps its bytes in Raw if they have members that the fields cannot hold. It does not
// demand a sub: a may_act need not have one.
func (a *Actor) UnmarshalJSON(b []byte) error {
	object, err := strictjson.Parse(bytes.Clone(b))
	if err != nil {
		return err
	}
	parsed, err := parseActor(object)
	if err != nil {
		return err
	}
	*a = *parsed
	return nil
}

// MarshalJSON writes Raw if there is one, else the fields that are not empty.
func (a *Actor) MarshalJSON() ([]byte, error) {
	if a == nil {
		return []byte("null"), nil
	}
	return a.appendJSON(nil), nil
}

// appendJSON is MarshalJSON without the standard library's compaction, so that a chain is passed on byte for byte (D12).
func (a *Actor) appendJSON(dst []byte) []byte {
	if a.Raw != nil {
		return append(dst, a.Raw...)
	}
	o := objectWriter{dst: append(dst, '{')}
	a.writeNames(&o)
	if a.Prior != nil {
		o.name("act")
		o.dst = a.Prior.appendJSON(o.dst)
	}
	return append(o.dst, '}')
}

func (a *Actor) writeNames(o *objectWriter) {
	o.optionalString("iss", a.Issuer)
	o.optionalString("sub", a.Subject)
	o.optionalString("client_id", a.ClientID)
}

// objectWriter appends the members of one JSON object in the order they are given.
type objectWriter struct {
	dst   []byte
	begun bool
}

func (o *objectWriter) name(name string) {
	if o.begun {
		o.dst = append(o.dst, ',')
	}
	o.begun = true
	o.dst = append(strictjson.AppendQuote(o.dst, name), ':')
}

func (o *objectWriter) string(name, value string) {
	o.name(name)
	o.dst = strictjson.AppendQuote(o.dst, value)
}

func (o *objectWriter) optionalString(name, value string) {
	if value != "" {
		o.string(name, value)
	}
}

// parseActor reads an object that has passed strictjson.Check, with everything below it. The three names must be strings
// with something in them where they are there at all.
func parseActor(v strictjson.Member) (*Actor, error) {
	if !v.IsObject() {
		return nil, errNotParty
	}
	a := &Actor{}
	var act strictjson.Member
	for m := range v.Members() {
		var err error
		switch m.Name {
		case "iss":
			a.Issuer, err = parseString(m)
		case "sub":
			a.Subject, err = parseString(m)
		case "client_id":
			a.ClientID, err = parseString(m)
		case "act":
			act = m
			a.Prior, err = parseActor(m)
		}
		if err != nil {
			return nil, err
		}
	}
	if !a.isWritten(v.Value, act) {
		a.Raw = v.Value
	}
	return a, nil
}

// isWritten reports whether raw is what the fields would be written as. What is below, act, is written as it stands in any
// case, so it need not be looked at once more for every member above it.
func (a *Actor) isWritten(raw []byte, act strictjson.Member) bool {
	o := objectWriter{dst: append(make([]byte, 0, len(raw)-len(act.Value)), '{')}
	a.writeNames(&o)
	if a.Prior != nil {
		o.name("act")
		end := act.Start + len(act.Value)
		return bytes.HasPrefix(raw, o.dst) && act.Start == len(o.dst) && end == len(raw)-1
	}
	return bytes.Equal(append(o.dst, '}'), raw)
}

// parseChain reads an act claim: objects with a non-empty sub, at every depth (R15).
func parseChain(v strictjson.Member) (*Actor, error) {
	chain, err := parseActor(v)
	if err != nil {
		return nil, err
	}
	if !chain.isChain() {
		return nil, errNotParty
	}
	return chain, nil
}

// isChain reports whether every member of the chain names somebody.
func (a *Actor) isChain() bool {
	for ; a != nil; a = a.Prior {
		if a.Subject == "" {
			return false
		}
	}
	return true
}

// parseMayAct reads a may_act claim. One that is no object, or in which a member that we know is no string with something
// in it, becomes the zero Actor: present, and matching nobody (D08). So does one with an act, since no actor token may
// have that claim (D14).
func parseMayAct(v strictjson.Member) *Actor {
	a, err := parseActor(v)
	if err != nil || a.Prior != nil {
		return &Actor{}
	}
	return a
}

// depth counts the members of the chain; a nil chain has none.
func (a *Actor) depth() int {
	n := 0
	for ; a != nil; a = a.Prior {
		n++
	}
	return n
}

// withIssuer returns the chain in which every member names its issuer: iss where it named none (D06). What is there
// already stays byte for byte, unknown members included, and the chain it is called on is not changed.
func (a *Actor) withIssuer(iss string) *Actor {
	if a == nil {
		return nil
	}
	prior := a.Prior.withIssuer(iss)
	if a.Issuer != "" && prior == a.Prior {
		return a
	}
	b := *a
	b.Prior = prior
	if b.Issuer == "" {
		b.Issuer = iss
	}
	if a.Raw != nil {
		b.Raw = a.rawWith(b.Issuer, prior)
	}
	return &b
}

// rawWith returns Raw with the prior actors replaced and, where it has none, the issuer put in front.
func (a *Actor) rawWith(iss string, prior *Actor) []byte {
	out := make([]byte, 0, len(a.Raw)+len(iss)+16)
	open := bytes.IndexByte(a.Raw, '{') + 1
	out = append(out, a.Raw[:open]...)
	if a.Issuer == "" {
		out = strictjson.AppendQuote(append(out, `"iss":`...), iss)
		out = append(out, ',') // there is a sub behind it
	}
	rest := open
	for m := range strictjson.Members(a.Raw) {
		if m.Name == "act" && prior != nil {
			out = append(out, a.Raw[rest:m.Start]...)
			out = prior.appendJSON(out)
			rest = m.Start + len(m.Value)
		}
	}
	return append(out, a.Raw[rest:]...)
}

// actAs is the other claim shape (D18): sub is the actor, act_as the subject, and act_as.act the actors before.
type actAs struct {
	issuer, subject string
	actorClient     *string // the current actor's client_id where it is not the token's; nil: it is the token's
	prior           *Actor
}

var errActAs = errors.New("not an object with sub, iss, act and actor_client_id")

func parseActAs(v strictjson.Member) (*actAs, error) {
	if !v.IsObject() {
		return nil, errActAs
	}
	s := &actAs{}
	for m := range v.Members() {
		var err error
		switch m.Name {
		case "iss":
			s.issuer, err = parseString(m)
		case "sub":
			s.subject, err = parseString(m)
		case "act":
			s.prior, err = parseChain(m)
		case "act_as":
			err = errActAs // the chain is in act
		case "actor_client_id":
			id, ok := m.String()
			if s.actorClient = &id; !ok {
				err = errActAs
			}
		}
		if err != nil {
			return nil, err
		}
	}
	if s.subject == "" {
		return nil, errActAs
	}
	return s, nil
}

// apply turns the token round, so that it reads as if it had been written with act.
func (s *actAs) apply(t *Token) error {
	if t.Subject == "" || s.issuer != "" && s.issuer != t.Issuer {
		return errActAs
	}
	client := t.ClientID
	if s.actorClient != nil {
		client = *s.actorClient
	}
	t.Actor = &Actor{Issuer: t.Issuer, Subject: t.Subject, ClientID: client, Prior: s.prior}
	t.Subject = s.subject
	return nil
}

// appendActAs writes the subject and the actors before the current one in the other shape; client is the token's
// client_id. It fails where the shape cannot say what the chain says: a current actor of another issuer, or with members
// of its own.
func appendActAs(dst []byte, chain *Actor, issuer, subject, client string) ([]byte, error) {
	if chain.Issuer != issuer {
		return nil, errors.New("act_as cannot name an actor of another issuer")
	}
	for m := range strictjson.Members(chain.Raw) {
		switch m.Name {
		case "iss", "sub", "client_id", "act":
		default:
			return nil, errors.New("act_as cannot keep the current actor's further members")
		}
	}
	o := objectWriter{dst: append(dst, '{')}
	o.string("sub", subject)
	if chain.ClientID != client {
		o.string("actor_client_id", chain.ClientID)
	}
	if chain.Prior != nil {
		o.name("act")
		o.dst = chain.Prior.appendJSON(o.dst)
	}
	return append(o.dst, '}'), nil
}

// text returns the actor as JSON, for the detail of a refusal.
func (a *Actor) text() string { return string(a.appendJSON(nil)) }
