// Package web is the page on which people manage their tokens in a browser: sign-in, forms, lists.
//
// Start with New, which makes a Site of its Parts. The package promises that every action works
// without a script, that every reply forbids framing, caching and foreign content, that a forged
// request of another site is refused before its session is looked at, and that a new bearer is
// shown once and is never in a URL or in the table. It decides nothing about tokens: it calls the
// use cases that the API calls, and a Visitors says who asks.
package web
