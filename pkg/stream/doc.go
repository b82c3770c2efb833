// Package stream turns the table's stream into events for other systems: which tokens were made, rotated
// and revoked, which expire and have expired, and which were reused or reported as leaked; whose tokens
// stopped or started to work all at once; and that a restore ended every token.
//
// Start with Lambda, which receives the records of the stream. Package bus below it puts the events on a
// bus; it is separate, so that only functions/events links the bus's client. The old and the new image of
// a token record, of a profile or of the settings decide alone, so the function reads nothing. The package
// promises that an event holds no bearer, digest, name or mail address; that each change is put at least
// once, always with the same id; and that an item that cannot be read holds up no other. The events of a
// token, of an account and of the settings carry ascending numbers, because a bus keeps no order.
package stream
