package fositeexchange

import (
	"strings"
	"unicode"

	"github.com/ory/fosite"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/refusal"
)

// Keys of expiry dates in a session that mark the grant which made a token. Only the server writes
// a session; introspection and JWTs do not show these dates.
const (
	sessionClient   fosite.TokenType = "exchange_client_credentials"
	sessionExchange fosite.TokenType = "exchange"
)

// party returns the subject of a token, and its kind if the record states it.
//
// A client or a browser sent the form of the record. The token endpoint reads grant_type, the
// authorization endpoint response_type, and each ignores the other parameter. So a form with both,
// or with a grant type that is repeated or has blanks, proves nothing.
func party(record fosite.Requester) (subject string, kind tokenexchange.Kind, err error) {
	session, form := record.GetSession(), record.GetRequestForm()
	subject, client := session.GetSubject(), record.GetClient().GetID()
	grants, responses, kinds := form["grant_type"], form["response_type"], form[formKind]
	grant := form.Get("grant_type")
	isExchange := grant == tokenexchange.GrantType
	isClients := grant == string(fosite.GrantTypeClientCredentials)
	hasMark := func(t fosite.TokenType) bool { return !session.GetExpiresAt(t).IsZero() }
	switch {
	case hasMark(sessionClient):
		return client, tokenexchange.KindClient, nil
	case len(grants)+len(responses) > 1 || strings.ContainsFunc(grant, unicode.IsSpace):
		return "", "", refusal.New(tokenexchange.InvalidRequest, "record_grant_ambiguous",
			"the form of the record has grant_type %.64q and response_type %.64q; it may have one "+
				"of them, once and without blanks (D19)", grants, responses)
	case isExchange != (len(kinds) == 1) || hasMark(sessionExchange) && !isExchange:
		return "", "", refusal.New(tokenexchange.InvalidRequest, "record_kind_mismatch",
			"the form of the record has grant_type %.64q and %d times %s; an exchanged token has "+
				"that once, any other not at all (D19)", grants, len(kinds), formKind)
	case isExchange:
		return subject, tokenexchange.Kind(kinds[0]), nil
	case isClients && subject != "" && subject != client:
		return "", "", refusal.New(tokenexchange.InvalidRequest, "record_other_subject",
			"the session of a client credentials token names %q; it may name the client %q only "+
				"(D19)", subject, client)
	case isClients:
		return client, tokenexchange.KindClient, nil
	}
	return subject, "", nil
}
