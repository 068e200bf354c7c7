package server

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

// Codes of the authorization endpoint alone (RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6).
const (
	accessDenied             tokenexchange.Code = "access_denied"
	unsupportedResponseType  tokenexchange.Code = "unsupported_response_type"
	loginRequired            tokenexchange.Code = "login_required"
	requestNotSupported      tokenexchange.Code = "request_not_supported"
	requestURINotSupported   tokenexchange.Code = "request_uri_not_supported"
	registrationNotSupported tokenexchange.Code = "registration_not_supported"
	consentRequired          tokenexchange.Code = "consent_required"
)

const (
	promptNone    = "none"
	promptLogin   = "login"
	promptConsent = "consent"
)

// longestAuthorization is how many bytes an authorization request may have, form-encoded. The forms
// of login and consent carry it.
const longestAuthorization = 16 << 10

// authorization is a parsed request to the authorization endpoint (RFC 6749 §4.1.1, OpenID Connect
// Core §3.1.2.1). encoding/json keeps its exported fields in the record of a code.
type authorization struct {
	Client       string
	RedirectURI  string
	ResponseType string
	ResponseMode string
	State        string
	Nonce        string
	Challenge    string // PKCE, always S256; empty without a code
	Prompt       []string
	MaxAge       int // seconds; negative: a login of any age
	LoginHint    string
	Request      tokenexchange.Request // scope and targets, no tokens

	RequestedSubject string // the user that a requested ticket is about
	ActFor           string // the user that act_as names; empty: none
	Reason           string // see reason.go

	sent string // the whole request, form-encoded; not kept with a code
}

// actsFor is the user that the tokens would be about, if that is not the user who has logged in.
func (a *authorization) actsFor() string { return cmp.Or(a.RequestedSubject, a.ActFor) }

// authorizationEndpoint answers GET and POST (OpenID Connect Core §3.1.2.1). Until the redirect URI
// is known to be the client's, an error is shown as a page and sent nowhere.
func (s *Server) authorizationEndpoint() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		form, err := authorizationForm(w, r)
		if err != nil {
			s.showError(w, r, err)
			return
		}
		a, ok := s.readRequest(w, r, form)
		if !ok {
			return
		}
		session, err := s.currentSession(r)
		switch {
		case err != nil:
			s.respondError(w, r, a, err)
		case !a.satisfiedBy(session, s.clock()) && a.prompts(promptNone):
			s.respondError(w, r, a, loginRequired)
		case !a.satisfiedBy(session, s.clock()):
			s.showLogin(w, r, a, "", http.StatusOK)
		default:
			s.authorize(w, r, a, session)
		}
	})
}

// readRequest reads an authorization request. On an error it writes the response, and ok is false.
func (s *Server) readRequest(w http.ResponseWriter, r *http.Request, form url.Values) (
	a *authorization, ok bool) {
	a, err := s.readDestination(form)
	if err != nil {
		s.showError(w, r, err)
		return nil, false
	}
	if err := s.readAuthorization(a, form); err != nil {
		s.respondError(w, r, a, err)
		return nil, false
	}
	return a, true
}

// authorizationForm reads the parameters from the query of a GET or the body of a POST.
func authorizationForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	if r.Method == http.MethodPost {
		if r.URL.RawQuery != "" {
			return nil, refuse("parameters in the query of a POST")
		}
		r.Body = http.MaxBytesReader(w, r.Body, longestAuthorization)
		if err := r.ParseForm(); err != nil {
			return nil, refuse("the form cannot be read")
		}
		return r.PostForm, nil
	}
	if len(r.URL.RawQuery) > longestAuthorization {
		return nil, refuse("the request is too long")
	}
	form, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, refuse("the query cannot be read")
	}
	return form, nil
}

