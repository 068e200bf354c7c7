package main

import (
	"net/http"
	"net/url"
)

// appView is the app as the acted-for person sees it.
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
	view := appView{acting: *s.acting}
	for _, scope := range s.acting.Scope {
		view.MayWrite = view.MayWrite || scope == "write"
	}
	for path, into := range map[string]any{"/profile": &view.Profile, "/orders": &view.Orders, "/activity": &view.Activity} {
		if !c.shop(w, r, s, http.MethodGet, path, into) {
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

// shop calls the app's API as the person acted for. If that fails, that is the answer; a token that the API no longer takes has
// been ended by somebody else.
func (c *console) shop(w http.ResponseWriter, r *http.Request, s *session, method, path string, into any) bool {
	req, err := http.NewRequestWithContext(r.Context(), method, c.Shop+path, nil)
	if err == nil {
		req.Header.Set("Authorization", "Bearer "+s.acting.token)
		err = c.as.do(req, into)
	}
	if err == nil {
		return true
	}
	c.Log.Warn("app", "method", method, "path", path, "cause", err.Error())
	if status, _ := err.(badStatus); status == http.StatusUnauthorized {
		c.endActing(r.Context(), s, "The access to the account of "+s.acting.User.Name+" was ended by somebody else.")
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return false
	}
	p := c.page(s, "The app has refused")
	p.Problem = &problem{"The app has refused", "It may be busy, or you have asked to look only. Nothing was changed."}
	c.render(w, http.StatusBadGateway, "notice.html", p)
	return false
}
