package notify

import (
	"errors"
	"fmt"
	"strings"
	"text/template"
	"unicode"
)

// Message is what is sent: one line, and plain text.
type Message struct{ Subject, Body string }

// Template makes a Message of a Notice, or of a host's own struct that embeds one and has names in it. The zero Template,
// and nil, fail.
type Template struct{ subject, body *template.Template }

// ParseTemplate reads two templates of text/template. A member that the data does not have is an error when a message is
// made, never an empty place in it.
func ParseTemplate(subject, body string) (*Template, error) {
	parse := func(name, text string) (*template.Template, error) {
		return template.New(name).Option("missingkey=error").Parse(text)
	}
	if strings.TrimSpace(subject) == "" || strings.TrimSpace(body) == "" {
		return nil, errors.New("notify: a template without subject or body")
	}
	s, err := parse("subject", subject)
	if err != nil {
		return nil, fmt.Errorf("notify: %w", err)
	}
	b, err := parse("body", body)
	if err != nil {
		return nil, fmt.Errorf("notify: %w", err)
	}
	return &Template{s, b}, nil
}

// What a message has at most, in bytes of what comes out of the template.
const (
	longestSubject = 200
	longestBody    = 64 << 10
)

// Message makes the message. Names in data are what somebody has chosen, so whatever is not visible becomes a space in the
// subject, line breaks of all kinds among it: no second header can come out of it. In the body only line breaks and tabs
// stay. A subject that is too long is cut; a body that is, and a subject without a visible character, are errors.
func (t *Template) Message(data any) (Message, error) {
	if t == nil || t.subject == nil || t.body == nil {
		return Message{}, errors.New("notify: no template")
	}
	var subject, body strings.Builder
	if err := errors.Join(t.subject.Execute(&subject, data), t.body.Execute(&body, data)); err != nil {
		return Message{}, fmt.Errorf("notify: %w", err)
	}
	line := strings.Join(strings.Fields(visible(subject.String(), "")), " ")
	switch {
	case line == "":
		return Message{}, errors.New("notify: an empty subject")
	case body.Len() > longestBody:
		return Message{}, errors.New("notify: a body that is too long")
	}
	return Message{Subject: cut(line, longestSubject), Body: visible(body.String(), "\n\t")}, nil
}

// visible replaces what is not, but for what is kept. What turns the direction of writing is not visible either.
func visible(s, keep string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) || strings.ContainsRune(keep, r) {
			return r
		}
		return ' '
	}, strings.ReplaceAll(s, "\r\n", "\n"))
}

// cut shortens to whole characters.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most-len("…")], "") + "…"
}