// readDestination reads where the answer goes: client, redirect URI, response mode and state.
func (s *Server) readDestination(form url.Values) (*authorization, error) {
	for _, name := range []string{"client_id", "redirect_uri"} {
		if len(form[name]) != 1 {
			return nil, refuse(name + " is missing or repeated")
		}
	}
	sent := form.Encode()
	if len(sent) > longestAuthorization {
		return nil, refuse(fmt.Sprintf("the request has %d bytes, and may have %d",
			len(sent), longestAuthorization))
	}
	c, known := s.Directory.Client(form.Get("client_id"))
	a := &authorization{Client: c.ID, RedirectURI: form.Get("redirect_uri"),
		ResponseType: ordered(form.Get("response_type")), MaxAge: -1, sent: sent}
	if !known || !c.Status.Enabled() || !slices.ContainsFunc(c.RedirectURIs, a.goesTo) {
		return nil,
			refuse("the client is unknown or disabled, or has not registered the redirect URI")
	}
	if len(form["state"]) == 1 {
		a.State = form.Get("state")
	}
	a.ResponseMode = defaultMode(a.ResponseType)
	if mode := form["response_mode"]; len(mode) == 1 &&
		slices.Contains(modesFor(a.ResponseType), mode[0]) &&
		(mode[0] != modeFormPost || a.takesForms()) {
		a.ResponseMode = mode[0]
	}
	return a, nil
}

// takesForms reports whether a form can be sent to the redirect URI. The scheme of an app takes no
// forms.
func (a *authorization) takesForms() bool {
	return strings.HasPrefix(a.RedirectURI, "https://") ||
		strings.HasPrefix(a.RedirectURI, "http://")
}

// ordered sorts the values of a response type. Their order means nothing (OAuth 2.0 Multiple
// Response Type Encoding Practices §3).
func ordered(responseType string) string {
	values := strings.Split(responseType, " ")
	slices.Sort(values)
	return strings.Join(values, " ")
}

// goesTo reports whether the redirect URI is the registered one.
func (a *authorization) goesTo(registered string) bool {
	return sameURI(registered, a.RedirectURI)
}

// readAuthorization reads the rest. Its errors go to the redirect URI.
func (s *Server) readAuthorization(a *authorization, form url.Values) error {
	req, err := clientRequest(form)
	if err != nil {
		return err
	}
	for name, code := range map[string]tokenexchange.Code{"request": requestNotSupported,
		"request_uri":  requestURINotSupported,
		"registration": registrationNotSupported} {
		if form.Get(name) != "" {
			return code
		}
	}
	c, _ := s.Directory.Client(a.Client)
	if err := a.readResponse(c, form); err != nil {
		return err
	}
	if err := a.readChallenge(form); err != nil {
		return err
	}
	if err := a.readLogin(form); err != nil {
		return err
	}
	if req.Scope == nil {
		return fmt.Errorf("%w: scope is missing", tokenexchange.InvalidScope)
	}
	if a.ActFor, req.Scope, err = s.actAs.Parse(req.Scope, form.Get("claims")); err != nil {
		return err
	}
	a.Request, a.Reason = req, form.Get(paramReason)
	return a.readTicket(c, form)
}

// readResponse reads the response type and the response mode.
func (a *authorization) readResponse(c world.Client, form url.Values) error {
	switch {
	case a.ResponseType == "":
		return refuse("response_type is missing")
	case !slices.Contains(world.AllResponseTypes, a.ResponseType):
		return unsupportedResponseType
	case !slices.Contains(c.AllowedResponseTypes(), a.ResponseType):
		return tokenexchange.UnauthorizedClient
	case form.Get("response_mode") != "" && form.Get("response_mode") != a.ResponseMode:
		return refuse("response_mode is unknown, or not for this response type")
	}
	a.Nonce = form.Get("nonce")
	return nil
}

// A challenge is a SHA-256 hash in base64url (RFC 7636 §4.2).
var challenge = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// readChallenge requires PKCE with S256 for every code (RFC 9700 §2.1.1). A missing method would
// mean plain.
func (a *authorization) readChallenge(form url.Values) error {
	if a.ResponseType != world.ResponseCode {
		return nil // there is no code
	}
	if a.Challenge = form.Get("code_challenge"); !challenge.MatchString(a.Challenge) {
		return refuse("code_challenge is missing or malformed")
	}
	if form.Get("code_challenge_method") != "S256" {
		return refuse("code_challenge_method is not S256")
	}
	return nil
}

