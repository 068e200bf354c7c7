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

// Codes that only the authorization endpoint answers with (RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6).
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

// authorization is a request to the authorization endpoint that has been read (RFC 6749 §4.1.1, OpenID Connect Core
// §3.1.2.1). It survives encoding/json, as a part of the record of a code.
type authorization struct {
	Client       string
	RedirectURI  string
	ResponseType string
	ResponseMode string
	State        string
	Nonce        string
	Challenge    string // PKCE, always S256; empty without a code
	Prompt       []string
	MaxAge       int // seconds; negative: any login will do
	LoginHint    string
	Request      tokenexchange.Request // scope and targets, no tokens

	RequestedSubject string // whom a ticket is asked for
	ActFor           string // whom act_as names; empty: nobody
	Reason           string // why, see reason.go

	sent string // all of the request, form-encoded; not in the record of a code
}

// actsFor is whom the tokens would be about, if that is somebody else than who has logged in.
func (a *authorization) actsFor() string { return cmp.Or(a.RequestedSubject, a.ActFor) }

// authorizationEndpoint answers GET and POST (OpenID Connect Core §3.1.2.1). Nothing is sent to a redirect URI before it is
// known to be the client's: what goes wrong until then is shown as a page.
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

// authorizationForm reads the parameters from where the method has them.
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

// readDestination finds out where an answer may go: client and redirect URI, and how and with which state.
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
		return nil, refuse("an unknown client, a disabled one, or a redirect URI of somebody else")
	}
	if len(form["state"]) == 1 {
		a.State = form.Get("state")
	}
	a.ResponseMode = defaultMode(a.ResponseType)
	if mode := form["response_mode"]; len(mode) == 1 && slices.Contains(modesFor(a.ResponseType), mode[0]) && (mode[0] != modeFormPost || a.takesForms()) {
		a.ResponseMode = mode[0]
	}
	return a, nil
}

// takesForms reports whether a form can be sent to the redirect URI. No app takes one.
func (a *authorization) takesForms() bool {
	return strings.HasPrefix(a.RedirectURI, "https://") || strings.HasPrefix(a.RedirectURI, "http://")
}

// ordered puts the values of a response type in the order in which they are written here. The order means nothing (OAuth 2.0
// Multiple Response Type Encoding Practices §3).
func ordered(responseType string) string {
	values := strings.Split(responseType, " ")
	slices.Sort(values)
	return strings.Join(values, " ")
}

// goesTo reports whether the redirect URI is one that is registered.
func (a *authorization) goesTo(registered string) bool {
	return sameURI(registered, a.RedirectURI)
}

// readAuthorization reads the rest. Its errors go to the redirect URI.
func (s *Server) readAuthorization(a *authorization, form url.Values) error {
	req, err := clientRequest(form)
	if err != nil {
		return err
	}
	for name, code := range map[string]tokenexchange.Code{"request": requestNotSupported, "request_uri": requestURINotSupported,
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
		return fmt.Errorf("%w: no scope is asked for", tokenexchange.InvalidScope)
	}
	if a.ActFor, req.Scope, err = s.actAs.Parse(req.Scope, form.Get("claims")); err != nil {
		return err
	}
	a.Request, a.Reason = req, form.Get(paramReason)
	return a.readTicket(c, form)
}

// readResponse reads what is asked for, and how it is to be sent.
func (a *authorization) readResponse(c world.Client, form url.Values) error {
	switch {
	case a.ResponseType == "":
		return refuse("response_type is missing")
	case !slices.Contains(world.AllResponseTypes, a.ResponseType):
		return unsupportedResponseType
	case !slices.Contains(c.AllowedResponseTypes(), a.ResponseType):
		return tokenexchange.UnauthorizedClient
	case form.Get("response_mode") != "" && form.Get("response_mode") != a.ResponseMode:
		return refuse("a response mode that is unknown, or not for this response type")
	}
	a.Nonce = form.Get("nonce")
	return nil
}

