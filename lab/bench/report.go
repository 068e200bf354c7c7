package main

import (
	"fmt"
	"io"
	"strings"
)

// limit is a goal for one figure. The zero limit is no goal: the figure is only reported.
type limit struct {
	sign  string // ≤ or ≥
	value float64
	shown bool // a missed goal is shown, and fails nothing
}

func atMost(v float64) limit  { return limit{sign: "≤", value: v} }
func atLeast(v float64) limit { return limit{sign: "≥", value: v} }

func shown(l limit) limit {
	l.shown = true
	return l
}

func (l limit) met(v float64) bool {
	return l.sign == "" || l.sign == "≤" && v <= l.value || l.sign == "≥" && v >= l.value
}

// figure is one measured number.
type figure struct {
	summary
	format string // a verb of fmt, and the unit
	goal   limit
}

// text is the figure, with its spread unless that rounds to zero.
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
		return "–"
	}
	_, unit, _ := strings.Cut(f.format, " ")
	return strings.TrimSpace(fmt.Sprintf("%s %g %s", f.goal.sign, f.goal.value, unit))
}

// row is one line of a table, with a figure for each column.
type row struct {
	what    string
	figures []figure
}

// goals lists the goals of a row, or the one goal that all its figures have.
func (r row) goals() string {
	var all []string
	same := true
	for _, f := range r.figures {
		all = append(all, f.goalText())
		same = same && f.goalText() == all[0]
	}
	if same {
		all = all[:1]
	}
	return strings.Join(all, ", ")
}

// verdict says whether the goals of a row are met. met is false if a goal that is gated is missed.
func (r row) verdict(columns []string) (text string, met bool) {
	var missed []string
	goals, gated := 0, 0
	met = true
	for i, f := range r.figures {
		if f.goal.sign == "" {
			continue
		}
		goals++
		if !f.goal.shown {
			gated++
		}
		if !f.goal.met(f.median) {
			missed = append(missed, columns[i])
			met = met && f.goal.shown
		}
	}
	switch {
	case goals == 0:
		return "–", true
	case len(missed) == 0:
		text = "yes"
	case len(missed) == goals:
		text = "**no**"
	default:
		text = "**no**: " + strings.Join(missed, ", ")
	}
	if gated == 0 {
		text += " (not gated)"
	}
	return text, met
}

// table is one part of the report.
type table struct {
	title   string
	columns []string
	rows    []row
}

// print writes the table as Markdown and returns the rows that miss a gated goal.
func (t table) print(w io.Writer) (missed []string) {
	fmt.Fprintf(w, "\n| %s | %s | goal | met |\n|---|%s---|---|\n", t.title,
		strings.Join(t.columns, " | "), strings.Repeat("---:|", len(t.columns)))
	for _, r := range t.rows {
		var cells []string
		for _, f := range r.figures {
			cells = append(cells, f.text())
		}
		verdict, met := r.verdict(t.columns)
		if !met {
			missed = append(missed, r.what)
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s |\n", r.what, strings.Join(cells, " | "), r.goals(),
			verdict)
	}
	return missed
}
