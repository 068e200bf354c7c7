package main

import (
	"context"
	"net/http"
	"net/url"

	"golang.org/x/oauth2"
)

// beginLogin sends the browser to the authorization server (RFC 6749 §4.1, with PKCE, state and
// nonce). It is a form and not a link, so that no other site can begin a login here. The password
// is always asked for: otherwise signing in again after signing out would take one click.
func (c *console) beginLogin(w http.ResponseWriter, r *http.Request) {
	if c.sessions.find(r) != nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	l := pendingLogin{State: random(), Nonce: random(), Verifier: oauth2.GenerateVerifier(),
		Begun: c.Now()}
	setCookie(w, cookieLogin, c.logins.seal(l), loginTime)
	http.Redirect(w, r, c.as.login.AuthCodeURL(l.State, oauth2.SetAuthURLParam("nonce", l.Nonce),
		oauth2.SetAuthURLParam("prompt", "login"),
		oauth2.S256ChallengeOption(l.Verifier)), http.StatusSeeOther)
}

// finishLogin handles the redirect from the authorization server. A login is finished by the
// browser that began it, with a response of the server that was asked (RFC 9207).
func (c *console) finishLogin(w http.ResponseWriter, r *http.Request) {
	var l pendingLogin
	begun := false
	if cookie, err := r.Cookie(cookieLogin); err == nil {
		l, begun = c.logins.open(cookie.Value, c.Now())
	}
	setCookie(w, cookieLogin, "", 0)
	q := r.URL.Query()
	_, named := q["iss"]
	switch {
	case !begun || q.Get("state") != l.State:
		c.welcome(w, http.StatusBadRequest, problemLogin)
		return
	case (named || c.as.NamesItselfInLogin) && q.Get("iss") != c.Issuer:
		c.Log.Warn("login refused", "cause", "an answer of another issuer")
		c.welcome(w, http.StatusBadRequest, problemLogin)
		return
	case q.Get("code") == "":
		c.Log.Info("login refused", "error", q.Get("error"))
		c.welcome(w, http.StatusForbidden, problemNoLogin)
		return
	}
	// issued tokens are kept, or revoked, even if the browser does not wait
	ctx := context.WithoutCancel(r.Context())
	tok, operator, err := c.as.logIn(ctx, q.Get("code"), l)
	if err != nil {
		c.Log.Warn("login failed", "cause", err.Error())
		c.welcome(w, http.StatusBadGateway, problemNoLogin)
		return
	}
	if old := c.sessions.find(r); old != nil {
		c.endAll(ctx, c.sessions.remove(func(s *session) bool { return s == old }))
	}
	id, err := c.sessions.add(operator, tok)
	if err != nil {
		_ = c.endToken(ctx, tok.AccessToken, tok.Expiry)
		c.welcome(w, http.StatusServiceUnavailable, problemBusy)
		return
	}
	c.Log.Info("login", "operator", operator.ID)
	setCookie(w, cookieSession, id, 0)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// logOut ends everything: acting, the operator's token, the session here, and the session at the
// authorization server if it has an endpoint for that.
func (c *console) logOut(w http.ResponseWriter, r *http.Request, s *session) {
	c.signOut(w, r, s)
	if c.as.EndSession == "" {
		c.render(w, http.StatusOK, "welcome.html",
			page{Title: "Signed out", Notice: "You have signed out." + s.notice})
		return
	}
	// No id_token_hint: it is a token, and the browser would see it.
	http.Redirect(w, r, c.as.EndSession+"?"+
		url.Values{"client_id": {c.ClientID}, "post_logout_redirect_uri": {c.URL + "/"}}.Encode(),
		http.StatusSeeOther)
}

// signOut ends a session that is in use.
func (c *console) signOut(w http.ResponseWriter, r *http.Request, s *session) {
	c.sessions.remove(func(other *session) bool { return other == s })
	c.endSession(r.Context(), s)
	setCookie(w, cookieSession, "", 0)
}

// endSession revokes the tokens of a session that was removed. The session is locked.
func (c *console) endSession(ctx context.Context, s *session) {
	if s.ended {
		return
	}
	s.ended = true
	if s.acting != nil {
		c.endActing(ctx, s, " You no longer act for "+s.acting.User.Name+".")
	}
	_ = c.endToken(ctx, s.token.AccessToken, s.token.Expiry)
	c.Log.Info("session ended", "operator", s.operator.ID)
}

// welcome is the page for visitors who are not signed in.
func (c *console) welcome(w http.ResponseWriter, status int, p *problem) {
	title := "Sign in"
	if p != nil {
		title = p.Heading
	}
	c.render(w, status, "welcome.html", page{Title: title, Problem: p})
}
