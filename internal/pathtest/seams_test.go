package pathtest

import (
	"slices"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// This file is the only one that uses the lineage API of package tokenexchange. The model computes
// the limits without it.

// namesOf returns the names under which a deny list can revoke a JWT: its own name, and the names
// of the tokens that it was made from.
func namesOf(tok tx.Token) []string {
	names := []string{tok.Origin()}
	if tok.Lineage != nil {
		names = append(names, tok.Lineage.From...)
	}
	return names
}

// originName returns the name of a token in namesOf.
func originName(issuer, id string) string { return tx.Token{Issuer: issuer, ID: id}.Origin() }

// organisationIn returns the organisation that a token states.
func organisationIn(tok tx.Token) (tenant string, stated bool) {
	if tok.Lineage == nil {
		return "", false
	}
	return tok.Lineage.Tenant, tok.Lineage.Tenant != ""
}

// drawReplace draws whether the may_act hook of the issuer may replace the carried may_act.
func (w *world) drawReplace(r *rule) { r.ReplaceMayAct = w.oneIn(12) }

// allowAgain lets alice allow a delegation that she has ended.
func (wk *walk) allowAgain(e ended) (allowed bool, err error) {
	alice := wk.people["alice"].Identity
	list, err := wk.tokens.EndedDelegations(wk.ctx, alice)
	if err != nil {
		return false, err
	}
	i := slices.IndexFunc(list, func(d tokenstore.EndedDelegation) bool {
		name := d.Client
		if d.Actor != nil {
			name = d.Actor.Subject
		}
		return name == e.actor.ID && d.Client == e.client
	})
	if i < 0 {
		return false, nil
	}
	return true, wk.tokens.AllowDelegation(wk.ctx, alice, list[i].ID)
}
