package tokenexchange

// wholeChain returns the chain of the subject token, every member with its issuer, or why it is none that can be used.
func (q *question) wholeChain() (chain *Actor, reason string) {
	chain = q.Subject.Token.Actor
	switch {
	case !chain.isChain():
		return nil, "R15: an act without sub"
	case chain.depth() > deepestChain:
		return nil, "D15: the chain is too deep"
	}
	chain = chain.withIssuer(q.Subject.Token.Issuer)
	for a := chain; a != nil; a = a.Prior {
		if a.Prior.names(a.Issuer, a.Subject) {
			return nil, "D15: the chain names somebody twice"
		}
	}
	return chain, ""
}

// names reports whether a member of the chain is (iss, sub).
func (a *Actor) names(iss, sub string) bool {
	for ; a != nil; a = a.Prior {
		if a.Issuer == iss && a.Subject == sub {
			return true
		}
	}
	return false
}

// addsActor reports whether somebody new is to be named in the chain.
func (q *question) addsActor(r *compiledRule) bool { return q.actor != nil || r.acts }

// newActor is who becomes the outermost member of the chain, if somebody does. It is no Actor since that would be copied
// through memory, which takes 8 ns.
func (q *question) newActor() (issuer, subject, client string) {
	switch {
	case q.actor == nil:
		return q.Issuer, q.Client.ID, q.Client.ID
	case q.actor.Issuer != q.Issuer: // another issuer's client_id means nothing here (D06)
		return q.Actor.Issuer, q.Actor.ID, ""
	}
	return q.Actor.Issuer, q.Actor.ID, q.actor.ClientID
}

// begins reports whether the chain begins with somebody already (D15).
func (a *Actor) begins(issuer, subject, client string) bool {
	return a != nil && a.Issuer == issuer && a.Subject == subject && a.ClientID == client
}

// chainFits: what becomes of the actors before (D12, D13, D15)? It is asked where there are some, or somebody is added.
func (q *question) chainFits(r *compiledRule) string {
	depth := q.chain.depth()
	if q.addsActor(r) {
		issuer, subject, client := q.newActor()
		switch {
		case q.chain.begins(issuer, subject, client):
		case q.chain.names(issuer, subject):
			return "D15: the actor is in the chain already"
		default:
			depth++
		}
	} else if !q.mayCarry(r) {
		return "D13: the chain may not be carried by this client"
	}
	limit := r.MaxChain
	if limit == 0 {
		limit = defaultChain
	}
	if depth > limit {
		return "D15: the chain would be too deep"
	}
	return ""
}

// mayCarry reports whether the client may hand a chain on to which nobody is added (D13).
func (q *question) mayCarry(r *compiledRule) bool {
	return r.Carry || q.issuedTo || q.chain.begins(q.Issuer, q.Client.ID, q.Client.ID)
}

// grantedChain is the chain with the new actor, if there is one and it is not the outermost already.
func (q *question) grantedChain(r *compiledRule, chain *Actor) *Actor {
	if !q.addsActor(r) {
		return chain
	}
	issuer, subject, client := q.newActor()
	if chain.begins(issuer, subject, client) {
		return chain
	}
	return &Actor{Issuer: issuer, Subject: subject, ClientID: client, Prior: chain}
}
