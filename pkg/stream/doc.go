// Package stream turns the table's stream into events for other systems: which tokens were made, rotated
// and revoked, which expire and have expired, and which were reused or reported as leaked.
//
// Start with Lambda, which receives the records of the stream. Package bus below it puts the events on a
// bus; it is separate, so that only functions/events links the bus's client. The old and the new image of
// a token record decide alone, so the function reads nothing. The package promises that an event holds no
// bearer, digest, name or mail address; that each change is put at least once, always with the same id;
// and that a record that cannot be read holds up no other. The events of a token carry ascending numbers,
// because a bus keeps no order.
package stream
