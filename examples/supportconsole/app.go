package main

import (
	"net/http"
	"net/url"
	"slices"
)

// appView is the app as the user sees it.
type appView struct {
	acting
	Profile  profile
	Orders   []order
	Activity []entry
	MayWrite bool
}

// showApp shows the app, from its own API and with the token that names both people.
func (c *console) showApp(w http.ResponseWriter, r *http.Request, s *session) {
	if s.acting == nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	view := appView{acting: *s.acting, MayWrite: slices.Contains(s.acting.Scope, "write")}
	for _, part := range []struct {
		path string
		into any
	}{{"/profile", &view.Profile}, {"/orders", &view.Orders}, {"/activity", &view.Activity}} {
		if !c.shop(w, r, s, http.MethodGet, part.path, part.into) {
			return
		}
	}
	p := c.page(s, "Acting for "+s.acting.User.Name)
	p.Content = view
	c.render(w, http.StatusOK, "app.html", p)
}

func (c *console) cancelOrder(w http.ResponseWriter, r *http.Request, s *session) {
	if s.acting == nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	id := r.PathValue("id")
	if c.shop(w, r, s, http.MethodPost, "/orders/"+url.PathEscape(id)+"/cancel", nil) {
		s.notice = "You have cancelled order " + id + " for " + s.acting.User.Name + "."
		http.Redirect(w, r, "/app", http.StatusSeeOther)
	}
}

// shop calls the app's API as the user. The session is not locked meanwhile, so that stopping does
// not wait for the app. If the call fails, or the operator has stopped, shop writes the response. A
// token that the API refuses was ended elsewhere.
func (c *console) shop(w http.ResponseWriter, r *http.Request, s *session, method, path string,
	into any) bool {
	a := s.acting
	err := s.unlocked(func() error {
		req, err := http.NewRequestWithContext(r.Context(), method, c.Shop+path, nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+a.token)
		return c.as.do(req, into)
	})
	status, _ := err.(badStatus)
	switch {
	case s.acting != a:
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return false
	case err == nil:
		return true
	case status == http.StatusUnauthorized:
		c.endActing(r.Context(), s,
			"Somebody else has ended the access to the account of "+a.User.Name+".")
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return false
	}
	c.Log.Warn("app", "method", method, "path", path, "cause", err.Error())
	answer, wrong := explainApp(status)
	c.notice(w, answer, s, wrong)
	return false
}
