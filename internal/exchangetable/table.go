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

// sequencesJSON has the cases in which several exchanges together must not give what one refuses.
//
//go:embed sequences.json
var sequencesJSON []byte

// table is what the two files say.
type table struct {
	World world      `json:"world"`
	Cases []scenario `json:"cases"`
}

// scenario is one case: steps in order, each of which may use what the earlier ones got.
type scenario struct {
	Name    string                `json:"name"`
	Rows    []string              `json:"rows"` // that it proves
	Steps   []step                `json:"steps"`
	Differs map[string]difference `json:"differs,omitempty"` // by Server.Name, or by that and Server.Format
}

// step is one request. In the form, $name is the token of that name in the world, minted for this
// case, $step1 the access_token that the first step got, and $step1:id the id_token beside it;
// ":cut" behind a name leaves out the end. The token types of RFC 8693 go without their urn prefix.
// Unless Bare, grant_type is added, and access_token as the type of a token without one.
type step struct {
	Lock     []string    `json:"lock,omitempty"`     // users who are locked from then on
	Revoke   []string    `json:"revoke,omitempty"`   // names of tokens that end before the request
	Inactive []string    `json:"inactive,omitempty"` // access tokens that are then inactive
	Client   string      `json:"client"`
	Secret   string      `json:"secret,omitempty"` // in place of the client's own
	Query    string      `json:"query,omitempty"`  // of the URL
	Form     []parameter `json:"form"`
	Bare     bool        `json:"bare,omitempty"` // nothing is added to the form
	Expect   expectation `json:"expect"`
}

// parameter is ["name", "value"].
type parameter struct{ name, value string }

// UnmarshalJSON takes two strings, and not fewer or more.
func (p *parameter) UnmarshalJSON(b []byte) error {
	var list []string
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	if len(list) != 2 {
		return errors.New("a parameter is a name and a value")
	}
	p.name, p.value = list[0], list[1]
	return nil
}

// expectation is what must come back. Without Error it is a 200, and a member of the answer or a claim that has a field
// here must be absent where the field is empty.
type expectation struct {
	Error     tokenexchange.Code `json:"error,omitempty"`
	Parameter string             `json:"parameter,omitempty"` // the description names it; else it is the same for all errors of the code
	OwnWords  bool               `json:"own_words,omitempty"` // a framework's own refusal, with its own description
	Status    int                `json:"status,omitempty"`    // of a framework's own refusal; zero: that of the code

	NotAudited bool   `json:"not_audited,omitempty"` // nothing was recorded: it ended before the exchange began
	Rule       string `json:"rule,omitempty"`        // that decided; of a refusal, that came closest; empty: not looked at
	Reason     string `json:"reason,omitempty"`      // part of the audited reason; empty: not looked at

	IssuedTokenType string              `json:"issued_token_type,omitempty"` // without urn prefix; empty: access_token
	TokenType       string              `json:"token_type,omitempty"`        // empty: Bearer
	Scope           tokenexchange.Scope `json:"scope,omitempty"`             // of the answer, and of an access token
	IDToken         bool                `json:"id_token,omitempty"`          // there is an id_token beside the access token
	ExpiresAtLeast  int64               `json:"expires_at_least,omitempty"`  // seconds of expires_in
	ExpiresAtMost   int64               `json:"expires_at_most,omitempty"`   // zero: not looked at
	Tenant          string              `json:"tenant,omitempty"`            // selected

	Subject  string                     `json:"sub,omitempty"`
	Audience []string                   `json:"aud,omitempty"`
	Actor    json.RawMessage            `json:"act,omitempty"`    // the whole chain; $issuer is the server's
	Claims   map[string]json.RawMessage `json:"claims,omitempty"` // further ones; null: absent
}

// difference is what a framework forces to be different.
type difference struct {
	Why    string              `json:"why"`
	Expect map[int]expectation `json:"expect,omitempty"` // by number of the step, in place of the usual
	Steps  []step              `json:"steps,omitempty"`  // in place of the usual ones, where those cannot be had at all
}

// read reads files of a table strictly.
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

// usual is the table that is built in, which its own test has read.
func usual() table {
	t, err := read(tableJSON, sequencesJSON)
	if err != nil {
		panic(err)
	}
	return t
}
