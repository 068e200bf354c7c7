package tokenexchange

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-tokenexchange/tokenexchange/internal/form"
)

// What one request may bring (R10), beside the size of its form. More is refused, never cut.
const (
	maxToken   = form.MaxValue // bytes of one token, one target or all of scope
	maxTargets = 16            // audiences and resources together
)

// Request is a well-formed request (RFC 8693 §2.1); nothing in it is believed yet. The tokens never print, and never
// marshal. An empty field was not sent; a nil Scope was not either, while one that is empty and not nil asks for none.
type Request struct {
	SubjectToken       string    `json:"-"`
	SubjectTokenType   TokenType `json:"subject_token_type,omitempty"`
	ActorToken         string    `json:"-"`
	ActorTokenType     TokenType `json:"actor_token_type,omitempty"`
	RequestedTokenType TokenType `json:"requested_token_type,omitempty"`
	Audience           []string  `json:"audience,omitempty"`
	Resource           []string  `json:"resource,omitempty"`
	Scope              Scope     `json:"scope,omitzero"`
}

// parameters are those of this grant, in the order in which a problem is reported. The last is only ever refused.
var parameters = []string{
	"grant_type", "subject_token", "subject_token_type", "actor_token", "actor_token_type", "requested_token_type",
	"audience", "resource", "scope", "authorization_details",
}

// ParseRequest reads the form of a token exchange strictly. A parameter without a value counts as omitted, one that it
// does not know is ignored, and one that is repeated is refused unless it is audience or resource (RFC 6749 §3.2).
// The error is an *Error that names the parameter, never its value.
func ParseRequest(form url.Values) (Request, error) {
	grant, err := single(form, "grant_type")
	if err != nil {
		return Request{}, err
	}
	switch grant {
	case GrantType:
	case "":
		return Request{}, refuseParameter(InvalidRequest, "grant_type", "is missing")
	default:
		return Request{}, refuse(UnsupportedGrantType, "R02: the grant type is not token exchange")
	}
	if err := checkRepeats(form); err != nil {
		return Request{}, err
	}
	if form.Get("authorization_details") != "" {
		return Request{}, refuse(InvalidAuthorizationDetails, "R04: authorization_details was sent")
	}
	r := Request{
		SubjectToken:       form.Get("subject_token"),
		SubjectTokenType:   TokenType(form.Get("subject_token_type")),
		ActorToken:         form.Get("actor_token"),
		ActorTokenType:     TokenType(form.Get("actor_token_type")),
		RequestedTokenType: TokenType(form.Get("requested_token_type")),
	}
	if err := r.checkTokens(); err != nil {
		return Request{}, err
	}
	if r.Audience, err = targets(form, "audience", isText); err != nil {
		return Request{}, err
	}
	if r.Resource, err = targets(form, "resource", isResource); err != nil {
		return Request{}, err
	}
	if len(r.Audience)+len(r.Resource) > maxTargets {
		return Request{}, refuse(InvalidTarget, fmt.Sprintf("R10: more than %d targets", maxTargets))
	}
	if value := form.Get("scope"); value != "" {
		if r.Scope, err = ParseScope(value); err != nil || len(value) > maxToken {
			return Request{}, refuseParameter(InvalidScope, "scope", "is malformed")
		}
	}
	return r, nil
}

// checkRepeats looks at every parameter, those that are not ours too: a reader of the same form, such as the client
// authentication, might take the other value.
func checkRepeats(form url.Values) error {
	repeated := false
	for _, values := range form {
		repeated = repeated || len(values) > 1
	}
	if !repeated {
		return nil // without a look at each of ours, which takes 0.3 µs
	}
	for _, name := range parameters {
		if _, err := single(form, name); err != nil {
			return err
		}
	}
	for name, values := range form {
		if len(values) > 1 && !slices.Contains(parameters, name) {
			return &Error{Code: InvalidRequest, Description: "A parameter is repeated.",
				Reason: "R04: a parameter that is not of this grant is repeated", ours: true}
		}
	}
	return nil
}

