package pathtest

import tx "github.com/go-tokenexchange/tokenexchange"

// This file is all that the test knows about how limits travel. Each function is for one name of
// the API that does not exist yet; without it the test asks for less, and its other limits hold as
// they are.

// namesOf are the names under which a deny list can end a JWT of a host without records: its own,
// and those of what it was made from, as far as it says them (Token.Lineage).
func namesOf(tok tx.Token) []string { return []string{tok.ID} }

// jwtSaysOrigin reports whether namesOf finds what a JWT was made from (Token.Lineage).
const jwtSaysOrigin = false

// originName is the name by which namesOf speaks of a token, given its issuer and id
// (Token.Lineage).
func originName(_, id string) string { return id }

// organisationIn is the organisation that a token says for itself, where it does (Token.Lineage).
func organisationIn(tx.Token) (tenant string, says bool) { return "", false }

// organisationsOf are the organisations that an authorizer is asked about.
func organisationsOf(f tx.Facts) []string { return []string{f.Subject.Tenant} }

// replacesMayAct reports whether a rule lets the hook of the issuer begin anew
// (Rule.ReplaceMayAct).
func replacesMayAct(tx.Rule) bool { return false }

// drawReplace lets some rules do so (Rule.ReplaceMayAct).
func (w *world) drawReplace(*tx.Rule) {}

// markName says that a token is a name and nothing else (Token.Name).
func markName(*tx.Token) {}

// markClient says that an issuer is a client with a key of its own (Trust.Client).
func markClient(*tx.Trust) {}

// mapLogin says what acr and amr of an issuer mean here (Trust.Login).
func mapLogin(*tx.Trust) {}

// allowAgain has alice allow by name what she has ended (Tokens.AllowDelegation).
func (wk *walk) allowAgain(ended) (allowed bool, err error) { return false, nil }
