// Package sweep runs the scheduled scans and sends the mails about tokens that
// expire or were revoked.
//
// The Expiring scan tells people that tokens will expire. The Expired scan tells them that tokens
// have expired, and later removes the bots of expired project tokens. A Lifetime run revokes the
// tokens that live longer than a changed limit allows. A Messenger tells people at once about
// tokens that were revoked because of a leak or of reuse. People are told about their own tokens; the managers
// of a project or group are told about its bots' tokens. A scan sends each person one mail.
//
// Start with NewScanner and Run, and read on in this order: scanner.go (an event becomes one job
// for each shard), job.go (a job proceeds in parts, under a lease), index.go and window.go (which
// tokens may be due), post.go (which people look after bots' tokens), announce.go (the last look, the mail, the mark), recipients.go (who is told),
// notice.go (the mail).
//
// The package promises:
//
//   - Every qualifying token is announced once at each threshold, to each person concerned.
//   - A person gets a limited number of mails a day about tokens of projects and groups. The rest comes
//     with the next Expiring scan, and their own tokens are never held back.
//   - A run that stops anywhere, even by a crash, resumes and repeats at most the mail that each worker had
//     in flight.
//   - Two concurrent runs send nothing twice, even for two days.
//   - A token that is revoked before its mail goes out is not in it.
//   - Memory and requests grow with the due tokens, not with the table.
//
// "Now" is the event's time, so a retry covers the same days. The package does not know how tokens
// are stored or how mails look.
package sweep