// single returns the value of a parameter that may be sent once. Repeats count before empty values are dropped.
func single(form url.Values, name string) (string, error) {
	if len(form[name]) > 1 && name != "audience" && name != "resource" {
		return "", refuseParameter(InvalidRequest, name, "is repeated")
	}
	return form.Get(name), nil
}

func (r Request) checkTokens() error {
	switch {
	case r.SubjectToken == "":
		return refuseParameter(InvalidRequest, "subject_token", "is missing")
	case r.SubjectTokenType == "":
		return refuseParameter(InvalidRequest, "subject_token_type", "is missing")
	case r.ActorToken != "" && r.ActorTokenType == "":
		return refuseParameter(InvalidRequest, "actor_token_type", "is missing")
	case r.ActorToken == "" && r.ActorTokenType != "":
		return refuseParameter(InvalidRequest, "actor_token", "is missing")
	case len(r.SubjectToken) > maxToken:
		return refuseParameter(InvalidRequest, "subject_token", "is too long")
	case len(r.ActorToken) > maxToken:
		return refuseParameter(InvalidRequest, "actor_token", "is too long")
	case !isText(r.SubjectToken):
		return refuseParameter(InvalidRequest, "subject_token", "is malformed")
	case !isText(r.ActorToken):
		return refuseParameter(InvalidRequest, "actor_token", "is malformed")
	}
	return nil
}

// targets returns the values of audience or resource that are not empty.
func targets(form url.Values, name string, wellFormed func(string) bool) ([]string, error) {
	var list []string
	for _, value := range form[name] {
		if value == "" {
			continue
		}
		if len(value) > maxToken || !wellFormed(value) {
			return nil, refuseParameter(InvalidTarget, name, "is malformed")
		}
		if list = append(list, value); len(list) > maxTargets {
			return nil, refuse(InvalidTarget, fmt.Sprintf("R10: more than %d targets", maxTargets))
		}
	}
	return list, nil
}

// isText reports whether s is Unicode text without control characters. It may be empty.
func isText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7F {
			return isUnicodeText(s)
		}
	}
	return true // a token is plain ASCII: 0.5 µs less than to look at it as Unicode
}

func isUnicodeText(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}

// isResource reports whether s is an absolute URI without fragment (RFC 8707 §2): in the characters of RFC 3986, with a
// scheme, and with a host where the scheme is http or https.
func isResource(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7F || strings.IndexByte("\"<>\\^`{|}#", c) >= 0 {
			return false
		}
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || len(s) == len(u.Scheme)+1 {
		return false
	}
	if strings.ContainsAny(strings.Replace(s, u.Host, "", 1), "[]") {
		return false // brackets are for an address in the host, and for nothing else
	}
	return u.Hostname() != "" || u.Scheme != "http" && u.Scheme != "https"
}

// Values is the inverse of ParseRequest: the form of the request, grant_type included.
func (r Request) Values() url.Values {
	form := url.Values{"grant_type": {GrantType}}
	set := func(name, value string) {
		if value != "" {
			form.Set(name, value)
		}
	}
	set("subject_token", r.SubjectToken)
	set("subject_token_type", string(r.SubjectTokenType))
	set("actor_token", r.ActorToken)
	set("actor_token_type", string(r.ActorTokenType))
	set("requested_token_type", string(r.RequestedTokenType))
	set("scope", r.Scope.String())
	if len(r.Audience) > 0 {
		form["audience"] = slices.Clone(r.Audience)
	}
	if len(r.Resource) > 0 {
		form["resource"] = slices.Clone(r.Resource)
	}
	return form
}

// Targets returns the audiences and resources asked for, in that order and without repeats; nil if there are none.
func (r Request) Targets() []string {
	return distinct(slices.Concat(r.Audience, r.Resource))
}

// Format prints the request without its tokens, whatever the verb.
func (r Request) Format(w fmt.State, _ rune) {
	fmt.Fprintf(w, "{subject_token_type:%s actor_token_type:%s requested_token_type:%s audience:%q resource:%q scope:%q}",
		r.SubjectTokenType, r.ActorTokenType, r.RequestedTokenType, r.Audience, r.Resource, r.Scope.String())
}
