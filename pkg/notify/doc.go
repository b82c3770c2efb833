// Package notify writes the mails about tokens that expire or were revoked, and sends them with
// Amazon SES.
//
// Start with SES, a sweep.Mailer. Render shows a mail without sending it, and Recorder replaces SES
// in tests. The package promises one request to SES for each call of Send, whatever happens to the
// reply. Its errors tell by their kind what to do next, and contain no mail address. A mail shows
// names that people chose only as package quote does, says that somebody gave them, counts the tokens
// that it does not list, and never holds a bearer. The package does not decide who gets a mail, and
// keeps no record of mails.
package notify
