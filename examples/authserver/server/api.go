package server

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
	"github.com/go-tokenexchange/tokenexchange/resourceserver"
)

// management serves GET /api/users, an API of this server itself. It takes tokens for its own
// audience and refuses tokens with an actor: an impersonator must not become an administrator of
// the server by acting for one.
func (s *Server) management(w *world.World) http.Handler {
	api := resourceserver.API{
		Issuer:       s.Issuer,
		Audience:     []string{w.Management.Audience},
		Verify:       s.verifyActive,
		RefuseActors: true,
		Audit:        s.recordAccess,
		Now:          s.now,
	}
	return api.Protect(http.HandlerFunc(s.listUsers), w.Management.Scope)
}

// verifyActive verifies a token, and that its user or client is still enabled.
func (s *Server) verifyActive(ctx context.Context, c tokenexchange.Credential) (
	tokenexchange.Token, error) {
	tok, err := s.Tokens.VerifyToken(ctx, c)
	if err == nil {
		_, err = s.ResolveSubject(ctx, tok)
	}
	return tok, err
}

// recordAccess logs the user of the API, the actor if there is one, and the outcome.
func (s *Server) recordAccess(ctx context.Context, a resourceserver.Access) {
	s.Log.LogAttrs(ctx, slog.LevelInfo, "api access", a.LogValue().Group()...)
}

// userInfo is what the API and the line of -demo tell about a user.
type userInfo struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	Organization string   `json:"org"`
	Roles        []string `json:"roles"`
}

func infoOf(u world.User) userInfo {
	return userInfo{u.ID, u.Name, u.Organization, append([]string{}, u.Roles...)}
}

// listedUser adds the status of a user, and the privileges that protect the user from many
// impersonators.
type listedUser struct {
	userInfo
	Status     world.Status `json:"status"`
	Privileges []string     `json:"privileges"`
}

// listUsers lists the users of the caller's organization. A service has no organization and gets
// all of them.
func (s *Server) listUsers(w http.ResponseWriter, r *http.Request) {
	tok, _ := resourceserver.TokenFrom(r.Context())
	caller, err := s.ResolveSubject(r.Context(), tok)
	if err != nil {
		tokenexchange.AsError(err).ServeHTTP(w, r)
		return
	}
	list := []listedUser{}
	for _, u := range s.Directory.Users() {
		if caller.Kind == tokenexchange.KindClient || u.Organization == caller.Tenant {
			list = append(list, listedUser{infoOf(u), cmp.Or(u.Status, "enabled"), s.privileges(u)})
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]any{"users": list})
}
