// Package faults proves the promises of the whole against real faults: servers
// in processes of their own over a real Redis or Postgres, which are killed,
// paused, cut off and failed over under writers that retry by nonce and
// readers that resume.
//
// It is a module of its own, so that nobody who embeds the SDK has what it
// needs in the graph of their modules.
package faults
