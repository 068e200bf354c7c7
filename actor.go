package tokenexchange

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"

	"github.com/go-tokenexchange/tokenexchange/internal/strictjson"
)

// Actor is one member of an act chain (RFC 8693 §4.1), or the party that a may_act names (§4.4).
// The zero Actor names no party.
type Actor struct {
	Issuer   string // iss; empty: the issuer of the token
	Subject  string // sub
	ClientID string // client_id
	Prior    *Actor // act: the actor before, which counts for nothing but the record

	// Raw is the JSON as received, if it is not what the other fields would be written as: for
	// example if it has further members. Raw is then written in place of the other fields.
	Raw json.RawMessage
}

// UnmarshalJSON reads an object. It does not require a sub, since a may_act need not have one.
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

// MarshalJSON writes Raw, or without Raw the fields that are not empty.
func (a *Actor) MarshalJSON() ([]byte, error) {
	if a == nil {
		return []byte("null"), nil
	}
	return a.json(), nil
}

// json returns what MarshalJSON does. A chain is passed on byte for byte (D12), so it must not go
// through json.Marshal, which compacts what MarshalJSON returns.
func (a *Actor) json() []byte {
	if a.Raw != nil {
		return a.Raw
	}
	if a.Prior == nil {
		return a.written(nil)
	}
	return a.written(a.Prior.json())
}

// written returns the fields as a JSON object, with act as the prior actors; nil: there are none.
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

// parseActor reads an actor and its prior actors from JSON that strictjson.Check accepts. iss, sub
// and client_id must not be empty where they are present.
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

// isChain reports whether every member of the chain has a sub.
func (a *Actor) isChain() bool {
	for ; a != nil; a = a.Prior {
		if a.Subject == "" {
			return false
		}
	}
	return true
}

// parseMayAct reads a may_act claim. A malformed one becomes the zero Actor, which matches no party
// (D08): a value that is not an object, or has an iss, sub or client_id that is not a string or is
// empty. So does a may_act with act, since an actor token cannot have that claim (D14).
func parseMayAct(raw []byte) *Actor {
	a, err := parseActor(raw)
	if err != nil || a.Prior != nil {
		return &Actor{}
	}
	return a
}

// depth returns the number of members of the chain; zero for a nil chain.
func (a *Actor) depth() int {
	n := 0
	for ; a != nil; a = a.Prior {
		n++
	}
	return n
}

// withIssuer returns a chain in which iss is the issuer of every member that has none (D06).
// Everything else stays byte for byte, unknown members included. It does not change a.
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

// rawWith returns Raw with prior as its prior actors and, if it has no iss, with iss in front.
func (a *Actor) rawWith(iss string, prior *Actor) []byte {
	raw := []byte(a.Raw)
	if prior != nil {
		raw = strictjson.Replace(raw, "act", prior.json())
	}
	if a.Issuer == "" {
		open := bytes.IndexByte(raw, '{') + 1
		quoted, _ := json.Marshal(iss) // a string always encodes
		member := slices.Concat([]byte(`"iss":`), quoted, []byte{','})
		raw = slices.Insert(slices.Clone(raw), open, member...) // a sub follows
	}
	return raw
}

// actAs is the claim act_as (D18). In a token with it sub is the current actor, act_as.sub the
// subject and act_as.act the prior actors.
type actAs struct {
	issuer, subject string
	actorClient     *string // client_id of the current actor; nil: that of the token
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
			err = errActAs // the prior actors are in act
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

// apply sets Subject and Actor of the token as if the token had act instead of act_as.
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

// writeActAs returns the claim act_as of a token with this issuer, subject, client_id and chain. It
// fails if act_as cannot say what act would: for a current actor of another issuer, or one with
// further members.
func writeActAs(chain *Actor, issuer, subject, client string) ([]byte, error) {
	if chain.Issuer != issuer {
		return nil, errors.New("act_as cannot name an actor of another issuer")
	}
	for name := range strictjson.Members(chain.Raw) {
		switch name {
		case "iss", "sub", "client_id", "act":
		default:
			return nil, errors.New("act_as cannot carry further members of the current actor")
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
