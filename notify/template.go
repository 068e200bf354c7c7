package notify

import (
	"errors"
	"fmt"
	"strings"
	"text/template"
	"unicode"
)

// Message is the text to send: a subject of one line, and a body in plain text.
type Message struct{ Subject, Body string }

// Template renders a Message from a Notice, or from a struct of the host that embeds a Notice and
// adds display names. The zero Template and a nil one return an error.
type Template struct{ subject, body *template.Template }

// ParseTemplate parses two templates of package text/template. A key that the data lacks is an
// error when a message is rendered, and never an empty text.
func ParseTemplate(subject, body string) (*Template, error) {
	parse := func(name, text string) (*template.Template, error) {
		return template.New(name).Option("missingkey=error").Parse(text)
	}
	if strings.TrimSpace(subject) == "" || strings.TrimSpace(body) == "" {
		return nil, errors.New("notify: a template needs a subject and a body")
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

// Limits of a rendered message, in bytes.
const (
	maxSubject = 200
	maxBody    = 64 << 10
)

// Message renders the message. Users choose the names in data, so every character of the subject
// that is not printable becomes a space, line breaks of all kinds included: a name cannot add a
// header. The body keeps line breaks and tabs. A subject longer than 200 bytes is cut. A body
// longer than 64 KiB and a subject without a printable character are errors.
func (t *Template) Message(data any) (Message, error) {
	if t == nil || t.subject == nil || t.body == nil {
		return Message{}, errors.New("notify: no template; ParseTemplate makes one")
	}
	var subject, body strings.Builder
	if err := errors.Join(t.subject.Execute(&subject, data), t.body.Execute(&body,
		data)); err != nil {
		return Message{}, fmt.Errorf("notify: %w", err)
	}
	line := strings.Join(strings.Fields(printable(subject.String(), "")), " ")
	switch {
	case line == "":
		return Message{}, errors.New("notify: the subject of the message is empty")
	case body.Len() > maxBody:
		return Message{}, fmt.Errorf("notify: the body has %d bytes; at most %d are allowed",
			body.Len(), maxBody)
	}
	return Message{
		Subject: truncate(line, maxSubject),
		Body:    printable(body.String(), "\n\t"),
	}, nil
}

// printable replaces every character that is neither graphic nor in allowed by a space. Characters
// that change the direction of writing are not graphic.
func printable(s, allowed string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) || strings.ContainsRune(allowed, r) {
			return r
		}
		return ' '
	}, strings.ReplaceAll(s, "\r\n", "\n"))
}

// truncate cuts s to at most limit bytes, at a character boundary.
func truncate(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit-len("…")], "") + "…"
}
