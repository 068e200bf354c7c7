package tokenexchange

import "slices"

// checkMode compares the mode of the rule with the tokens that were sent (D01). An actor token is
// never ignored: a rule without a place for the actor would issue a token that hides the actor.
func (r *rule) checkMode(f *Facts, _ *Actor) *Error {
	switch {
	case f.Actor != nil && r.mode != Delegate:
		return refuse(InvalidRequest, "rule_other_mode",
			"there is an actor token, and the rule is for %q (D01)", r.mode)
	case f.Actor == nil && r.mode == Delegate:
		return refuse(InvalidRequest, "rule_other_mode",
			"there is no actor token, and the rule is for %q (D01)", r.mode)
	// Every program can use the id of a public client, so the id is not worth writing into act.
	case r.mode == ClientActs && f.Client.Public:
		return refuse(InvalidRequest, "public_client_as_actor",
			"client %q is public and cannot become the actor (D01)", f.Client.ID)
	}
	return nil
}

// issuedType returns the token type that the rule issues for the request: the requested type, else
// the first type of the rule. It may return a type that the rule does not have; see checkTypes.
func (r *rule) issuedType(f *Facts) TokenType {
	if requested := f.Request.RequestedTokenType; requested != "" {
		return requested
	}
	return r.types[0]
}

// checkTypes compares the types of the presented tokens and the type of the result (R07, D27). The
// presented types are those that verification has shown, never those that the client declared.
func (r *rule) checkTypes(f *Facts, _ *Actor) *Error {
	subject, issued := f.Subject.Token.Type, r.issuedType(f)
	switch {
	case !slices.Contains(r.subjectTypes, subject):
		return refuse(InvalidRequest, "subject_type_not_allowed",
			"the subject token has the type %q; the rule accepts %s (R07)",
			subject, listed(r.subjectTypes))
	case f.Actor != nil && !slices.Contains(r.actorTypes, f.Actor.Token.Type):
		return refuse(InvalidRequest, "actor_type_not_allowed",
			"the actor token has the type %q; the rule accepts %s (R07)",
			f.Actor.Token.Type, listed(r.actorTypes))
	case !slices.Contains(r.types, issued):
		return refuse(InvalidRequest, "requested_type_not_allowed",
			"the type %q was requested; the rule issues %s (R07)", issued, listed(r.types))
	// An ID token reports the login of an end user (OpenID Connect Core §2).
	case issued == TypeIDToken && f.Subject.Kind != KindUser:
		return refuse(InvalidRequest, "id_token_not_about_user",
			"an ID token is about a user, and the subject is a %s (D27)", f.Subject.Kind)
	}
	return nil
}

// checkSubject compares the subject with the patterns of the rule (D19). The organisation of the
// token counts, not that of the user: a token for acme must not be used under a rule for globex,
// even if the user belongs to both.
func (r *rule) checkSubject(f *Facts, _ *Actor) *Error {
	subject := f.Subject.Identity
	subject.Tenant = f.Subject.tenant()
	if matchesAny(r.subjects, subject, f.Issuer) {
		return nil
	}
	return refuse(InvalidRequest, "subject_not_allowed",
		"the subject is %s; the rule is for %s (D19)", subject.describe(),
		listedAs(r.subjects, Identity.describe))
}

// checkActor compares the actor, in the organisation that its token is for, with the patterns of
// the rule (D19).
func (r *rule) checkActor(f *Facts, _ *Actor) *Error {
	if f.Actor == nil {
		return nil
	}
	actor := f.Actor.Identity
	actor.Tenant = f.Actor.tenant()
	if matchesAny(r.actors, actor, f.Issuer) {
		return nil
	}
	return refuse(InvalidRequest, "actor_not_allowed",
		"the actor is %s; the rule is for %s (D19)", actor.describe(),
		listedAs(r.actors, Identity.describe))
}

// matchesAny reports whether a pattern matches the identity. A pattern without an issuer is for
// own, the issuer of this server. No pattern, and the zero pattern, match nothing.
//
// Example: {"kind": "user", "tenant": "acme", "id": "*"} matches every user of the organisation
// acme of this server. Without tenant, the pattern matches only users without an organisation.
func matchesAny(patterns []Identity, id Identity, own string) bool {
	field := func(pattern, value string) bool { return pattern == "*" || pattern == value }
	return slices.ContainsFunc(patterns, func(p Identity) bool {
		issuer := p.Issuer == "" && id.Issuer == own || p.Issuer != "" && field(p.Issuer, id.Issuer)
		return issuer && field(string(p.Kind), string(id.Kind)) && field(p.Tenant, id.Tenant) &&
			field(p.ID, id.ID)
	})
}

// checkPresenting decides whether the client may present the tokens (D04, D05).
func (r *rule) checkPresenting(f *Facts, _ *Actor) *Error {
	if refused := r.checkPresentingSubject(f); refused != nil {
		return refused
	}
	return r.checkPresentingActor(f)
}

