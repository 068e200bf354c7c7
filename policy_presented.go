package tokenexchange

import "slices"

// The checks in this file concern the client and the presented tokens alone. No rule can permit
// what they refuse (I10). A verifier has made some of these checks before. Decide repeats them,
// because Run and Decide accept tokens that no Verifier of this package has seen.

// checkComplete refuses facts that lack a required part, so that zero values grant nothing (I01).
func checkComplete(f *Facts) *Error {
	switch {
	case f.Client.ID == "":
		return refuse(InvalidClient, "client_missing", "the facts name no client (R09)")
	// With an empty Issuer a token without iss would count as our own, and with a zero Now no
	// token would have expired.
	case f.Issuer == "" || f.Grant == "" || f.Now.IsZero():
		return refuse(ServerError, "facts_incomplete",
			"the facts lack the issuer, the grant or the time (I01)")
	// A resolver that does not know a party may answer with the zero Subject and no error.
	case !f.Subject.isComplete():
		return refuse(InvalidRequest, "subject_unresolved",
			"SubjectResolver gave no complete identity for the subject (D07)")
	case f.Actor != nil && !f.Actor.isComplete():
		return refuse(InvalidRequest, "actor_unresolved",
			"SubjectResolver gave no complete identity for the actor (D07)")
	}
	return nil
}

// checkSubjectToken refuses a subject token that is not acceptable from any client.
func checkSubjectToken(f *Facts) *Error {
	t := &f.Subject.Token
	switch {
	// The issued token has our iss. The sub of another issuer beside it would be the name of
	// one of our own users.
	case f.Subject.Issuer != f.Issuer:
		return refuse(InvalidRequest, "subject_not_local",
			"SubjectResolver returned a subject of issuer %q; a subject must be one of %q (D19)",
			f.Subject.Issuer, f.Issuer)
	case !t.isComplete():
		return refuse(InvalidRequest, "subject_token_incomplete",
			"the subject token has no type, issuer or subject (R08)")
	// The two types mean that this server issued the token. Its scope and aud would be believed
	// without a mapping.
	case !f.isOwn(t) && (t.Type == TypeAccessToken || t.Type == TypeRefreshToken):
		return refuse(InvalidRequest, "subject_token_foreign",
			"the subject token has the type %q, but its issuer is %q, not %q (R07)",
			t.Type, t.Issuer, f.Issuer)
	case isClientAssertion(t, f):
		return refuse(InvalidRequest, "client_assertion",
			"the subject token is a client assertion of %q (R07)", t.Issuer)
	// The tokens of a refresh were presented earlier, and may have expired since. What is left
	// of the grant is then up to grantLifetime (D28).
	case !f.isRefresh() && !t.Expires.After(f.Now):
		return refuse(InvalidRequest, "subject_token_expired",
			"the subject token expired at %s (D25)", timestamp(t.Expires))
	// The token may be for an organisation that an earlier exchange selected. The membership
	// is checked again, since it can end before the token does.
	case f.Subject.hasLeftTenant():
		return refuse(InvalidRequest, "subject_left_tenant",
			"the subject no longer belongs to the organisation %q of its token, only to %s (D24)",
			f.Subject.tenant(), listed(append(slices.Clone(f.Subject.Tenants), f.Subject.Tenant)))
	}
	return nil
}

// checkActorToken refuses an actor token that is not acceptable from any client. It accepts a
// request without an actor token.
func checkActorToken(f *Facts) *Error {
	if f.Actor == nil {
		return nil
	}
	t := &f.Actor.Token
	switch {
	case !t.isComplete():
		return refuse(InvalidRequest, "actor_token_incomplete",
			"the actor token has no type, issuer or subject (R08)")
	// At the exchange an actor shows an access token or an ID token. Another grant may bring
	// evidence about the actor, which the host has checked.
	case t.Type == TypeRefreshToken, f.Grant == GrantType && t.Type.isEvidence():
		return refuse(InvalidRequest, "actor_token_type_not_allowed",
			"the actor token has the type %q; it must be an access token or an ID token (D05, D28)",
			t.Type)
	case t.Type == TypeAccessToken && !f.isOwn(t):
		return refuse(InvalidRequest, "actor_token_foreign",
			"the actor token has the type %q, but its issuer is %q, not %q (R07)",
			t.Type, t.Issuer, f.Issuer)
	case isClientAssertion(t, f):
		return refuse(InvalidRequest, "client_assertion",
			"the actor token is a client assertion of %q (R07)", t.Issuer)
	case !f.isRefresh() && !t.Expires.After(f.Now):
		return refuse(InvalidRequest, "actor_token_expired",
			"the actor token expired at %s (D25)", timestamp(t.Expires))
	case f.Actor.hasLeftTenant():
		return refuse(InvalidRequest, "actor_left_tenant",
			"the actor no longer belongs to the organisation %q of its token, only to %s (D24)",
			f.Actor.tenant(), listed(append(slices.Clone(f.Actor.Tenants), f.Actor.Tenant)))
	}
	return nil
}

