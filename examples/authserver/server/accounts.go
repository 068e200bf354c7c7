package server

import (
	"context"
	"slices"

	"github.com/go-tokenexchange/tokenexchange"
)

// related says yes where the directory says that the subject is an account of the user who acts: one that they own, or that
// of their company, with as much scope as they have there. No role has to do with it. Nothing is cut: an authorizer cannot
// narrow, so who wants too much, also by not saying what, is refused.
func (s *Server) related(_ context.Context, f tokenexchange.Facts) error {
	if f.Actor == nil || f.Actor.Kind != tokenexchange.KindUser || f.Subject.Kind != tokenexchange.KindUser {
		return refuse("only users have accounts")
	}
	u, _ := s.Directory.User(f.Actor.ID)
	may, there := u.Accounts[f.Subject.ID]
	switch {
	case !there || f.Actor.Issuer != s.Issuer:
		return refuse("not an account of the user who acts")
	case !slices.Contains(may, "*") && len(wanted(f).Within(may)) < len(wanted(f)):
		return refuse("more than the user may do with this account")
	}
	return nil
}

// wanted is what a request is for: what it says, or what it would inherit (D20).
func wanted(f tokenexchange.Facts) tokenexchange.Scope {
	switch {
	case f.Request.Scope != nil:
		return f.Request.Scope
	case f.Subject.Token.Scope != nil:
		return f.Subject.Token.Scope
	}
	return f.Actor.Token.Scope
}