// A challenge is what SHA-256 gives, in base64url (RFC 7636 §4.2).
var challenge = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// readChallenge demands PKCE for every code, and S256 (RFC 9700 §2.1.1). A method that is left out would be plain.
func (a *authorization) readChallenge(form url.Values) error {
	if a.ResponseType != world.ResponseCode {
		return nil // there is nothing to redeem
	}
	if a.Challenge = form.Get("code_challenge"); !challenge.MatchString(a.Challenge) {
		return refuse("code_challenge is missing or malformed")
	}
	if form.Get("code_challenge_method") != "S256" {
		return refuse("code_challenge_method is not S256")
	}
	return nil
}

// readLogin reads how fresh the login must be, and whether the user may be asked at all.
func (a *authorization) readLogin(form url.Values) error {
	a.Prompt, a.LoginHint = strings.Fields(form.Get("prompt")), form.Get("login_hint")
	for _, prompt := range a.Prompt {
		if !slices.Contains([]string{promptNone, promptLogin, promptConsent}, prompt) || prompt == promptNone && len(a.Prompt) > 1 {
			return refuse("a prompt that is none of none, login and consent, or none beside another")
		}
	}
	if age := form.Get("max_age"); age != "" {
		seconds, err := strconv.Atoi(age)
		if err != nil || seconds < 0 {
			return refuse("max_age is no number of seconds")
		}
		a.MaxAge = seconds
	}
	return nil
}

// satisfiedBy reports whether nobody has to log in for the request. The zero session satisfies none.
func (a *authorization) satisfiedBy(session tokenexchange.Token, now time.Time) bool {
	fresh := a.MaxAge < 0 || now.Sub(session.AuthTime) < time.Duration(a.MaxAge)*time.Second
	return session.ID != "" && !a.prompts(promptLogin) && fresh
}

func (a *authorization) prompts(what string) bool { return slices.Contains(a.Prompt, what) }

// authorize answers a request of somebody who has logged in. What the tokens would say is decided now, too, so that a scope or
// a target that is refused is refused before the user is asked, and before they have gone back to the client.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request, a *authorization, session tokenexchange.Token) {
	c, _ := s.Directory.Client(a.Client)
	asks := !c.Preapproved || a.prompts(promptConsent)
	switch _, err := s.foresee(r.Context(), a, session); {
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

// answer makes what a request asks for, once everybody has agreed to it.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, a *authorization, session tokenexchange.Token) {
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

// respondError sends an error to the redirect URI. The reason is in the log; what leaves is a code and its sentence.
func (s *Server) respondError(w http.ResponseWriter, r *http.Request, a *authorization, err error) {
	refused := tokenexchange.AsError(err)
	s.Log.WarnContext(r.Context(), "authorization refused", slog.String("client", a.Client),
		slog.String("error", string(refused.Code)), slog.String("cause", err.Error()))
	bare := tokenexchange.AsError(refused.Code)
	s.respond(w, r, a, url.Values{"error": {string(bare.Code)}, "error_description": {bare.Description}})
}

// respond sends parameters to the redirect URI, with the state and with the issuer, by which a client tells its servers
// apart (RFC 9207). A redirect is a 303, so that no browser sends a password along (RFC 9700 §4.12).
func (s *Server) respond(w http.ResponseWriter, r *http.Request, a *authorization, params url.Values) {
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

// The ways in which parameters get to the redirect URI.
const (
	modeQuery    = "query"
	modeFragment = "fragment"
	modeFormPost = "form_post" // OAuth 2.0 Form Post Response Mode
)

// modesFor are those that a response type can be sent by, the default first. A token is never part of a query (OAuth 2.0
// Multiple Response Type Encoding Practices §2.1).
func modesFor(responseType string) []string {
	if strings.Contains(responseType, "token") {
		return []string{modeFragment, modeFormPost}
	}
	return []string{modeQuery, modeFragment, modeFormPost}
}

func defaultMode(responseType string) string { return modesFor(responseType)[0] }
