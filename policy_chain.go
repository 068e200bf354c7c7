package tokenexchange

// addsActor reports whether the result gets a new outermost actor. In the other modes the chain is
// carried as it is.
func (r *rule) addsActor() bool { return r.mode == Delegate || r.mode == ClientActs }

// newActor returns the actor that a rule adds to the chain: the actor of the actor token, else the
// client. The members iss, sub and client_id identify the actor; it has no other member (R15).
func newActor(f *Facts) *Actor {
	switch {
	case f.Actor == nil:
		return &Actor{Issuer: f.Issuer, Subject: f.Client.ID, ClientID: f.Client.ID}
	case !f.isOwn(&f.Actor.Token): // the client_id of a foreign issuer means nothing here (D06)
		return &Actor{Issuer: f.Actor.Issuer, Subject: f.Actor.ID}
	}
	return &Actor{Issuer: f.Actor.Issuer, Subject: f.Actor.ID, ClientID: f.Actor.Token.ClientID}
}

// checkChain decides whether the chain can be extended or carried on (D12, D13, D15). A chain is
// never cut to fit, since the next API would not learn of the actors that were cut.
//
// Example: when the client ai-agent acts on the token
//
//	{"sub": "alice", "act": {"sub": "bob", "client_id": "helpdesk"}}
//
// the result has
//
//	"act": {"sub": "ai-agent", "client_id": "ai-agent", "act": {"sub": "bob", ...}}
func (r *rule) checkChain(f *Facts, chain *Actor) *Error {
	depth := chain.depth()
	if r.addsActor() {
		actor := newActor(f)
		switch {
		case chain.isOutermost(actor): // the actor is not repeated
		// Calls that go round in a circle would otherwise lengthen the chain without end.
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

// mayCarry reports whether the client may carry on a chain to which no actor is added (D13). With
// such a token the client acts as the current actor. That is harmless for the current actor itself
// and for the client that the token was issued to; any other client needs carry.
func (r *rule) mayCarry(f *Facts, chain *Actor) bool {
	client := &Actor{Issuer: f.Issuer, Subject: f.Client.ID, ClientID: f.Client.ID}
	return r.carry || f.isIssuedToClient() || chain.isOutermost(client)
}

// grantChain returns the chain of the result, after checkChain has allowed it. The old chain is
// shared, not copied: it stays byte for byte the same (D12).
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

// has reports whether a member of the chain is (iss, sub). The client_id is not compared: the same
// party with another client is a loop too (D15).
func (a *Actor) has(iss, sub string) bool {
	for ; a != nil; a = a.Prior {
		if a.Issuer == iss && a.Subject == sub {
			return true
		}
	}
	return false
}

// isOutermost reports whether b is the outermost member of the chain already (D15). A nil chain has
// no members.
func (a *Actor) isOutermost(b *Actor) bool {
	return a != nil && a.Issuer == b.Issuer && a.Subject == b.Subject && a.ClientID == b.ClientID
}
