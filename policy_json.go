package tokenexchange

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange/internal/strictjson"
)

// ruleJSON is a rule as data: durations are text, "90s" or "1h30m".
type ruleJSON struct {
	Rule
	Lifetime        string `json:"lifetime"`
	RefreshLifetime string `json:"refresh_lifetime,omitempty"`
}

// MarshalJSON writes what ParsePolicy reads: {"rules": [...]}, members named as in Rule, durations as text.
func (p *Policy) MarshalJSON() ([]byte, error) {
	rules := []ruleJSON{}
	if p != nil {
		for i := range p.source {
			r := &p.source[i]
			j := ruleJSON{Rule: *r, Lifetime: r.Lifetime.String()}
			if r.RefreshLifetime != 0 {
				j.RefreshLifetime = r.RefreshLifetime.String()
			}
			rules = append(rules, j)
		}
	}
	return json.Marshal(map[string]any{"rules": rules})
}

// ParsePolicy reads the JSON that Policy.MarshalJSON writes, strictly: a member that is unknown or occurs twice, a
// misspelt mode or a rule that NewPolicy refuses is an error that names the rule.
func ParsePolicy(data []byte) (*Policy, error) {
	if err := strictjson.Check(data); err != nil {
		return nil, fmt.Errorf("tokenexchange: policy: %w", err)
	}
	if !strictjson.IsObject(data) {
		return nil, errors.New("tokenexchange: policy: not an object")
	}
	var list []json.RawMessage
	for name, value := range strictjson.Members(data) {
		if name != "rules" {
			return nil, fmt.Errorf("tokenexchange: policy: unknown member %q", name)
		}
		if err := json.Unmarshal(value, &list); err != nil {
			return nil, fmt.Errorf("tokenexchange: policy: rules: %w", err)
		}
	}
	rules := make([]Rule, len(list))
	for i, raw := range list {
		r, err := parseRule(raw)
		if err != nil {
			return nil, fmt.Errorf("tokenexchange: rule %q (number %d): %w", r.Name, i+1, err)
		}
		rules[i] = r
	}
	return NewPolicy(rules...)
}

func parseRule(raw []byte) (Rule, error) {
	var j ruleJSON
	for name, value := range strictjson.Members(raw) {
		if name == "name" {
			j.Name, _ = strictjson.String(value) // for the error; decoded again below
		}
	}
	if err := checkMembers(raw, ruleMembers); err != nil {
		return j.Rule, err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&j); err != nil {
		return j.Rule, err
	}
	var err error
	if j.Rule.Lifetime, err = parseDuration("lifetime", j.Lifetime); err == nil {
		j.Rule.RefreshLifetime, err = parseDuration("refresh_lifetime", j.RefreshLifetime)
	}
	return j.Rule, err
}

func parseDuration(name, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	return d, need(err == nil, "%s %q is no duration such as 90s or 1h30m", name, text)
}

// checkMembers refuses what encoding/json would let pass: a member whose name differs in case only, and null.
func checkMembers(raw []byte, known map[string]bool) error {
	if !strictjson.IsObject(raw) {
		return errors.New("not an object")
	}
	for name, value := range strictjson.Members(raw) {
		if !known[name] {
			return fmt.Errorf("unknown member %q", name)
		}
		if string(value) == "null" {
			return fmt.Errorf("member %q is null", name)
		}
		if name == "subjects" || name == "actors" {
			if err := checkPatterns(value); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

func checkPatterns(raw []byte) error {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return err
	}
	for _, pattern := range list {
		if err := checkMembers(pattern, patternMembers); err != nil {
			return err
		}
	}
	return nil
}

var (
	ruleMembers    = memberNames(reflect.TypeFor[ruleJSON]())
	patternMembers = memberNames(reflect.TypeFor[Identity]())
)

// memberNames lists the JSON members of a struct, embedded ones included.
func memberNames(t reflect.Type) map[string]bool {
	names := map[string]bool{}
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			names[name] = true
		}
	}
	return names
}
