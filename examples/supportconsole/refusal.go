package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/oauth2"

	"github.com/go-tokenexchange/tokenexchange"
)

// problem is what an operator reads when a request is refused or fails.
type problem struct {
	Heading, Text string
	Field         string // the field to correct; empty: none
}

// Problems with a constant text.
var (
	problemBusy = &problem{Heading: "Too many people are signing in",
		Text: "Wait a minute, and try again."}
	problemLogin = &problem{Heading: "This sign-in cannot be finished",
		Text: "It has been used already, has taken too long, was begun in another window, or " +
			"your browser has not kept the cookie of this console. Please sign in again."}
	problemNoLogin = &problem{Heading: "You have not been signed in",
		Text: "The authorization server did not let you in to this console. Please try again, " +
			"or ask your administrator whether you may use it."}
	problemSessionOver = &problem{Heading: "Your session has ended",
		Text: "You were signed out after a while, and everything that you had begun has ended " +
			"too. Please sign in again."}
	problemSignedOut = &problem{Heading: "You have been signed out",
		Text: "The authorization server no longer accepts your sign-in: it was ended there, or " +
			"your account was locked. Everything that you had begun has ended too."}
	problemNoDirectory = &problem{Heading: "You may not look up people",
		Text: "Your account does not have the right to read the directory. Ask your " +
			"administrator for it."}
	problemNoPage = &problem{Heading: "There is no such page",
		Text: "Nothing is at this address. Perhaps it was mistyped."}
	problemForm = &problem{Heading: "This form cannot be read",
		Text: "It is too large, or was not sent as a whole. Nothing has been begun."}
	problemStranger = &problem{Heading: "This did not come from the console",
		Text: "Another site has tried to do something here in your name. Nothing has been done."}
	problemDown = &problem{Heading: "The authorization server does not answer",
		Text: "Nothing has been begun and nothing was changed. Please try again in a moment."}
)

// longestReason is how many characters the authorization server accepts in a reason.
const longestReason = 200

func checkReason(reason string) *problem {
	switch {
	case reason == "":
		return &problem{"A reason is missing",
			"Say why you need to act for this person. It is kept in the audit log.", "reason"}
	case utf8.RuneCountInString(reason) > longestReason:
		return &problem{"The reason is too long",
			fmt.Sprintf("Please say it in %d characters.", longestReason), "reason"}
	case !utf8.ValidString(reason), strings.ContainsFunc(reason, func(r rune) bool {
		return !unicode.IsPrint(r)
	}):
		return &problem{"The reason has characters that cannot be kept",
			"Please write it as one line of plain text.", "reason"}
	}
	return nil
}

// explain puts a refusal into words. The authorization server sends a code only, so that a client
// cannot find out about users. The words come from what the operator may read in the directory, as
// it is now.
func explain(err error, operator person, a acting) (status int, p *problem) {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) || refused.Response.StatusCode >= http.StatusInternalServerError {
		return http.StatusBadGateway, problemDown
	}
	user := a.User
	say := func(heading, text string, args ...any) (int, *problem) {
		return http.StatusForbidden, &problem{Heading: heading, Text: fmt.Sprintf(text, args...)}
	}
	switch code := tokenexchange.Code(refused.ErrorCode); {
	case code == tokenexchange.InvalidClient || code == tokenexchange.UnauthorizedClient:
		return say("This console is not allowed to do that",
			"The authorization server does not accept it as a client for acting for others. "+
				"Tell its administrator.")
	case code == tokenexchange.InvalidScope:
		return say("Not with this access",
			"%s may not do all that you have asked for, so you cannot do it for them. Try to "+
				"look only.", user.Name)
	case user.ID == operator.ID:
		return say("That is you", "You need not act for yourself.")
	case len(operator.Privileges) == 0:
		return say("You may not act for others",
			"Your account has no role for it. If it had one when you signed in, that has been "+
				"taken away since.")
	case user.Status == "":
		return say("You cannot act for “"+user.ID+"”",
			"No user of %s has this id. If a user of another organization has it, your "+
				"role, %s, does not reach them.",
			operator.Organization, strings.Join(operator.Privileges, ", "))
	case user.Status != "enabled":
		return say(fmt.Sprintf("The account of %s is %s", user.Name, user.Status),
			"No one can act for %s while it is. An administrator can change that.", user.Name)
	case len(user.Privileges) > 0:
		return say("You cannot act for "+user.Name,
			"%s has rights over others, by the role %s. Your own role, %s, does not reach so "+
				"far. Ask a colleague whose role does.",
			user.Name, strings.Join(user.Privileges, ", "), strings.Join(operator.Privileges, ", "))
	}
	return say("The authorization server has refused",
		"It does not say why, and the directory shows nothing that explains it. The reason is "+
			"in its audit log.")
}

// explainApp puts a response of the app's API into words; zero means no response.
func explainApp(answered badStatus) (status int, p *problem) {
	switch answered {
	case http.StatusForbidden:
		return http.StatusForbidden, &problem{Heading: "You have asked to look only",
			Text: "Nothing was changed. To change something, stop, and begin again with more " +
				"access."}
	case http.StatusNotFound, http.StatusConflict:
		return http.StatusConflict, &problem{Heading: "This order cannot be cancelled",
			Text: "It is cancelled already, is on its way, or is not there. Nothing was changed."}
	}
	return http.StatusBadGateway, &problem{Heading: "The app does not answer",
		Text: "Please try again in a moment. You still act for the person in the banner."}
}
