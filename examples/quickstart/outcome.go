package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

// fields are names and values in the order in which they are printed: a form, a response, a token,
// an audit event.
type fields []field

type field struct{ name, value string }

// outcome is the result of one step.
type outcome struct {
	answer  fields
	token   fields // as an API has verified it; empty: no token
	audit   fields
	issued  issued
	jti     string    // of the token
	auditID string    // the jti in the audit trail
	latest  time.Time // the expiry of the first token in the request to expire
}

func (o *outcome) limit(expires time.Time) {
	if o.latest.IsZero() || expires.Before(o.latest) {
		o.latest = expires
	}
}

// readAnswer replaces the token by its name, so that no token is printed.
func (o *outcome) readAnswer(resp *http.Response, body []byte, name string) error {
	members := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&members); err != nil {
		return fmt.Errorf("status %d, and an answer that is not JSON: %w", resp.StatusCode, err)
	}
	if cache := resp.Header.Get("Cache-Control"); cache != "no-store" {
		return fmt.Errorf("answer: expected Cache-Control no-store, got %q", cache)
	}
	o.issued.value, _ = members["access_token"].(string)
	for _, secret := range []string{"access_token", "refresh_token", "id_token"} {
		if _, there := members[secret]; there {
			members[secret] = name
		}
	}
	o.answer = inOrder(members, "access_token", "issued_token_type", "token_type", "expires_in",
		"scope",
		"error", "error_description")
	o.answer = slices.Insert(o.answer, 0, field{"status", strconv.Itoa(resp.StatusCode)})
	return nil
}

// readToken reads the claims of a verified token. Claims that differ in every token are checked but
// not returned: jti, and the dates apart from the time between them. iss needs no check, since it
// selected the keys. names has the names of the tokens that this one may have been made from, by
// origin.
func (o *outcome) readToken(tok tokenexchange.Token, names map[string]string) error {
	claims := map[string]json.RawMessage{}
	if err := json.Unmarshal(tok.Claims, &claims); err != nil {
		return err
	}
	if age := time.Since(tok.Issued); age < 0 || age > time.Minute || tok.ID == "" {
		return fmt.Errorf(
			"token: expected a jti and a new token, got jti %q and one that is %s old", tok.ID, age)
	}
	members := map[string]any{"act": "none"}
	for name, raw := range claims {
		var text string
		if name == "aud" || json.Unmarshal(raw, &text) != nil {
			text = string(raw)
		}
		members[name] = text
	}
	if raw, there := claims["lineage"]; there {
		text, err := readLineage(raw, tok.Issued, names)
		if err != nil {
			return err
		}
		members["lineage"] = text
	}
	lifetime := tok.Expires.Sub(tok.Issued).String()
	if strings.HasSuffix(lifetime, "m0s") {
		lifetime = strings.TrimSuffix(lifetime, "0s")
	}
	members["exp"] = "iat+" + lifetime
	for _, name := range []string{"iss", "iat", "jti"} {
		delete(members, name)
	}
	o.token = inOrder(members, "sub", "client_id", "aud", "scope", "exp", "act", "may_act")
	o.issued.expires, o.issued.origin, o.jti = tok.Expires, tok.Origin(), tok.ID
	return nil
}

// readLineage shows the claim lineage with names for the tokens that it lists. The time at which it
// began is checked and not shown. A token without a name stays as it is, which no step expects.
func readLineage(raw []byte, issued time.Time, names map[string]string) (string, error) {
	var l tokenexchange.Lineage
	if err := json.Unmarshal(raw, &l); err != nil {
		return "", fmt.Errorf("token: lineage: %w", err)
	}
	if age := issued.Sub(l.Begun); age < 0 || age > time.Minute {
		return "", fmt.Errorf(
			"token: expected a lineage that began with a login just now, got one of %s", l.Begun)
	}
	l.Begun = time.Time{}
	for i, origin := range l.From {
		l.From[i] = cmp.Or(names[origin], origin)
	}
	text, err := json.Marshal(l)
	return strings.NewReplacer(`"\u003c`, "<", `\u003e"`, ">").Replace(string(text)), err
}

// readAudit expects one event. Its detail is the acting party, or the reason for a refusal, which
// the client does not learn.
func (o *outcome) readAudit(events []tokenexchange.Event) error {
	if len(events) != 1 {
		return fmt.Errorf("audit: expected one event, got %d", len(events))
	}
	ev := events[0]
	outcome, rule, detail, actor := "granted", ev.Decision.Rule, "", ""
	for a := ev.Decision.Actor; a != nil; a = a.Prior {
		if detail == "" {
			detail = "act: " + a.Subject
		} else {
			detail += ", before " + a.Subject
		}
	}
	if e := (*tokenexchange.Error)(nil); errors.As(ev.Err, &e) {
		outcome, rule, detail = "refused", e.Rule, e.Reason
		if e.Code.Status() >= http.StatusInternalServerError {
			outcome = "failed"
		}
	}
	if ev.Facts.Actor != nil {
		actor = ev.Facts.Actor.ID
	}
	o.audit = audited(outcome, orDash(rule), ev.Facts.Client.ID, orDash(ev.Facts.Subject.ID),
		orDash(actor), orDash(detail))
	o.auditID = ev.TokenID
	return nil
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// inOrder makes fields of members: the named ones in that order, then the others.
func inOrder(members map[string]any, names ...string) (list fields) {
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if value, there := members[name]; there {
			list = append(list, field{name, fmt.Sprint(value)})
		}
	}
	return list
}

// check compares the outcome of a step with the expected one.
func (o *outcome) check(s step) error {
	for _, part := range []struct {
		name      string
		want, got fields
	}{{"answer", s.answer, o.answer}, {"token", s.token, o.token}, {"audit", s.audit, o.audit}} {
		if err := compare(part.name, part.want, part.got); err != nil {
			return err
		}
	}
	switch {
	case o.auditID != o.jti:
		return fmt.Errorf("audit: expected the jti of the token, %q, got %q", o.jti, o.auditID)
	case o.issued.expires.After(o.latest):
		return fmt.Errorf(
			"token: expected exp=%d at most, as in the tokens that were sent, got exp=%d",
			o.latest.Unix(), o.issued.expires.Unix())
	}
	return nil
}

// compare reports the first field that differs.
func compare(part string, want, got fields) error {
	text := func(list fields, i int) string {
		if i < len(list) {
			return list[i].name + "=" + list[i].value
		}
		return "nothing more"
	}
	for i := range max(len(want), len(got)) {
		if w, g := text(want, i), text(got, i); w != g {
			return fmt.Errorf("%s: expected %s, got %s", part, w, g)
		}
	}
	return nil
}
