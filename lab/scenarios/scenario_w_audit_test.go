package scenarios

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/resourceserver"
)

func init() { scenario("W05", scenarioW05) }

// settingsAPI is an API in another process, which introspects tokens. PUT /settings/{name} changes
// a setting of the user, and takes tokens with an actor.
type settingsAPI struct {
	url string
	log *auditTrail

	mu      sync.Mutex
	changed map[string]string
}

func serveSettings(t *testing.T, sc *scene) *settingsAPI {
	t.Helper()
	s := &settingsAPI{log: &auditTrail{}, changed: map[string]string{}}
	log := slog.New(slog.NewJSONHandler(s.log, nil))
	api := resourceserver.API{
		Issuer:   sc.iss(),
		Audience: []string{settings},
		Verify: resourceserver.Introspection{Endpoint: sc.url + "/introspect",
			ClientID:     "settings-api",
			ClientSecret: sc.secret("settings-api"), Client: sc.http}.Verify,
		Audit: func(ctx context.Context, a resourceserver.Access) {
			log.LogAttrs(ctx, slog.LevelInfo, "resource access", a.LogValue().Group()...)
		},
		Now: sc.clock.Now,
	}
	mux := http.NewServeMux()
	mux.Handle("PUT /settings/{name}", api.Protect(http.HandlerFunc(s.change), "write"))
	web := httptest.NewUnstartedServer(mux)
	// a handler panics below
	web.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	web.Start()
	t.Cleanup(web.Close)
	s.url = web.URL
	return s
}

func (s *settingsAPI) change(w http.ResponseWriter, r *http.Request) {
	user, _ := resourceserver.SubjectFrom(r.Context())
	s.mu.Lock()
	s.changed[user.Subject] = r.PathValue("name")
	s.mu.Unlock()
	switch r.PathValue("name") {
	case "panics":
		panic(http.ErrAbortHandler)
	case "conflict":
		w.WriteHeader(http.StatusConflict)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// of is the last change for a user.
func (s *settingsAPI) of(user string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed[user]
}

// put changes a setting. It returns the status, or zero without a response, and the one record in
// the log.
func (s *settingsAPI) put(t *testing.T, name, token string) (status int, record object) {
	t.Helper()
	before := len(s.log.all())
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut,
		s.url+"/settings/"+name+"?secret=1", strings.NewReader("secret body"))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	if resp, err := http.DefaultClient.Do(r); err == nil {
		status = resp.StatusCode
		resp.Body.Close()
	}
	require.Eventually(t, func() bool {
		return len(s.log.all()) > before
	}, 10*time.Second, time.Millisecond)
	require.Len(t, s.log.all(), before+1)
	line := s.log.all()[before]
	for _, secret := range append(strings.Split(token, "."), "secret") {
		if len(secret) > 5 {
			assert.NotContains(t, line, secret)
		}
	}
	return status, objectOf([]byte(line))
}

// scenarioW05: a change with an impersonated token is recorded at the resource, with both people.
func scenarioW05(t *testing.T) {
	for _, shape := range []string{"act", "act_as"} {
		for _, kind := range []string{urnAccess, urnJWT} {
			t.Run(shape+" "+kind, func(t *testing.T) {
				w05(t, play(t, setting("claim_shape", shape)), kind)
			})
		}
	}
	t.Run("behind a service", w05BehindAService)
}

func w05(t *testing.T, sc *scene, kind string) {
	portal, s := sc.basic("portal"), serveSettings(t, sc)
	alice, ines := sc.logIn(t, "alice", "portal"), sc.logIn(t, "ines", "portal")
	acted := func(scope string) string {
		return sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
			acting(ines.AccessToken, urnAccess),
			[]string{"scope", scope, "audience", settings, "requested_token_type", kind}).granted(t,
			kind, "Bearer").token()
	}
	token := acted("read write")
	who := func(id string) object { return object{"iss": sc.iss(), "id": id} }
	jti := func(token string) any { return sc.active(t, portal, token)["jti"] }

	status, record := s.put(t, "theme", token)
	require.Equal(t, http.StatusNoContent, status)
	assert.Equal(t, "theme", s.of("alice"), "the user's own setting")
	delete(record, "time")
	delete(record, "level")
	assert.Equal(t, object{"msg": "resource access", "outcome": "answered", "method": "PUT",
		"path": "/settings/theme", "status": record["status"],
		"client": "portal", "subject": who("alice"), "actor": who("ines"), "scope": "read write",
		"token_id": jti(token)}, record)
	assert.EqualValues(t, "204", record["status"])

	names := func(record object, outcome string) {
		t.Helper()
		assert.Equal(t, []any{outcome, "portal", who("alice"), who("ines")},
			[]any{record["outcome"], record["client"], record["subject"], record["actor"]}, "%v",
			record)
	}
	status, record = s.put(t, "conflict", token)
	names(record, "answered")
	assert.Equal(t, fmt.Sprint(status), fmt.Sprint(record["status"]))
	status, record = s.put(t, "panics", token)
	assert.Zero(t, status)
	assert.Equal(t, "panics", s.of("alice"), "it was changed before that")
	names(record, "failed")

	status, record = s.put(t, "refused", acted("read"))
	assert.Equal(t, http.StatusForbidden, status)
	names(record, "refused")
	assert.Equal(t, "read", record["scope"])
	assert.Equal(t, "insufficient_scope", record["error"])
	assert.Equal(t, "scope_missing", record["reason"])
	sc.revoke(t, portal, token)
	for _, bad := range []string{token, "x" + token, ines.IDToken} {
		status, record = s.put(t, "refused", bad)
		assert.Equal(t, http.StatusUnauthorized, status)
		assert.Equal(t, "refused", record["outcome"])
		assert.NotContains(t, record, "subject", "its claims are not verified")
	}
	assert.Equal(t, "panics", s.of("alice"), "a refused request changes nothing")

	_, record = s.put(t, "own", alice.AccessToken)
	assert.Equal(t, who("alice"), record["subject"])
	assert.NotContains(t, record, "actor")
}

// w05BehindAService: behind a further service, the record still has the person who acts.
func w05BehindAService(t *testing.T) {
	sc := play(t, adding("rules", ruleOf("settings-behind",
		object{"client_as_actor": object{}, "clients": []string{"aggregates-api"},
			"targets": []string{settings}, "default_targets": []string{settings},
			"scope": []string{"write"}})),
		changing("clients", "aggregates-api", object{"scope": []string{"write"}}))
	s := serveSettings(t, sc)
	acted := sc.exchange(t, sc.basic("portal"), about("alice", urnUserID),
		acting(sc.logIn(t, "ines", "portal").AccessToken, urnAccess),
		[]string{"scope", "write"}).opaque(t).token()
	on := sc.exchange(t, sc.basic("aggregates-api"), about(acted, urnAccess),
		[]string{"audience", settings}).opaque(t)
	_, record := s.put(t, "theme", on.token())
	assert.Equal(t, "aggregates-api", inside(record, "actor", "id"))
	assert.Equal(t, "alice", inside(record, "subject", "id"))
	assert.Equal(t, `"aggregates-api" < "ines"`, record["chain"])
}
