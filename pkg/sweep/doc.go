// Package sweep runs the scheduled scans and sends the mails about tokens that
// expire or were revoked.
//
// The Expiring scan tells people that tokens are about to expire. The Expired
// scan tells them that tokens have expired, and later removes the bots of those
// that belonged to projects. A Lifetime run revokes the tokens that live longer
// than a changed limit allows. A Messenger tells people at once of tokens that
// were revoked because their values had leaked. A person is told of their own
// tokens; the managers of a project or group are told of its bots' tokens.
//
// Start with NewScanner and Run, and read on in this order: scanner.go (an
// event becomes one job for each shard), job.go (a job goes on in parts, under a
// lease), index.go and window.go (which tokens may be due), announce.go (the last
// look, the mail, the mark), recipients.go (who is told), notice.go (the mail).
//
// The package promises: every token that qualifies is announced once at each
// threshold; a run that stops anywhere, by a crash too, goes on where it was and
// repeats at most the mail that each worker had in flight; two runs at once send
// nothing twice, even if they are for two days; a token that was revoked before
// its mail goes out is not in it; memory and requests grow with what is due, not
// with the table. "Now" is the event's time, so a retry covers the same days. The
// package does not know how tokens are stored or how mails look.
package sweep
