package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-tokenexchange/tokenexchange/resourceserver"
)

// shop is the API of the app, with a few orders. It does not know the console. The token alone says
// whose data a request is about, and who acts.
type shop struct {
	http.Handler
	log *slog.Logger

	mu      sync.Mutex
	data    map[string]customer // by subject
	changes map[string][]entry  // by subject, newest first
}

type customer struct {
	Profile profile `json:"profile"`
	Orders  []order `json:"orders"`
}

type profile struct {
	Name    string `json:"name"`
	Email   string `json:"email"`
	Address string `json:"address"`
	Since   string `json:"since"`
}

type order struct {
	ID     string `json:"id"`
	Date   string `json:"date"`
	Item   string `json:"item"`
	Total  string `json:"total"`
	Status string `json:"status"`
}

// entry is an attempt to change something, with an actor.
type entry struct {
	Time   time.Time `json:"time"`
	Method string    `json:"method"`
	Path   string    `json:"path"`
	Status int       `json:"status"`
	Actor  string    `json:"actor"`
	Client string    `json:"client"`
	Scope  string    `json:"scope"`
}

// most is how many changes are kept for a customer.
const most = 20

//go:embed shop.json
var shopData []byte

// newShop makes the API. It takes tokens of one issuer, for one audience, and introspects them at
// every request.
func newShop(issuer, audience string, ask resourceserver.Introspection, log *slog.Logger) (
	*shop, error) {
	s := &shop{log: log, changes: map[string][]entry{}}
	if err := json.Unmarshal(shopData, &s.data); err != nil {
		return nil, err
	}
	api := resourceserver.API{Issuer: issuer, Audience: []string{audience}, Verify: ask.Verify,
		Audit: s.record}
	mux := http.NewServeMux()
	mux.Handle("GET /profile", api.Protect(s.answer(func(id string) any {
		return s.data[id].Profile
	}), "read"))
	mux.Handle("GET /orders", api.Protect(s.answer(func(id string) any {
		return slices.Clone(s.data[id].Orders)
	}), "read"))
	mux.Handle("GET /activity", api.Protect(s.answer(func(id string) any {
		return slices.Clone(s.changes[id])
	}), "read"))
	mux.Handle("POST /orders/{id}/cancel", api.Protect(http.HandlerFunc(s.cancel), "write"))
	s.Handler = mux
	return s, nil
}

// answer serves data of the subject of the token.
func (s *shop) answer(read func(id string) any) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, _ := resourceserver.SubjectFrom(r.Context())
		s.mu.Lock()
		what := read(who.Subject)
		s.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(what)
	})
}

func (s *shop) cancel(w http.ResponseWriter, r *http.Request) {
	who, _ := resourceserver.SubjectFrom(r.Context())
	s.mu.Lock()
	defer s.mu.Unlock()
	orders := s.data[who.Subject].Orders
	switch i := slices.IndexFunc(orders, func(o order) bool { return o.ID == r.PathValue("id") }); {
	case i < 0:
		w.WriteHeader(http.StatusNotFound)
	case orders[i].Status != "In preparation":
		w.WriteHeader(http.StatusConflict)
	default:
		orders[i].Status = "Cancelled"
		w.WriteHeader(http.StatusNoContent)
	}
}

// record records each attempt to change something: both people, the client, the request and the
// outcome.
func (s *shop) record(ctx context.Context, a resourceserver.Access) {
	if a.Actor == (resourceserver.Party{}) {
		return
	}
	s.log.InfoContext(ctx, "app access", "method", a.Method, "path", a.Path, "status", a.Status,
		"subject", a.Subject.Subject,
		"actor", a.Actor.Subject, "client", a.Token.ClientID, "scope", a.Token.Scope.String())
	if a.Method == http.MethodGet {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	list := append([]entry{{a.Time, a.Method, a.Path, a.Status, a.Actor.Subject, a.Token.ClientID,
		a.Token.Scope.String()}}, s.changes[a.Subject.Subject]...)
	s.changes[a.Subject.Subject] = list[:min(len(list), most)]
}
