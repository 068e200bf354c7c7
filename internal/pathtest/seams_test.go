package pathtest

import (
	"slices"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// This file is all that the test knows about how limits travel: by which names the API speaks of
// them. The limits themselves are reckoned elsewhere, without it.

// namesOf are the names under which a deny list can end a JWT of a host without records: its own,
// and those of what it was made from.
func namesOf(tok tx.Token) []string {
	names := []string{tok.Origin()}
	if tok.Lineage != nil {
		names = append(names, tok.Lineage.From...)
	}
	return names
}

// originName is the name by which namesOf speaks of a token, given its issuer and id.
func originName(issuer, id string) string { return tx.Token{Issuer: issuer, ID: id}.Origin() }

// organisationIn is the organisation that a token says for itself, where it does.
func organisationIn(tok tx.Token) (tenant string, says bool) {
	if tok.Lineage == nil {
		return "", false
	}
	return tok.Lineage.Tenant, tok.Lineage.Tenant != ""
}

// drawReplace lets some rules begin anew with what the hook of the issuer says.
func (w *world) drawReplace(r *rule) { r.ReplaceMayAct = w.oneIn(12) }

// allowAgain has alice allow by name what she has ended.
func (wk *walk) allowAgain(e ended) (allowed bool, err error) {
	alice := wk.people["alice"].Identity
	list, err := wk.tokens.EndedDelegations(wk.ctx, alice)
	if err != nil {
		return false, err
	}
	i := slices.IndexFunc(list, func(d tokenstore.EndedDelegation) bool {
		who := d.Client
		if d.Actor != nil {
			who = d.Actor.Subject
		}
		return who == e.who.ID && d.Client == e.client
	})
	if i < 0 {
		return false, nil
	}
	return true, wk.tokens.AllowDelegation(wk.ctx, alice, list[i].ID)
}
