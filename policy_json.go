package tokenexchange

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange/internal/strictjson"
)

// parseRules reads the JSON of a policy strictly. A misspelled member, such as "target", would
// otherwise be ignored, and the rule would mean something else than its author believes. Each rule
// is read by itself, so that the error can name it.
func parseRules(data []byte) ([]Rule, error) {
	var list []json.RawMessage
	policy := struct {
		Rules *[]json.RawMessage `json:"rules"`
	}{&list}
	if err := strictUnmarshal(data, &policy); err != nil {
		return nil, err
	}
	rules := make([]Rule, len(list))
	for i, raw := range list {
		if err := json.Unmarshal(raw, &rules[i]); err != nil {
			return nil, fmt.Errorf("rule %q (number %d): %w", nameOf(raw), i+1, err)
		}
	}
	return rules, nil
}

// nameOf returns the name of a rule that cannot be read, for the error. It is empty if the name
// cannot be read either.
func nameOf(raw []byte) string {
	var rule struct {
		Name string `json:"name"`
	}
	_ = json.Unmarshal(raw, &rule) // an unreadable rule has no name
	return rule.Name
}

// duration is a time.Duration that JSON writes as text, such as "90s" or "1h30m". A number would
// leave the unit open, so it is an error.
type duration time.Duration

func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a duration such as 90s or 1h30m", text)
	}
	*d = duration(parsed)
	return nil
}

// The exported types have fields of type time.Duration, which encoding/json would write as numbers.
// So each type T has a pair of types here: plainT is T without its methods, and TJSON embeds plainT
// and adds the duration as text.

type plainRule Rule

// ruleJSON is a Rule as it stands in a policy:
//
//	{"name": "support", "clients": ["helpdesk"], "impersonate": {},
//	 "subjects": [{"kind": "user", "tenant": "acme", "id": "*"}],
//	 "subject_types": ["urn:ietf:params:oauth:token-type:access_token"],
//	 "types": ["urn:ietf:params:oauth:token-type:access_token"],
//	 "targets": ["https://orders.example"], "scope": ["orders:read"], "lifetime": "5m"}
type ruleJSON struct {
	plainRule
	Lifetime duration `json:"lifetime"`
}

// MarshalJSON writes the rule as ParsePolicy reads it. Durations are text, such as "90s".
func (r Rule) MarshalJSON() ([]byte, error) {
	return json.Marshal(ruleJSON{plainRule(r), duration(r.Lifetime)})
}

// UnmarshalJSON reads a rule strictly. A member that is unknown, null or not spelled exactly as in
// Rule is an error.
func (r *Rule) UnmarshalJSON(data []byte) error {
	var text ruleJSON
	if err := strictUnmarshal(data, &text); err != nil {
		return err
	}
	*r = Rule(text.plainRule)
	r.Lifetime = time.Duration(text.Lifetime)
	return nil
}

type plainImpersonation Impersonation

type impersonationJSON struct {
	plainImpersonation
	RefreshLifetime duration `json:"refresh_lifetime,omitzero"`
}

// MarshalJSON writes the settings as they stand in a rule, durations as text.
func (m Impersonation) MarshalJSON() ([]byte, error) {
	return json.Marshal(impersonationJSON{plainImpersonation(m), duration(m.RefreshLifetime)})
}

// UnmarshalJSON reads the settings strictly, see Rule.UnmarshalJSON.
func (m *Impersonation) UnmarshalJSON(data []byte) error {
	var text impersonationJSON
	if err := strictUnmarshal(data, &text); err != nil {
		return fmt.Errorf("impersonate: %w", err)
	}
	*m = Impersonation(text.plainImpersonation)
	m.RefreshLifetime = time.Duration(text.RefreshLifetime)
	return nil
}

type plainDelegation Delegation

type delegationJSON struct {
	plainDelegation
	RefreshLifetime duration `json:"refresh_lifetime,omitzero"`
}

// MarshalJSON writes the settings as they stand in a rule, durations as text.
func (m Delegation) MarshalJSON() ([]byte, error) {
	return json.Marshal(delegationJSON{plainDelegation(m), duration(m.RefreshLifetime)})
}

// UnmarshalJSON reads the settings strictly, see Rule.UnmarshalJSON.
func (m *Delegation) UnmarshalJSON(data []byte) error {
	var text delegationJSON
	if err := strictUnmarshal(data, &text); err != nil {
		return fmt.Errorf("delegate: %w", err)
	}
	*m = Delegation(text.plainDelegation)
	m.RefreshLifetime = time.Duration(text.RefreshLifetime)
	return nil
}

type plainClientActing ClientActing

type clientActingJSON struct {
	plainClientActing
	RefreshLifetime duration `json:"refresh_lifetime,omitzero"`
}

// MarshalJSON writes the settings as they stand in a rule, durations as text.
func (m ClientActing) MarshalJSON() ([]byte, error) {
	return json.Marshal(clientActingJSON{plainClientActing(m), duration(m.RefreshLifetime)})
}

// UnmarshalJSON reads the settings strictly, see Rule.UnmarshalJSON.
func (m *ClientActing) UnmarshalJSON(data []byte) error {
	var text clientActingJSON
	if err := strictUnmarshal(data, &text); err != nil {
		return fmt.Errorf("client_as_actor: %w", err)
	}
	*m = ClientActing(text.plainClientActing)
	m.RefreshLifetime = time.Duration(text.RefreshLifetime)
	return nil
}

// strictUnmarshal is json.Unmarshal for an object. It refuses members that encoding/json would
// ignore or accept: a repeated member, a member that the struct does not have or whose name differs
// in case, and null.
func strictUnmarshal(data []byte, into any) error {
	if _, err := strictjson.Object(data); err != nil {
		return err
	}
	if err := checkMembers(data, reflect.TypeOf(into).Elem()); err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

// checkMembers compares the members of an object with the JSON names of the struct t. Objects
// inside it are checked too, unless their type has a method UnmarshalJSON that does it. null is
// refused: encoding/json reads it like an absent member, which may mean something else to the
// author.
func checkMembers(data []byte, t reflect.Type) error {
	if !strictjson.IsObject(data) {
		return errors.New("not an object")
	}
	known := memberTypes(t)
	for name, value := range strictjson.Members(data) {
		member, ok := known[name]
		switch {
		case !ok:
			return fmt.Errorf("unknown member %q", name)
		case string(value) == "null":
			return fmt.Errorf("member %q is null", name)
		case member == reflect.TypeFor[*Narrowing]():
			if err := checkMembers(value, member.Elem()); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		case member == reflect.TypeFor[[]Identity]():
			if err := checkEach(value, member.Elem()); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

// checkEach applies checkMembers to the objects of an array.
func checkEach(data []byte, t reflect.Type) error {
	var list []json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	for _, object := range list {
		if err := checkMembers(object, t); err != nil {
			return err
		}
	}
	return nil
}

// memberTypes returns the JSON members of a struct, those of embedded structs included.
func memberTypes(t reflect.Type) map[string]reflect.Type {
	members := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			members[name] = f.Type
		}
	}
	return members
}
