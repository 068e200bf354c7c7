// Package notify tells users that another party acts for them, as soon as an exchange has made that
// possible.
//
// A Sink wraps the audit sink of an Exchanger. It waits until the event is recorded. If the event
// lets another party act for the user, the Sink queues a notice and calls the host, which sends an
// e-mail or a message in an app.
//
// Delivery is best effort. No exchange fails or waits because the host's function fails, blocks or
// panics. Notices that cannot be delivered are counted.
//
// A Template turns a notice into a subject line and a text. The host sends them;
// examples/smtpnotify shows this for SMTP.
package notify
