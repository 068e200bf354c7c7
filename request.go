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

// The limits of one request (R10), beside the size of its form. A request that exceeds one is
// refused, never cut.
const (
	maxValue   = form.MaxValue // bytes of a token, a target or the scope
	maxTargets = 16            // values of audience and resource together
)

// Request is a well-formed request (RFC 8693 §2.1). Its tokens have not been verified; they are
// neither printed nor marshalled. An empty field was not sent, with one exception: a Scope that is
// empty but not nil asks for no scope.
type Request struct {
	SubjectToken       string    `json:"-"`                              // the party it is about
	SubjectTokenType   TokenType `json:"subject_token_type,omitempty"`   // the declared type
	ActorToken         string    `json:"-"`                              // the party that acts
	ActorTokenType     TokenType `json:"actor_token_type,omitempty"`     // set with ActorToken
	RequestedTokenType TokenType `json:"requested_token_type,omitempty"` // empty: the rule's first
	Audience           []string  `json:"audience,omitempty"`             // targets by name
	Resource           []string  `json:"resource,omitempty"`             // targets by URI
	Scope              Scope     `json:"scope,omitzero"`                 // nil: not sent (D20)
}

// parameters lists the parameters of this grant, in the order in which problems are reported.
// authorization_details is not supported; it is listed because it must not be in the query either.
var parameters = []string{
	"grant_type", "subject_token", "subject_token_type", "actor_token", "actor_token_type",
	"requested_token_type", "audience", "resource", "scope", "authorization_details",
}

// ParseRequest parses the form of a token exchange strictly (RFC 8693 §2.1, RFC 6749 §3.2). It
// ignores parameters without a value and unknown parameters. It refuses repeated parameters,
// unknown ones too; only audience and resource may be repeated. The error is an *Error that names
// the parameter, never its value.
func ParseRequest(form url.Values) (Request, error) {
	// The grant type decides whether this grammar applies at all, so it comes first (D03).
	if isRepeated(form, "grant_type") {
		return Request{}, refuseParameter(InvalidRequest, "grant_type", "is repeated")
	}
	switch form.Get("grant_type") {
	case GrantType:
	case "":
		return Request{}, refuseParameter(InvalidRequest, "grant_type", "is missing")
	default:
		return Request{}, refuse(UnsupportedGrantType, "grant_type_not_supported",
			"grant_type is not %q (R02)", GrantType)
	}
	if err := checkRepeats(form); err != nil {
		return Request{}, err
	}
	if form.Get("authorization_details") != "" {
		return Request{}, refuse(InvalidAuthorizationDetails, "authorization_details_not_supported",
			"authorization_details is not supported (R04)")
	}
	r := Request{
		SubjectToken:       form.Get("subject_token"),
		SubjectTokenType:   TokenType(form.Get("subject_token_type")),
		ActorToken:         form.Get("actor_token"),
		ActorTokenType:     TokenType(form.Get("actor_token_type")),
		RequestedTokenType: TokenType(form.Get("requested_token_type")),
	}
	err := r.checkTokens()
	if err != nil {
		return Request{}, err
	}
	if r.Audience, err = parseTargets(form, "audience", isText); err != nil {
		return Request{}, err
	}
	if r.Resource, err = parseTargets(form, "resource", isResource); err != nil {
		return Request{}, err
	}
	if n := len(r.Audience) + len(r.Resource); n > maxTargets {
		return Request{}, refuse(InvalidTarget, "too_many_targets",
			"the request has %d targets; %d are allowed (R10)", n, maxTargets)
	}
	if value := form.Get("scope"); value != "" {
		// The length is checked first, so that a hostile value is not parsed.
		if len(value) <= maxValue {
			r.Scope, err = ParseScope(value)
		}
		if len(value) > maxValue || err != nil {
			return Request{}, refuseParameter(InvalidScope, "scope", "is malformed")
		}
	}
	return r, nil
}

// isRepeated reports whether a parameter that must be single occurs twice. It counts empty values
// too (R04).
func isRepeated(form url.Values, name string) bool {
	return len(form[name]) > 1 && name != "audience" && name != "resource"
}

// checkRepeats refuses a repeated parameter. That includes unknown parameters, because another
// reader of the same form, such as the host's client authentication, might use the other value.
func checkRepeats(form url.Values) error {
	for _, name := range parameters {
		if isRepeated(form, name) {
			return refuseParameter(InvalidRequest, name, "is repeated")
		}
	}
	for name := range form {
		if isRepeated(form, name) {
			e := refuse(InvalidRequest, "parameter_repeated",
				"an unknown parameter is repeated (R04)")
			e.Description, e.ours = "A parameter is repeated.", true
			return e
		}
	}
	return nil
}

// checkTokens refuses missing, unpaired and malformed tokens (R03). An actor token without its
// type, or a type without the token, is refused, since the client meant something that would be
// ignored.
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
	case len(r.SubjectToken) > maxValue:
		return refuseParameter(InvalidRequest, "subject_token", "is too long")
	case len(r.ActorToken) > maxValue:
		return refuseParameter(InvalidRequest, "actor_token", "is too long")
	case !isText(r.SubjectToken):
		return refuseParameter(InvalidRequest, "subject_token", "is malformed")
	case !isText(r.ActorToken):
		return refuseParameter(InvalidRequest, "actor_token", "is malformed")
	}
	return nil
}

// parseTargets returns the non-empty values of audience or resource (R05). A malformed value
// refuses the request (R14). The values are counted as they are read, so that a form of a hundred
// thousand values costs little.
func parseTargets(form url.Values, name string, isValid func(string) bool) ([]string, error) {
	var targets []string
	for _, value := range form[name] {
		if value == "" {
			continue
		}
		if len(value) > maxValue || !isValid(value) {
			return nil, refuseParameter(InvalidTarget, name, "is malformed")
		}
		if targets = append(targets, value); len(targets) > maxTargets {
			return nil, refuse(InvalidTarget, "too_many_targets",
				"the request has more than %d values of %s (R10)", maxTargets, name)
		}
	}
	return targets, nil
}

// isText reports whether s is Unicode text without control characters. It may be empty. A line
// break in a value could forge a line in a log.
func isText(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}

// isResource reports whether s is an absolute URI without a fragment (RFC 8707 §2). It must
// consist of the characters of RFC 3986, and a URI with the scheme http or https must have a host.
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
		return false // brackets may only enclose an IPv6 address in the host
	}
	return u.Hostname() != "" || u.Scheme != "http" && u.Scheme != "https"
}

// Values returns the form of the request, grant_type included. It is the inverse of ParseRequest
// (I11). The form contains the tokens.
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

// Targets returns the requested audiences, then the requested resources, without duplicates. It
// returns nil if there are none.
func (r Request) Targets() []string {
	return distinct(slices.Concat(r.Audience, r.Resource))
}

// Format prints the request without its tokens, for every verb.
func (r Request) Format(w fmt.State, _ rune) {
	fmt.Fprintf(w, "{subject_token_type:%s actor_token_type:%s requested_token_type:%s "+
		"audience:%q resource:%q scope:%q}", r.SubjectTokenType, r.ActorTokenType,
		r.RequestedTokenType, r.Audience, r.Resource, r.Scope.String())
}
