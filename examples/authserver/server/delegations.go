package server

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
	"github.com/go-tokenexchange/tokenexchange/resourceserver"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// delegation is what a user is told about a party that may act for them.
type delegation struct {
	ID string `json:"id"`
	// who acts; absent: the tokens name no actor
	Actor    *delegate           `json:"actor,omitempty"`
	Client   delegate            `json:"client"` // that was given the tokens
	Audience []string            `json:"audience"`
	Scope    tokenexchange.Scope `json:"scope"`
	Since    time.Time           `json:"since"`
	Until    time.Time           `json:"until"`
	Tokens   int                 `json:"tokens"` // how many are live
}

// endedDelegation is a delegation that the user has ended and not allowed again.
type endedDelegation struct {
	ID     string    `json:"id"`
	Actor  *delegate `json:"actor,omitempty"`
	Client delegate  `json:"client"`
	Ended  time.Time `json:"ended"`
}

// delegate is a user or client, with the name that people know.
type delegate struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// delegations serves GET /api/delegations, which lists who acts for the user of the token, DELETE
// /api/delegations/{id}, which ends a delegation, and DELETE /api/delegations/ended/{id}, which
// allows an ended delegation again. It takes the user's own token only. A party that acts for the
// user must not see or end the delegations of others, or hide its own.
func (s *Server) delegations(w *world.World,
	next func(http.ResponseWriter, *http.Request, tokenexchange.Identity)) http.Handler {
	api := resourceserver.API{Issuer: s.Issuer, Audience: []string{w.Management.Audience},
		Verify: s.verifyActive, RefuseActors: true,
		Audit: s.recordAccess, Now: s.now}
	return api.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tok, _ := resourceserver.TokenFrom(r.Context())
		caller, err := s.ResolveSubject(r.Context(), tok)
		switch {
		case err != nil:
			tokenexchange.AsError(err).ServeHTTP(w, r)
		case tok.Lineage != nil && tok.Lineage.Lent:
			http.Error(w,
				"The token was made from a token of another client, so it is not the user's own.",
				http.StatusForbidden)
		case caller.Kind != tokenexchange.KindUser:
			http.Error(w, "A client has no delegations.", http.StatusForbidden)
		default:
			next(w, r, caller.Identity)
		}
	}), w.Management.Delegations)
}

func (s *Server) listDelegations(w http.ResponseWriter, r *http.Request,
	user tokenexchange.Identity) {
	found, err := s.Tokens.Delegations(r.Context(), user)
	if err != nil {
		s.failed(w, r, err)
		return
	}
	list := []delegation{}
	for _, d := range found {
		shown := delegation{ID: d.ID, Client: s.delegate(d.Client), Audience: d.Audience,
			Scope: append(tokenexchange.Scope{}, d.Scope...),
			Since: d.Since, Until: d.Until, Tokens: len(d.Tokens)}
		shown.Actor = s.actor(d.Actor)
		list = append(list, shown)
	}
	recorded, err := s.Tokens.EndedDelegations(r.Context(), user)
	if err != nil {
		s.failed(w, r, err)
		return
	}
	ended := []endedDelegation{}
	for _, d := range recorded {
		ended = append(ended,
			endedDelegation{d.ID, s.actor(d.Actor), s.delegate(d.Client), d.Ended})
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]any{"delegations": list, "ended": ended})
}

// actor names the outermost actor of a chain. It returns nil for an empty chain.
func (s *Server) actor(chain *tokenexchange.Actor) *delegate {
	if chain == nil {
		return nil
	}
	named := s.delegate(chain.Subject)
	return &named
}

// endDelegation makes every token of a delegation inactive, in all hands.
func (s *Server) endDelegation(w http.ResponseWriter, r *http.Request,
	user tokenexchange.Identity) {
	id := r.PathValue("id")
	switch err := s.Tokens.EndDelegation(r.Context(), user, id); {
	case errors.Is(err, tokenstore.ErrUnknown):
		http.Error(w, "There is no such delegation, or it has ended.", http.StatusNotFound)
	case err != nil:
		s.failed(w, r, err)
	default:
		s.Log.InfoContext(r.Context(), "delegation ended", slog.String("user", user.ID),
			slog.String("delegation", id))
		w.WriteHeader(http.StatusNoContent)
	}
}

// allowDelegation allows an ended delegation again. Its former tokens stay inactive.
func (s *Server) allowDelegation(w http.ResponseWriter, r *http.Request,
	user tokenexchange.Identity) {
	id := r.PathValue("id")
	switch err := s.Tokens.AllowDelegation(r.Context(), user, id); {
	case errors.Is(err, tokenstore.ErrUnknown):
		http.Error(w, "There is no such ended delegation.", http.StatusNotFound)
	case err != nil:
		s.failed(w, r, err)
	default:
		s.Log.InfoContext(r.Context(), "delegation allowed",
			slog.String("user", user.ID), slog.String("delegation", id))
		w.WriteHeader(http.StatusNoContent)
	}
}

// failed answers 500 or 503 and logs the cause.
func (s *Server) failed(w http.ResponseWriter, r *http.Request, err error) {
	s.Log.ErrorContext(r.Context(), "api failure", slog.String("path", r.URL.Path),
		slog.String("cause", err.Error()))
	tokenexchange.AsError(err).ServeHTTP(w, r)
}

// delegate finds the name of a user or client. The two share one name space.
func (s *Server) delegate(id string) delegate {
	if u, known := s.Directory.User(id); known {
		return delegate{id, u.Name}
	}
	if c, known := s.Directory.Client(id); known {
		return delegate{id, c.Title()}
	}
	return delegate{id, id}
}