// readLogin reads how old the login may be, and whether the user may be asked to log in.
func (a *authorization) readLogin(form url.Values) error {
	a.Prompt, a.LoginHint = strings.Fields(form.Get("prompt")), form.Get("login_hint")
	for _, prompt := range a.Prompt {
		if !slices.Contains([]string{promptNone, promptLogin, promptConsent}, prompt) ||
			prompt == promptNone && len(a.Prompt) > 1 {
			return refuse(
				"prompt is not none, login or consent, or has none with another")
		}
	}
	if age := form.Get("max_age"); age != "" {
		seconds, err := strconv.Atoi(age)
		if err != nil || seconds < 0 {
			return refuse("max_age is not a number of seconds")
		}
		a.MaxAge = seconds
	}
	return nil
}

// satisfiedBy reports whether the session is enough, so that the user need not log in. The zero
// session never is.
func (a *authorization) satisfiedBy(session tokenexchange.Token, now time.Time) bool {
	fresh := a.MaxAge < 0 || now.Sub(session.AuthTime) < time.Duration(a.MaxAge)*time.Second
	return session.ID != "" && !a.prompts(promptLogin) && fresh
}

func (a *authorization) prompts(what string) bool { return slices.Contains(a.Prompt, what) }

// authorize answers the request of a user who has logged in. It decides already what the tokens
// would be granted, so that a scope or target is refused before the user is asked for consent.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request, a *authorization,
	session tokenexchange.Token) {
	c, _ := s.Directory.Client(a.Client)
	asks := !c.Preapproved || a.prompts(promptConsent)
	switch _, err := s.preview(r.Context(), a, session); {
	case err != nil:
		s.respondError(w, r, a, err)
	case asks && a.prompts(promptNone):
		s.respondError(w, r, a, consentRequired)
	case asks:
		s.showConsent(w, r, a, session)
	default:
		s.answer(w, r, a, session)
	}
}

// answer makes the code or ticket, after consent.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, a *authorization,
	session tokenexchange.Token) {
	ctx := withReason(r.Context(), a.Reason)
	makes := s.answerCode
	if world.IsTicketResponse(a.ResponseType) {
		makes = s.answerTicket
	}
	params, err := makes(ctx, a, session)
	if err != nil {
		s.respondError(w, r, a, err)
		return
	}
	s.respond(w, r, a, params)
}

// respondError sends an error to the redirect URI. The reason goes to the log, and the client gets
// a code and its sentence.
func (s *Server) respondError(w http.ResponseWriter, r *http.Request, a *authorization, err error) {
	refused := tokenexchange.AsError(err)
	s.Log.WarnContext(r.Context(), "authorization refused", slog.String("client", a.Client),
		slog.String("error", string(refused.Code)), slog.String("cause", err.Error()))
	bare := tokenexchange.AsError(refused.Code)
	s.respond(w, r, a,
		url.Values{"error": {string(bare.Code)}, "error_description": {bare.Description}})
}

// respond sends parameters to the redirect URI, with the state and with the issuer, by which a
// client tells its servers apart (RFC 9207). A redirect is a 303, so that no browser repeats a form
// with a password (RFC 9700 §4.12).
func (s *Server) respond(w http.ResponseWriter, r *http.Request, a *authorization,
	params url.Values) {
	params.Set("iss", s.Issuer)
	if a.State != "" {
		params.Set("state", a.State)
	}
	if a.ResponseMode == modeFormPost {
		s.showFormPost(w, r, a, params)
		return
	}
	secure(w, "")
	w.Header().Set("Location", withParams(a.RedirectURI, a.ResponseMode, params))
	w.WriteHeader(http.StatusSeeOther)
}

// The response modes.
const (
	modeQuery    = "query"
	modeFragment = "fragment"
	modeFormPost = "form_post" // OAuth 2.0 Form Post Response Mode
)

// modesFor returns the response modes of a response type, the default first. A token is never sent
// in a query (OAuth 2.0 Multiple Response Type Encoding Practices §2.1).
func modesFor(responseType string) []string {
	if strings.Contains(responseType, "token") {
		return []string{modeFragment, modeFormPost}
	}
	return []string{modeQuery, modeFragment, modeFormPost}
}

func defaultMode(responseType string) string { return modesFor(responseType)[0] }
