package tokenexchange

// addsActor reports whether the result gets a new outermost actor.
func (r *rule) addsActor() bool { return r.mode == Delegate || r.mode == ClientActs }

// newActor returns the actor that a rule adds to the chain: the actor of the actor token, else the
// client.
func newActor(f *Facts) *Actor {
	switch {
	case f.Actor == nil:
		return &Actor{Issuer: f.Issuer, Subject: f.Client.ID, ClientID: f.Client.ID}
	case !f.isOwn(&f.Actor.Token): // the client_id of a foreign issuer means nothing here (D06)
		return &Actor{Issuer: f.Actor.Issuer, Subject: f.Actor.ID}
	}
	return &Actor{Issuer: f.Actor.Issuer, Subject: f.Actor.ID, ClientID: f.Actor.Token.ClientID}
}

// checkChain decides whether the chain can be extended or carried on (D12, D13, D15).
func (r *rule) checkChain(f *Facts, chain *Actor) *Error {
	depth := chain.depth()
	if r.addsActor() {
		actor := newActor(f)
		switch {
		case chain.isOutermost(actor): // the actor is not repeated
		case chain.has(actor.Issuer, actor.Subject):
			return refuse(InvalidRequest, "chain_repeats_actor",
				"actor %q is in the chain already: %s (D15)", actor.Subject, chain.path())
		default:
			depth++
		}
	} else if chain != nil && !r.mayCarry(f, chain) {
		return refuse(InvalidRequest, "chain_carry_not_allowed",
			"client %q may not carry on the chain %s without an actor token (D13)",
			f.Client.ID, chain.path())
	}
	if depth > r.maxChain {
		return refuse(InvalidRequest, "chain_too_deep",
			"the chain would have %d actors; the rule allows %d (D15)", depth, r.maxChain)
	}
	return nil
}

// mayCarry reports whether the client may carry on a chain to which no actor is added (D13).
func (r *rule) mayCarry(f *Facts, chain *Actor) bool {
	client := &Actor{Issuer: f.Issuer, Subject: f.Client.ID, ClientID: f.Client.ID}
	return r.carry || f.isIssuedToClient() || chain.isOutermost(client)
}

// grantChain returns the chain of the result.
func (r *rule) grantChain(f *Facts, chain *Actor) *Actor {
	if !r.addsActor() {
		return chain
	}
	actor := newActor(f)
	if chain.isOutermost(actor) {
		return chain
	}
	actor.Prior = chain
	return actor
}

// has reports whether a member of the chain is (iss, sub).
func (a *Actor) has(iss, sub string) bool {
	for ; a != nil; a = a.Prior {
		if a.Issuer == iss && a.Subject == sub {
			return true
		}
	}
	return false
}

// isOutermost reports whether b is the outermost member of the chain already (D15).
func (a *Actor) isOutermost(b *Actor) bool {
	return a != nil && a.Issuer == b.Issuer && a.Subject == b.Subject && a.ClientID == b.ClientID
}