// isClientAssertion reports whether the token is an assertion by which the client authenticates
// (RFC 7523 §3). The client signs such an assertion about itself whenever it likes, so it proves
// nothing about a subject or an actor.
func isClientAssertion(t *Token, f *Facts) bool {
	return t.Issuer == t.Subject && t.Issuer == f.Client.ID
}

// checkPresented refuses acceptable tokens that are not acceptable from this client or beside each
// other.
func checkPresented(f *Facts) *Error {
	t := &f.Subject.Token
	switch {
	// Another client gains nothing from a stolen refresh token (RFC 6749 §6).
	case t.Type == TypeRefreshToken && t.ClientID != f.Client.ID:
		return refuse(InvalidRequest, "refresh_token_other_client",
			"the refresh token was issued to client %q, not to %q (D28)", t.ClientID, f.Client.ID)
	// A token that a client signed is only that client's own statement. Another client that
	// obtained the token must not profit from it, and a client must not speak in the name of this
	// server.
	case t.ByClient && (f.isOwn(t) || t.Issuer != f.Client.ID):
		return refuse(InvalidRequest, "client_signed_other_client",
			"the subject token was signed by client %q, not by %q (D04)", t.Issuer, f.Client.ID)
	// A token of such a type could be presented without an actor token.
	case t.ByClient && !t.Type.isEvidence():
		return refuse(InvalidRequest, "client_signed_type_not_allowed",
			"a client cannot sign a token of the type %q (D04)", t.Type)
	case t.ByClient && (t.Actor != nil || t.MayAct != nil):
		return refuse(InvalidRequest, "client_signed_act",
			"act and may_act in a token that a client signed are not believed (D06)")
	// Otherwise a client could write down a user id, or sign one, and receive the user's token.
	case f.Actor == nil && needsActorToken(f):
		return refuse(InvalidRequest, "actor_token_missing",
			"a subject token of the type %q needs an actor token (D04)", t.Type)
	// A ticket is made for one actor. Without that actor's own token, a copy of the ticket would
	// be enough.
	case f.isTicket() && (f.Actor == nil || t.MayAct == nil || t.MayAct.Subject == ""):
		return refuse(InvalidRequest, "ticket_without_actor",
			"a ticket needs a may_act with sub, and the token of that actor (D09)")
	}
	return checkBesideActor(f)
}

// needsActorToken reports whether the subject token proves nothing without an actor token: a name,
// and at the exchange a ticket and an assertion that the client signed. The door of a host that
// brings evidence checks it itself.
func needsActorToken(f *Facts) bool {
	t := &f.Subject.Token
	return f.isName() || t.Type.isEvidence() && f.Grant == GrantType && (f.isOwn(t) || t.ByClient)
}

// checkBesideActor refuses a subject token and an actor token that do not belong together.
func checkBesideActor(f *Facts) *Error {
	if f.Actor == nil {
		return nil
	}
	subject, actor := &f.Subject.Token, &f.Actor.Token
	switch {
	// A may_act limits who may act, whatever a rule allows. A refresh does not compare it again:
	// the actor is the actor of the first exchange (D28).
	case subject.MayAct != nil && !f.isRefresh() && !mayActNamesActor(f):
		return refuse(InvalidRequest, "may_act_other_actor",
			"may_act of the subject token is %s; it does not match actor %s and client %q (D08)",
			subject.MayAct.text(), f.Actor.describe(), f.Client.ID)
	// In a token with act, another party acts for the subject already. That party would be lost
	// if the subject alone became the actor.
	case actor.Actor != nil:
		return refuse(InvalidRequest, "actor_token_has_act",
			"the actor token has an act chain: %s (D14)", actor.Actor.path())
	// The thief of a bound token does not have its key.
	case !isProved(actor.Confirmation, f.Client.Confirmation):
		return refuse(InvalidRequest, "actor_key_not_proved",
			"the client did not prove the key that the actor token is bound to (D30)")
	}
	return nil
}

// presentedChain returns the chain of the subject token, in which every member has its issuer. Nil
// means that the token has no actor. A chain that names a party twice is refused and not repaired,
// because either of the two entries may be the wrong one.
func presentedChain(t *Token) (*Actor, *Error) {
	switch depth := t.Actor.depth(); {
	case !t.Actor.isChain():
		return nil, refuse(InvalidRequest, "chain_malformed",
			"an act of the subject token has no sub (R15)")
	// This limit comes first, since the search for a loop is quadratic.
	case depth > deepestChain:
		return nil, refuse(InvalidRequest, "chain_too_deep",
			"the subject token has %d actors; no rule allows more than %d (D15)",
			depth, deepestChain)
	}
	// The issuers are compared too, so a missing issuer must be filled in before (D06).
	chain := t.Actor.withIssuer(t.Issuer)
	for a := chain; a != nil; a = a.Prior {
		if a.Prior.has(a.Issuer, a.Subject) {
			return nil, refuse(InvalidRequest, "chain_repeats_actor",
				"the chain of the subject token names %q of %q twice (D15)", a.Subject, a.Issuer)
		}
	}
	return chain, nil
}
