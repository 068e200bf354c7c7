package tokenexchange

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"

	"github.com/go-tokenexchange/tokenexchange/internal/strictjson"
)

// Actor is one member of an act chain (RFC 8693 §4.1), or the party that a may_act names (§4.4).
// The zero Actor names no party. A nil Actor is an empty chain. Actors are shared between tokens,
// so an Actor must not be changed after it was made.
//
// Example of a chain, with ai-agent as the current actor and bob as its prior actor:
//
//	{"sub": "ai-agent", "client_id": "ai-agent",
//	 "act": {"sub": "bob", "client_id": "helpdesk"}}
type Actor struct {
	Issuer   string // iss; empty: the issuer of the token
	Subject  string // sub
	ClientID string // client_id
	Prior    *Actor // act: the prior actors; they are history and allow nothing (R16)

	// Raw is the JSON as received. It is nil if the JSON is exactly as MarshalJSON writes the other
	// fields. Otherwise, for example if it has further members, Raw is written in their place, so
	// that a chain is passed on byte for byte (D12).
	Raw json.RawMessage
}

// UnmarshalJSON reads an object. It does not require a sub, since a may_act need not have a sub.
// A repeated member is an error.
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

// MarshalJSON writes Raw or, if Raw is nil, the fields that are not empty. A nil Actor is null.
func (a *Actor) MarshalJSON() ([]byte, error) {
	if a == nil {
		return []byte("null"), nil
	}
	return a.json(), nil
}

// json returns the JSON of MarshalJSON. Claims are written with this function and not with
// json.Marshal, which removes white space from the result of MarshalJSON and escapes HTML
// characters in it: the chain would not stay byte for byte the same (D12).
func (a *Actor) json() []byte {
	if a.Raw != nil {
		return a.Raw
	}
	if a.Prior == nil {
		return a.written(nil)
	}
	return a.written(a.Prior.json())
}

// written returns the fields as a JSON object, without regard to Raw. act is the JSON of the prior
// actors; nil means that there are none.
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

// parseActor reads an actor and its prior actors from JSON that strictjson.Object accepts, which
// limits the depth. iss, sub and client_id must not be empty where they are present.
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
	// The comparison covers everything at once: further members, white space, escapes and the
	// order of the members.
	if !bytes.Equal(a.written(act), raw) {
		a.Raw = raw
	}
	return a, nil
}

// parseChain reads an act claim: objects with a sub that is not empty, at every depth (R15). An
// entry without sub would be an actor that no audit event can name.
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

// isChain reports whether every member of the chain has a sub. It is true for a nil chain.
func (a *Actor) isChain() bool {
	for ; a != nil; a = a.Prior {
		if a.Subject == "" {
			return false
		}
	}
	return true
}

// parseMayAct reads a may_act claim. A malformed may_act becomes the zero Actor, which matches no
// party (D08): a value that is not an object, or has an iss, sub or client_id that is not a string
// or is empty. So does a may_act with act, since an actor token cannot have that claim (D14). To
// drop a malformed may_act would lift the limit that its issuer meant to set.
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

// withIssuer returns a chain in which iss is the issuer of every member that has none (D06). In a
// token of this server, an entry of another issuer without iss would name a party of this server.
// Everything else stays byte for byte, unknown members included. It does not change a, and returns
// a itself if nothing is missing.
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

// rawWith returns Raw with prior as its prior actors and, if it has no iss, with iss in front. It
// edits the bytes, since a new encoding could change the form of the other members.
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

// actAs is the claim act_as (D18). In a token that has act_as, sub is the current actor, act_as.sub
// is the subject, and act_as.act are the prior actors:
//
//	{"sub": "bob", "client_id": "helpdesk", "act_as": {"sub": "alice"}}
type actAs struct {
	issuer, subject string  // an empty issuer is that of the token
	actorClient     *string // client_id of the current actor; nil: that of the token
	prior           *Actor  // nil: there are no prior actors
}

var errActAs = errors.New("not an object with sub, iss, act and actor_client_id")

// parseActAs reads the claim. It ignores further members.
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

// apply sets Subject and Actor of the token as if the token had act instead of act_as. A subject of
// another issuer is an error, because Token has one issuer for all (D19).
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
// fails if act_as cannot express the chain: for a current actor of another issuer, or with further
// members. To leave something out would change who acts.
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
