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

// management is GET /api/users, an API of this server itself: who there is. It takes tokens that were made for it, and
// none that somebody uses for somebody else: an impersonator must not become an administrator of the server by acting for
// one.
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

// verifyActive verifies a token, and that the directory still vouches for whom it is about.
func (s *Server) verifyActive(ctx context.Context, c tokenexchange.Credential) (tokenexchange.Token, error) {
	tok, err := s.Tokens.VerifyToken(ctx, c)
	if err == nil {
		_, err = s.ResolveSubject(ctx, tok)
	}
	return tok, err
}

// recordAccess is the audit trail of the API: who did what, for whom if that is somebody else, and how it ended.
func (s *Server) recordAccess(ctx context.Context, a resourceserver.Access) {
	s.Log.LogAttrs(ctx, slog.LevelInfo, "api access", a.LogValue().Group()...)
}

// userInfo is what is told about a user, here and in the line that -demo prints.
type userInfo struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	Organization string   `json:"org"`
	Roles        []string `json:"roles"`
}

func infoOf(u world.User) userInfo {
	return userInfo{u.ID, u.Name, u.Organization, append([]string{}, u.Roles...)}
}

// listedUser is what the directory tells those who may read it: also whether somebody can take part, and the rights over
// others that put them out of reach of many who may act for people.
type listedUser struct {
	userInfo
	Status     world.Status `json:"status"`
	Privileges []string     `json:"privileges"`
}

// listUsers answers with the users of the caller's organisation; a service, which has none, sees all.
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
