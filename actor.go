package tokenexchange

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"

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
	object, err := strictjson.Object(bytes.Clone(b))
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
	return a.json(), nil
}

// json is MarshalJSON for a caller that keeps every byte of a chain (D12). json.Marshal would compact
// it.
func (a *Actor) json() []byte {
	if a.Raw != nil {
		return a.Raw
	}
	if a.Prior == nil {
		return a.written(nil)
	}
	return a.written(a.Prior.json())
}

// written returns the fields as a JSON object, with act as the prior actors.
func (a *Actor) written(act []byte) []byte {
	object, _ := json.Marshal(struct { // strings always encode
		Issuer   string `json:"iss,omitempty"`
		Subject  string `json:"sub,omitempty"`
		ClientID string `json:"client_id,omitempty"`
	}{a.Issuer, a.Subject, a.ClientID})
	if act != nil {
		object = strictjson.Append(object, "act", act)
	}
	return object
}

// parseActor reads an object that has passed strictjson.Check, with every actor below it. The three
// names must be strings that are not empty, where they are present at all.
func parseActor(raw []byte) (*Actor, error) {
	if !strictjson.IsObject(raw) {
		return nil, errNotParty
	}
	a := &Actor{}
	var act []byte
	for name, value := range strictjson.Members(raw) {
		var err error
		switch name {
		case "iss":
			a.Issuer, err = parseString(value)
		case "sub":
			a.Subject, err = parseString(value)
		case "client_id":
			a.ClientID, err = parseString(value)
		case "act":
			act = value
			a.Prior, err = parseActor(value)
		}
		if err != nil {
			return nil, err
		}
	}
	if !bytes.Equal(a.written(act), raw) {
		a.Raw = raw
	}
	return a, nil
}

// parseChain reads an act claim: objects with a sub that is not empty, at every depth (R15).
func parseChain(raw []byte) (*Actor, error) {
	chain, err := parseActor(raw)
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
func parseMayAct(raw []byte) *Actor {
	a, err := parseActor(raw)
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

// rawWith returns Raw with other prior actors and, where it has no issuer, with iss in front.
func (a *Actor) rawWith(iss string, prior *Actor) []byte {
	raw := []byte(a.Raw)
	if prior != nil {
		raw = strictjson.Replace(raw, "act", prior.json())
	}
	if a.Issuer == "" {
		open := bytes.IndexByte(raw, '{') + 1
		quoted, _ := json.Marshal(iss)                                                     // a string always encodes
		raw = slices.Concat(raw[:open], []byte(`"iss":`), quoted, []byte{','}, raw[open:]) // a sub follows
	}
	return raw
}

// actAs is the other claim shape (D18): sub is the actor, act_as the subject, and act_as.act the actors before.
type actAs struct {
	issuer, subject string
	actorClient     *string // the current actor's client_id where it is not the token's; nil: it is the token's
	prior           *Actor
}

var errActAs = errors.New("not an object with sub, iss, act and actor_client_id")

func parseActAs(raw []byte) (*actAs, error) {
	if !strictjson.IsObject(raw) {
		return nil, errActAs
	}
	s := &actAs{}
	for name, value := range strictjson.Members(raw) {
		var err error
		switch name {
		case "iss":
			s.issuer, err = parseString(value)
		case "sub":
			s.subject, err = parseString(value)
		case "act":
			s.prior, err = parseChain(value)
		case "act_as":
			err = errActAs // the chain is in act
		case "actor_client_id":
			id, ok := strictjson.String(value)
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

// writeActAs returns the claim act_as: the subject, and the actors before the current one. client is
// the token's client_id. It fails where this claim cannot say what act says: for a current actor of
// another issuer, or with members of its own.
func writeActAs(chain *Actor, issuer, subject, client string) ([]byte, error) {
	if chain.Issuer != issuer {
		return nil, errors.New("act_as cannot name an actor of another issuer")
	}
	for name := range strictjson.Members(chain.Raw) {
		switch name {
		case "iss", "sub", "client_id", "act":
		default:
			return nil, errors.New("act_as cannot keep the current actor's further members")
		}
	}
	claim := struct {
		Subject     string  `json:"sub"`
		ActorClient *string `json:"actor_client_id,omitempty"`
	}{Subject: subject}
	if chain.ClientID != client {
		claim.ActorClient = &chain.ClientID
	}
	object, err := json.Marshal(claim)
	if err == nil && chain.Prior != nil {
		object = strictjson.Append(object, "act", chain.Prior.json())
	}
	return object, err
}

// text returns the actor as JSON, for the detail of a refusal.
func (a *Actor) text() string { return string(a.json()) }
