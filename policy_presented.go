package tokenexchange

import "slices"

// The checks in this file concern the client and the presented tokens alone. No rule can permit what
// they refuse (I10).

// checkComplete refuses facts that lack a required part, so that zero values grant nothing (I01).
func checkComplete(f *Facts) *Error {
	switch {
	case f.Client.ID == "":
		return refuse(InvalidClient, "client_missing", "the facts name no client (R09)")
	case f.Issuer == "" || f.Grant == "" || f.Now.IsZero():
		return refuse(ServerError, "facts_incomplete",
			"the facts lack the issuer, the grant or the time (I01)")
	case !f.Subject.isComplete():
		return refuse(InvalidRequest, "subject_unresolved",
			"SubjectResolver gave no complete identity for the subject (D07)")
	case f.Actor != nil && !f.Actor.isComplete():
		return refuse(InvalidRequest, "actor_unresolved",
			"SubjectResolver gave no complete identity for the actor (D07)")
	}
	return nil
}

// checkSubjectToken refuses a subject token that is not acceptable in itself.
func checkSubjectToken(f *Facts) *Error {
	t := &f.Subject.Token
	switch {
	case f.Subject.Issuer != f.Issuer:
		return refuse(InvalidRequest, "subject_not_local",
			"SubjectResolver returned a subject of issuer %q; a subject must be one of %q (D19)",
			f.Subject.Issuer, f.Issuer)
	case !t.isComplete():
		return refuse(InvalidRequest, "subject_token_incomplete",
			"the subject token has no type, issuer or subject (R08)")
	case !f.isOwn(t) && (t.Type == TypeAccessToken || t.Type == TypeRefreshToken):
		return refuse(InvalidRequest, "subject_token_foreign",
			"the subject token has the type %q, but its issuer is %q, not %q (R07)",
			t.Type, t.Issuer, f.Issuer)
	case isClientAssertion(t, f):
		return refuse(InvalidRequest, "client_assertion",
			"the subject token is a client assertion of %q (R07)", t.Issuer)
	case !f.isRefresh() && !t.Expires.After(f.Now):
		return refuse(InvalidRequest, "subject_token_expired",
			"the subject token expired at %s (D25)", timestamp(t.Expires))
	case f.Subject.hasLeftTenant():
		return refuse(InvalidRequest, "subject_left_tenant",
			"the subject no longer belongs to the organisation %q of its token, only to %s (D24)",
			f.Subject.tenant(), listed(append(slices.Clone(f.Subject.Tenants), f.Subject.Tenant)))
	}
	return nil
}

// checkActorToken refuses an actor token that is not acceptable in itself.
func checkActorToken(f *Facts) *Error {
	if f.Actor == nil {
		return nil
	}
	t := &f.Actor.Token
	switch {
	case !t.isComplete():
		return refuse(InvalidRequest, "actor_token_incomplete",
			"the actor token has no type, issuer or subject (R08)")
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

// isClientAssertion reports whether the token is an assertion by which the client authenticates.
func isClientAssertion(t *Token, f *Facts) bool {
	return t.Issuer == t.Subject && t.Issuer == f.Client.ID
}

// checkPresented refuses acceptable tokens that are not acceptable from this client or beside each
// other.
func checkPresented(f *Facts) *Error {
	t := &f.Subject.Token
	switch {
	case t.Type == TypeRefreshToken && t.ClientID != f.Client.ID:
		return refuse(InvalidRequest, "refresh_token_other_client",
			"the refresh token was issued to client %q, not to %q (D28)", t.ClientID, f.Client.ID)
	case t.ByClient && (f.isOwn(t) || t.Issuer != f.Client.ID):
		return refuse(InvalidRequest, "client_signed_other_client",
			"the subject token was signed by client %q, not by %q (D04)", t.Issuer, f.Client.ID)
	case t.ByClient && !t.Type.isEvidence():
		return refuse(InvalidRequest, "client_signed_type_not_allowed",
			"a client cannot sign a token of the type %q (D04)", t.Type)
	case t.ByClient && (t.Actor != nil || t.MayAct != nil):
		return refuse(InvalidRequest, "client_signed_act",
			"act and may_act in a token that a client signed are not believed (D06)")
	case f.Actor == nil && needsActorToken(f):
		return refuse(InvalidRequest, "actor_token_missing",
			"a subject token of the type %q needs an actor token (D04)", t.Type)
	case f.isTicket() && (f.Actor == nil || t.MayAct == nil || t.MayAct.Subject == ""):
		return refuse(InvalidRequest, "ticket_without_actor",
			"a ticket needs a may_act with sub, and the token of that actor (D09)")
	}
	return checkBesideActor(f)
}

// needsActorToken reports whether the subject token proves nothing without an actor token.
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
	case subject.MayAct != nil && !f.isRefresh() && !mayActNamesActor(f):
		return refuse(InvalidRequest, "may_act_other_actor",
			"may_act of the subject token is %s; it does not match actor %s and client %q (D08)",
			subject.MayAct.text(), f.Actor.describe(), f.Client.ID)
	case actor.Actor != nil:
		return refuse(InvalidRequest, "actor_token_has_act",
			"the actor token has an act chain: %s (D14)", actor.Actor.path())
	case !isProved(actor.Confirmation, f.Client.Confirmation):
		return refuse(InvalidRequest, "actor_key_not_proved",
			"the client did not prove the key that the actor token is bound to (D30)")
	}
	return nil
}

// presentedChain returns the chain of the subject token, in which every member has its issuer.
func presentedChain(t *Token) (*Actor, *Error) {
	switch depth := t.Actor.depth(); {
	case !t.Actor.isChain():
		return nil, refuse(InvalidRequest, "chain_malformed",
			"an act of the subject token has no sub (R15)")
	case depth > deepestChain:
		return nil, refuse(InvalidRequest, "chain_too_deep",
			"the subject token has %d actors; no rule allows more than %d (D15)", depth, deepestChain)
	}
	chain := t.Actor.withIssuer(t.Issuer)
	for a := chain; a != nil; a = a.Prior {
		if a.Prior.has(a.Issuer, a.Subject) {
			return nil, refuse(InvalidRequest, "chain_repeats_actor",
				"the chain of the subject token names %q of %q twice (D15)", a.Subject, a.Issuer)
		}
	}
	return chain, nil
}