// checkPresentingSubject decides whether the client may present the subject token (D04). A token in
// the wrong hands, such as a token copied from a log, is refused here. The cases that return nil
// are the rows of the table in D04, and refreshes.
func (r *rule) checkPresentingSubject(f *Facts) *Error {
	t := &f.Subject.Token
	own := f.isOwn(t)
	switch {
	case r.mode == Narrow && !(f.isIssuedToClient() && t.Type.isAccess()):
		return refuse(InvalidRequest, "narrow_other_token",
			"the rule narrows access tokens of client %q only (D01)", f.Client.ID)
	// checkPresented has compared the signer with the client. The client of a refresh was
	// checked at the first exchange.
	case t.ByClient || own && (f.isRefresh() || r.otherTokens):
		return nil
	// The client_id and the aud of a name come from no issuer, so the cases below must not
	// apply to it.
	case f.isName():
		return refuse(InvalidRequest, "name_not_allowed",
			"the rule does not have other_tokens, which a name as subject token needs (D04)")
	// The issuer is enough for a foreign token, because its client_id and aud name no client
	// of ours (D06).
	case !own && slices.Contains(r.issuers, t.Issuer), f.isIssuedToClient():
		return nil
	case !own:
		return refuse(InvalidRequest, "subject_issuer_not_allowed",
			"the issuer of the subject token is %q; the rule accepts the foreign issuers %s (D04)",
			t.Issuer, listed(r.issuers))
	// The client is the API that received the token, as in the example of RFC 8693 §2.3.
	case slices.ContainsFunc(t.Audience, f.Client.hasName):
		return nil
	// The other members of may_act are compared by checkBesideActor and checkMayAct.
	case t.MayAct != nil && t.MayAct.ClientID == f.Client.ID:
		return nil
	}
	return refuse(InvalidRequest, "subject_token_other_client",
		"the subject token was issued to client %q for %s, not to or for %q (D04)",
		t.ClientID, listed(t.Audience), f.Client.ID)
}

// hasName reports whether tokens for the audience are for the client. The empty audience is for no
// client, even if the host has registered an empty name.
func (c *Client) hasName(audience string) bool {
	return audience != "" && (audience == c.ID || slices.Contains(c.Audiences, audience))
}

// checkPresentingActor decides whether the client may present the actor token (D05). The aud of an
// access token is not enough: an API could present the token of a caller, and act in that caller's
// name towards other APIs.
func (r *rule) checkPresentingActor(f *Facts) *Error {
	if f.Actor == nil {
		return nil
	}
	t := &f.Actor.Token
	switch {
	case !f.isOwn(t) && !slices.Contains(r.issuers, t.Issuer):
		return refuse(InvalidRequest, "actor_issuer_not_allowed",
			"the issuer of the actor token is %q; the rule accepts the foreign issuers %s (D05)",
			t.Issuer, listed(r.issuers))
	case !f.isOwn(t), f.isRefresh(), r.otherActors:
		return nil
	// An API could exchange the token of a caller first. The result is issued to the API, and
	// only Lent still shows where it came from.
	case t.Lineage != nil && t.Lineage.Lent:
		return refuse(InvalidRequest, "actor_token_lent",
			"the actor token was made from a token of another client (D05)")
	case t.ClientID == f.Client.ID, f.isClient(f.Actor.Identity):
		return nil
	// The aud of an ID token is the client at which the actor has logged in.
	case t.Type == TypeIDToken && slices.Contains(t.Audience, f.Client.ID):
		return nil
	}
	return refuse(InvalidRequest, "actor_token_other_client",
		"the actor token was issued to client %q, and is neither for nor about client %q (D05)",
		t.ClientID, f.Client.ID)
}

// checkSelf refuses a new actor that is the subject itself (D16), unless the rule has self. The
// token would show a delegation between two parties where there is only one.
func (r *rule) checkSelf(f *Facts, _ *Actor) *Error {
	same := r.mode == ClientActs && f.isClient(f.Subject.Identity) ||
		f.Actor != nil && f.Subject.Identity == f.Actor.Identity
	if !same || r.self {
		return nil
	}
	return refuse(InvalidRequest, "self_delegation_not_allowed",
		"subject and actor are both %s (D16)", f.Subject.describe())
}

// checkKeys demands the key of a bound subject token, unless the rule binds the result to another
// key that the client proved (D30). Without the check, the thief of a bound token could exchange it
// for a token that is bound to the thief's key, or to none.
func (r *rule) checkKeys(f *Facts, _ *Actor) *Error {
	proved := f.Client.Confirmation
	if isProved(f.Subject.Token.Confirmation, proved) || r.rebind && proved != (Confirmation{}) {
		return nil
	}
	return refuse(InvalidRequest, "subject_key_not_proved",
		"the client did not prove the key that the subject token is bound to (D30)")
}

// isProved reports whether every key that a token is bound to is among the proved keys (D30). A
// token that is bound to no key needs no proof.
func isProved(bound, proved Confirmation) bool {
	return (bound.JKT == "" || bound.JKT == proved.JKT) &&
		(bound.X5T == "" || bound.X5T == proved.X5T)
}

// grantKey returns the key that the result is bound to: the key of the subject token, else the key
// of DPoP, else that of mutual TLS. The result is bound to one key at most, and to none only if the
// client proved none (D30).
func grantKey(f *Facts) Confirmation {
	proved, bound := f.Client.Confirmation, f.Subject.Token.Confirmation
	if proved.JKT == "" || proved.X5T != "" && bound.X5T != "" && bound.JKT == "" {
		return Confirmation{X5T: proved.X5T}
	}
	return Confirmation{JKT: proved.JKT}
}
