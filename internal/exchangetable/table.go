package exchangetable

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/strictjson"
)

// tableJSON has the world and most cases.
//
//go:embed table.json
var tableJSON []byte

// sequencesJSON has the cases that consist of several exchanges.
//
//go:embed sequences.json
var sequencesJSON []byte

// table is the content of the two files.
type table struct {
	World world      `json:"world"`
	Cases []scenario `json:"cases"`
}

// scenario is one case: steps in order. A step may use the tokens that earlier steps received.
type scenario struct {
	Name  string   `json:"name"`
	Rows  []string `json:"rows"` // the rules that the case tests
	Steps []step   `json:"steps"`

	// Differs is keyed by Server.Name, or by Server.Name and Server.Format.
	Differs map[string]difference `json:"differs,omitempty"`
}

// step is one request.
//
// In the form, $name is the token with that name in the world, which is minted for this case.
// $step1 is the access_token that the first step received, and $step1:id its id_token. The suffix
// ":cut" removes the last characters. The token types of RFC 8693 are written without their urn
// prefix. Unless Bare is set, grant_type is added, and a missing token type is access_token.
type step struct {
	Lock     []string    `json:"lock,omitempty"`     // users to lock before the request
	Revoke   []string    `json:"revoke,omitempty"`   // tokens to revoke before the request
	Inactive []string    `json:"inactive,omitempty"` // tokens that must then be inactive
	Client   string      `json:"client"`
	Secret   string      `json:"secret,omitempty"` // replaces the secret of the client
	Query    string      `json:"query,omitempty"`  // query of the URL
	Form     []parameter `json:"form"`
	Bare     bool        `json:"bare,omitempty"` // nothing is added to the form
	Expect   expectation `json:"expect"`
}

// parameter is ["name", "value"].
type parameter struct{ name, value string }

// UnmarshalJSON accepts an array of exactly two strings.
func (p *parameter) UnmarshalJSON(b []byte) error {
	var list []string
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	if len(list) != 2 {
		return errors.New("a parameter needs a name and a value")
	}
	p.name, p.value = list[0], list[1]
	return nil
}

// expectation is the expected response, audit event and token; $issuer is the issuer of the server.
// Without Error the status is 200. If a field for a response parameter or a claim is empty, the
// parameter or claim must be absent.
type expectation struct {
	Error tokenexchange.Code `json:"error,omitempty"`

	// Parameter is the name that the error description must contain. If it is empty, the
	// description is the fixed one of the code.
	Parameter string `json:"parameter,omitempty"`

	OwnWords bool `json:"own_words,omitempty"` // the framework refuses, with its own description
	Status   int  `json:"status,omitempty"`    // status of such a refusal; zero: that of the code

	NotAudited bool   `json:"not_audited,omitempty"` // refused before the exchange: no event
	Rule       string `json:"rule,omitempty"`        // rule in the event; if refused, empty: any
	Reason     string `json:"reason,omitempty"`      // part of the error in the event; empty: any

	IssuedTokenType string              `json:"issued_token_type,omitempty"` // empty: access_token
	TokenType       string              `json:"token_type,omitempty"`        // empty: Bearer
	Scope           tokenexchange.Scope `json:"scope,omitempty"`             // of the issued token
	IDToken         bool                `json:"id_token,omitempty"`          // with an ID token
	ExpiresAtLeast  int64               `json:"expires_at_least,omitempty"`  // of expires_in
	ExpiresAtMost   int64               `json:"expires_at_most,omitempty"`   // zero: no limit
	Tenant          string              `json:"tenant,omitempty"`            // organisation

	Subject  string                     `json:"sub,omitempty"`
	Audience []string                   `json:"aud,omitempty"`
	Actor    json.RawMessage            `json:"act,omitempty"`    // the whole chain
	Claims   map[string]json.RawMessage `json:"claims,omitempty"` // further claims; null: absent
}

// difference is another result that a framework forces.
type difference struct {
	Why    string              `json:"why"`
	Expect map[int]expectation `json:"expect,omitempty"` // by the number of the step, from 1
	Steps  []step              `json:"steps,omitempty"`  // replace all steps of the case
}

// read parses files of a table. It rejects unknown and repeated members.
func read(files ...[]byte) (t table, err error) {
	for _, data := range files {
		if err := strictjson.Check(data); err != nil {
			return table{}, err
		}
		d := json.NewDecoder(bytes.NewReader(data))
		d.DisallowUnknownFields()
		var part table
		if err := d.Decode(&part); err != nil {
			return table{}, err
		}
		if part.World.Policy != nil {
			t.World = part.World
		}
		t.Cases = append(t.Cases, part.Cases...)
	}
	return t, nil
}

// builtIn returns the embedded table. A test parses it, so an error is a programming error.
func builtIn() table {
	t, err := read(tableJSON, sequencesJSON)
	if err != nil {
		panic(err)
	}
	return t
}
