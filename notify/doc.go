// Package notify tells a user that somebody acts for them, as soon as an exchange has made it possible.
//
// A Sink stands before the audit trail of an Exchanger. What has been recorded as granted, and lets somebody else act, goes
// into a queue, and from there to the host: an e-mail, a message in an app. Telling is best effort and an exchange is not:
// whatever the host's function does, hang and panic included, no exchange fails or waits for it. What could not be told is
// counted.
//
// A Template makes a subject and a text of it. Sending them is the host's: examples/smtpnotify does it by SMTP.
package notify
