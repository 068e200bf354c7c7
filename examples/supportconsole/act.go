package main

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/go-tokenexchange/tokenexchange"
)

// home is the search for a user to act for, or the page for visitors who are not signed in.
func (c *console) home(w http.ResponseWriter, r *http.Request) {
	if c.sessions.find(r) != nil {
		c.signedIn(c.search).ServeHTTP(w, r)
		return
	}
	var p *problem
	if _, err := r.Cookie(cookieSession); err == nil {
		setCookie(w, cookieSession, "", 0)
		p = problemSessionOver
	}
	c.welcome(w, http.StatusOK, p)
}

func (c *console) search(w http.ResponseWriter, r *http.Request, s *session) {
	if s.acting != nil {
		http.Redirect(w, r, "/app", http.StatusSeeOther)
		return
	}
	list, ok := c.people(w, r, s)
	if !ok {
		return
	}
	wanted := strings.TrimSpace(r.FormValue("q"))
	low := strings.ToLower(wanted)
	found := slices.DeleteFunc(list, func(p person) bool {
		return p.ID == s.operator.ID || !strings.Contains(strings.ToLower(p.Name+" "+p.ID), low)
	})
	p := c.page(s, "Choose a person")
	p.Content = map[string]any{"Query": wanted, "People": found}
	c.render(w, http.StatusOK, "search.html", p)
}

// showUser shows the form that asks for a reason. The user need not be in the directory, since the
// authorization server decides.
func (c *console) showUser(w http.ResponseWriter, r *http.Request, s *session) {
	id := strings.TrimSpace(r.FormValue("user"))
	if s.acting != nil || id == "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	if list, ok := c.people(w, r, s); ok {
		c.ask(w, http.StatusOK, s, acting{User: pick(list, id)}, nil)
	}
}

// ask shows the form that begins to act, with what was filled in and what is wrong with it.
func (c *console) ask(w http.ResponseWriter, status int, s *session, a acting, wrong *problem) {
	p := c.page(s, "Act for "+a.User.Name)
	if p.Problem = wrong; wrong != nil {
		p.Title = wrong.Heading
	}
	p.Content = a
	c.render(w, status, "user.html", p)
}

// begin exchanges tokens, for one user and one reason. The authorization server does not say why it
// refuses, so the page explains it by what the directory shows now.
func (c *console) begin(w http.ResponseWriter, r *http.Request, s *session) {
	err := r.ParseForm()
	id := strings.TrimSpace(r.PostFormValue("user"))
	switch {
	case err != nil:
		c.notice(w, http.StatusRequestEntityTooLarge, s, problemForm)
		return
	case s.acting != nil || id == "":
		http.Redirect(w, r, "/", http.StatusSeeOther) // which redirects to the app
		return
	}
	list, ok := c.people(w, r, s)
	if !ok {
		return
	}
	a := acting{User: pick(list, id), Reason: strings.TrimSpace(r.PostFormValue("reason")),
		Scope: tokenexchange.Scope{"read"}}
	if r.PostFormValue("access") == "write" {
		a.Scope = tokenexchange.Scope{"read", "write"}
	}
	if wrong := checkReason(a.Reason); wrong != nil {
		c.ask(w, http.StatusUnprocessableEntity, s, a, wrong)
		return
	}
	begun, err := c.as.actFor(r.Context(), s.token, a, s.operator.ID)
	if err != nil {
		if begun.token != "" {
			_ = c.endToken(r.Context(), begun.token, begun.Expires)
		}
		known := ""
		if a.User.Status != "" { // people type passwords into the wrong field
			known = id
		}
		c.Log.Info("acting refused", "operator", s.operator.ID, "user", known, "cause", err.Error())
		status, wrong := explain(err, pick(list, s.operator.ID), a)
		c.ask(w, status, s, a, wrong)
		return
	}
	s.acting = &begun
	c.Log.Info("acting begun", "operator", s.operator.ID, "user", a.User.ID)
	http.Redirect(w, r, "/app", http.StatusSeeOther)
}

func (c *console) stop(w http.ResponseWriter, r *http.Request, s *session) {
	if s.acting != nil {
		c.endActing(r.Context(), s, "You no longer act for "+s.acting.User.Name+".")
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// endExpired ends acting after its time. The session is locked.
func (c *console) endExpired(ctx context.Context, s *session) {
	if s.acting != nil && !c.Now().Before(s.acting.Expires) {
		c.endActing(ctx, s, "The time is up: you no longer act for "+s.acting.User.Name+".")
	}
}

// endActing forgets the token and revokes it, and tells the operator whether the authorization
// server confirms that. The session is locked.
func (c *console) endActing(ctx context.Context, s *session, notice string) {
	a := s.acting
	if a == nil {
		return
	}
	s.acting = nil
	if err := c.endToken(ctx, a.token, a.Expires); err != nil {
		s.notice = notice + " This console no longer uses the access. The authorization server " +
			"could not confirm its end yet; " +
			"this console goes on asking, and it ends by itself at " +
			a.Expires.UTC().Format("15:04") + " UTC."
		return
	}
	c.Log.Info("acting ended", "operator", s.operator.ID, "user", a.User.ID)
	s.notice = notice + " The authorization server confirms that the access is no longer valid."
}

// people returns the directory as the operator may see it now. If the directory is not available,
// people writes the response. An operator whose own token is no longer valid is signed out.
func (c *console) people(w http.ResponseWriter, r *http.Request, s *session) ([]person, bool) {
	list, err := c.as.directory(r.Context(), s.token.AccessToken)
	switch status, _ := err.(badStatus); {
	case err == nil:
		for i := range list {
			list[i].Name = cmp.Or(list[i].Name, list[i].ID)
		}
		return list, true
	case status == http.StatusUnauthorized:
		c.signOut(w, r, s)
		c.welcome(w, http.StatusUnauthorized, problemSignedOut)
	case status == http.StatusForbidden:
		c.notice(w, http.StatusForbidden, s, problemNoDirectory)
	default:
		c.Log.Warn("directory", "cause", err.Error())
		c.notice(w, http.StatusBadGateway, s, problemDown)
	}
	return nil, false
}

// pick returns the person with an id. A person who is not in the directory has the id alone.
func pick(list []person, id string) person {
	if i := slices.IndexFunc(list, func(p person) bool { return p.ID == id }); i >= 0 {
		return list[i]
	}
	return person{ID: id, Name: id}
}
