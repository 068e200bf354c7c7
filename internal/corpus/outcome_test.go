package corpus

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// outcome is what becomes of a pair, without the text of reasons. Exactly one field is set.
type outcome struct {
	Rejected bool     `json:"rejected,omitempty"` // the policy is refused
	Refused  *refused `json:"refused,omitempty"`
	Granted  *granted `json:"granted,omitempty"`
}

type refused struct {
	Code tx.Code `json:"code"`
	Rule string  `json:"rule,omitempty"`
}

// granted is the decision, and what an issuer asks it for. Chains and lineages are text as they
// would be written, so that every byte counts. Dates are seconds since 1970.
type granted struct {
	Rule           string          `json:"rule"`
	Mode           string          `json:"mode"`
	Issuer         string          `json:"issuer"`
	Client         string          `json:"client"`
	Subject        tx.Identity     `json:"subject"`
	Actor          string          `json:"actor,omitempty"`
	Audience       []string        `json:"audience"`
	Scope          tx.Scope        `json:"scope"`
	Expanded       tx.Scope        `json:"expanded"`
	Type           tx.TokenType    `json:"type"`
	Issued         int64           `json:"issued"`
	Expires        int64           `json:"expires"`
	Confirmation   tx.Confirmation `json:"confirmation"`
	IDToken        bool            `json:"id_token"`
	RefreshToken   bool            `json:"refresh_token"`
	RefreshExpires int64           `json:"refresh_expires"`
	Ends           int64           `json:"ends"`
	ReplaceMayAct  bool            `json:"replace_may_act"`
	Lineage        string          `json:"lineage"`
	WithOrigins    string          `json:"lineage_with_origins"`
	MayAct         string          `json:"may_act,omitempty"`
	Claims         json.RawMessage `json:"claims"`
}

// noDate is the zero time.
const noDate = -62135596800

// decide asks the policy of the pair.
func decide(p pair) outcome {
	policy, ok := p.Policy.newPolicy()
	if !ok {
		return outcome{Rejected: true}
	}
	d, err := policy.Decide(p.Facts)
	if err != nil {
		e := tx.AsError(err)
		if found := (*tx.Error)(nil); !errors.As(err, &found) || !errors.Is(err, e.Code) ||
			found.Code != e.Code || found.Rule != e.Rule {
			panic(fmt.Sprintf("errors.As finds %v, AsError %v", found, e))
		}
		return outcome{Refused: &refused{e.Code, e.Rule}}
	}
	d.Facts = p.Facts
	g := &granted{
		Rule: d.Rule, Mode: string(d.Mode), Issuer: d.Issuer, Client: d.Client, Subject: d.Subject,
		Actor: actorJSON(d.Actor), Audience: d.Audience, Scope: d.Scope, Expanded: d.Expanded,
		Type: d.Type, Issued: seconds(d.Issued), Expires: seconds(d.Expires),
		Confirmation: d.Confirmation, IDToken: d.IDToken, RefreshToken: d.RefreshToken,
		RefreshExpires: seconds(d.RefreshExpires), Ends: seconds(d.Ends),
		ReplaceMayAct: d.ReplaceMayAct, Lineage: string(mustJSON(d.Lineage())),
		WithOrigins: string(mustJSON(d.LineageWithOrigins())), MayAct: actorJSON(d.MayAct()),
		Claims: mustJSON(d.Token("id").ClaimsSet()),
	}
	return outcome{Granted: g}
}

// seconds insists on whole seconds, which a decision promises.
func seconds(t time.Time) int64 {
	if t.Nanosecond() != 0 {
		panic(fmt.Sprintf("%s is not a whole second", t))
	}
	return t.Unix()
}

// actorJSON returns a chain byte for byte.
func actorJSON(a *tx.Actor) string {
	if a == nil {
		return ""
	}
	data, err := a.MarshalJSON()
	if err != nil {
		panic(err)
	}
	return string(data)
}

func mustJSON(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

// rule returns the name of the rule that decided; empty: none.
func (o outcome) rule() string {
	switch {
	case o.Granted != nil:
		return o.Granted.Rule
	case o.Refused != nil:
		return o.Refused.Rule
	}
	return ""
}

// byName returns the rule and its place in the policy; nil and -1 if there is none.
func (p policy) byName(name string) (*rule, int) {
	i := slices.IndexFunc(p.Rules, func(r rule) bool { return r.Name == name })
	if i < 0 {
		return nil, -1
	}
	return &p.Rules[i], i
}
