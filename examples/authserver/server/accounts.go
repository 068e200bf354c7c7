package server

import (
	"context"
	"slices"

	"github.com/go-tokenexchange/tokenexchange"
)

// ownsAccount allows an actor that has the subject as an account in the directory, with all of the
// requested scope. It needs no role. An authorizer cannot narrow a scope, so a request for more, or
// for an inherited scope that is more, is refused.
func (s *Server) ownsAccount(_ context.Context, f tokenexchange.Facts) error {
	if f.Actor == nil || f.Actor.Kind != tokenexchange.KindUser ||
		f.Subject.Kind != tokenexchange.KindUser {
		return refuse("only users have accounts")
	}
	u, _ := s.Directory.User(f.Actor.ID)
	may, there := u.Accounts[f.Subject.ID]
	switch {
	case !there || f.Actor.Issuer != s.Issuer:
		return refuse("the subject is not an account of the user who acts")
	case !slices.Contains(may, "*") && len(wanted(f).Within(may)) < len(wanted(f)):
		return refuse("the scope is more than the user has for this account")
	}
	return nil
}

// wanted is the scope that a request asks for or would inherit (D20).
func wanted(f tokenexchange.Facts) tokenexchange.Scope {
	switch {
	case f.Request.Scope != nil:
		return f.Request.Scope
	case f.Subject.Token.Scope != nil:
		return f.Subject.Token.Scope
	}
	return f.Actor.Token.Scope
}
