// Package sweep runs the two daily scans, which tell owners that their tokens
// are about to end and that they have ended, and the managers of projects and
// groups about those of their bots. The second scan also removes bots some time
// after their tokens have ended.
//
// Start with a Scanner and its Run. The package promises: every token that
// qualifies is announced once at each threshold; a run that stops anywhere,
// by a crash too, goes on where it was, and repeats at most the mail that each
// worker had in flight; two runs at once send nothing twice, also when they are
// for two days; a token that was revoked before its mail goes out is not in it;
// memory and requests grow with what is due, not with the table. "Now" is the
// event's time, so a retry covers the same days. It knows neither how tokens
// are kept nor how mails look.
package sweep
