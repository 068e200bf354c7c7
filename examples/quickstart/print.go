package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// The layout. A line is longer than width only if a single value is.
const (
	width  = 111
	indent = 12
)

func printHeader(w io.Writer) {
	fmt.Fprint(w, issuer, ` listens on loopback. Each step shows the request of a client, the
response, and the claims that the API of the new token has verified. Tokens are shown by name, and
dates as durations. Every form also has grant_type=urn:ietf:params:oauth:grant-type:token-exchange.
`)
}

func printStep(w io.Writer, n int, s step, o outcome) {
	if s.title != "" {
		fmt.Fprintf(w, "\n%d. %s\n", n, s.title)
	}
	printFields(w, s.client, s.form, "actor_token", "audience")
	printFields(w, o.answer[0].value, o.answer[1:])
	if len(o.token) > 0 {
		printFields(w, "token", o.token)
	}
}

// printFields prints name=value after a label, with as many on a line as fit. The first of each
// name in breaks begins a line.
func printFields(w io.Writer, label string, list fields, breaks ...string) {
	margin := strings.Repeat(" ", indent)
	short := strings.NewReplacer("urn:ietf:params:oauth:token-type:", "urn:...:",
		`,"act":`, ",\n"+margin+`     "act":`) // each actor of a chain on a line of its own
	line, last := fmt.Sprintf("%-*s", indent, "  "+label), ""
	for i, f := range list {
		text := short.Replace(f.name + "=" + f.value)
		first, _, _ := strings.Cut(text, "\n")
		fits := utf8.RuneCountInString(line+"  "+first) <= width
		for _, name := range breaks {
			fits = fits && (f.name != name || f.name == last)
		}
		switch {
		case i == 0:
			line += text
		case fits:
			line += "  " + text
		default:
			fmt.Fprintln(w, line)
			line = margin + text
		}
		last = f.name
	}
	fmt.Fprintln(w, line)
}

// printAudit prints one line for each event, in columns.
func printAudit(w io.Writer, entries []fields) {
	fmt.Fprintln(w, "\nThe audit trail has one event for each exchange, and says why:")
	var names fields
	for _, f := range entries[0] {
		names = append(names, field{f.name, strings.ToUpper(f.name)})
	}
	entries = append([]fields{names}, entries...)
	for _, e := range entries {
		line := ""
		for i, f := range e {
			column := 0
			for _, other := range entries {
				column = max(column, len(other[i].value))
			}
			line += fmt.Sprintf("%-*s  ", column, f.value)
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}
