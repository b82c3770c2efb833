// Package notify writes the mails about tokens that expire or were revoked, and
// sends them with Amazon SES.
//
// Start with SES, the sweep.Mailer; Render shows a mail without sending it, and
// Recorder stands in for SES in tests. The package promises one request to SES
// for one call of Send, whatever happens to the reply, and errors that tell by
// their kind what to do next and have no mail address in their text. A mail
// shows what users typed only escaped and on one line, names every token that
// it does not list by counting it, and never holds a bearer. The package does
// not decide who gets a mail, and keeps no record of what was sent.
package notify
