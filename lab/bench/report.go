package main

import (
	"fmt"
	"io"
	"strings"
)

// limit is a goal for one figure. The zero limit is none: the figure is only reported.
type limit struct {
	sign  string // ≤ or ≥
	value float64
}

func atMost(v float64) limit  { return limit{"≤", v} }
func atLeast(v float64) limit { return limit{"≥", v} }

func (l limit) met(v float64) bool {
	return l.sign == "" || l.sign == "≤" && v <= l.value || l.sign == "≥" && v >= l.value
}

// figure is one number that was measured.
type figure struct {
	summary
	format string // of the number: a verb of fmt, and the unit
	goal   limit
	noisy  bool // a goal that is shown, but decides nothing
}

// text is the figure with its spread, where rounds have one that shows.
func (f figure) text() string {
	verb, unit, _ := strings.Cut(f.format, " ")
	number := fmt.Sprintf(verb, f.median)
	if spread := fmt.Sprintf(verb, f.spread); strings.Trim(spread, "0.") != "" {
		number += " ± " + spread
	}
	return strings.TrimSpace(number + " " + unit)
}

func (f figure) goalText() string {
	if f.goal.sign == "" {
		return ""
	}
	_, unit, _ := strings.Cut(f.format, " ")
	return strings.TrimSpace(fmt.Sprintf("%s %g %s", f.goal.sign, f.goal.value, unit))
}

// row is one line of a table: a figure for each of its columns.
type row struct {
	what    string
	figures []figure
}

// one is a row with one figure.
func one(what string, value summary, format string, goal limit) row {
	return row{what, []figure{{value, format, goal, false}}}
}

// exactly is a number that no round has measured.
func exactly(v float64) summary { return summary{median: v} }

// goals are those of a row, and only one where all are the same.
func (r row) goals() string {
	var all []string
	same := true
	for _, f := range r.figures {
		text := f.goalText()
		if text == "" {
			text = "–"
		}
		all = append(all, text)
		same = same && text == all[0]
	}
	if same {
		all = all[:1]
	}
	return strings.Join(all, ", ")
}

// verdict says whether every goal is met; gated is false where none of them decides anything.
func (r row) verdict(columns []string) (text string, met bool) {
	var missed []string
	goals, gates := 0, 0
	met = true
	for i, f := range r.figures {
		if f.goal.sign == "" {
			continue
		}
		goals++
		if !f.noisy {
			gates++
		}
		if !f.goal.met(f.median) {
			missed = append(missed, columns[i])
			met = met && f.noisy
		}
	}
	switch {
	case goals == 0:
		return "–", true
	case len(missed) == 0:
		text = "yes"
	case goals == 1 || len(missed) == goals:
		text = "**no**"
	default:
		text = "**no**: " + strings.Join(missed, ", ")
	}
	if gates == 0 {
		text += " (not gated)"
	}
	return text, met
}

// table is a part of the report.
type table struct {
	title   string
	columns []string
	rows    []row
}

// print writes a table as Markdown, and returns what of it misses a goal that counts.
func (t table) print(w io.Writer) (missed []string) {
	fmt.Fprintf(w, "\n| %s | %s | goal | met |\n|---|%s---|---|\n", t.title, strings.Join(t.columns, " | "), strings.Repeat("---:|", len(t.columns)))
	for _, r := range t.rows {
		var cells []string
		for _, f := range r.figures {
			cells = append(cells, f.text())
		}
		verdict, met := r.verdict(t.columns)
		if !met {
			missed = append(missed, r.what)
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s |\n", r.what, strings.Join(cells, " | "), r.goals(), verdict)
	}
	return missed
}
