// Package work has things done beside: tasks on workers, calls at a time, and
// the waiting for all of it at the end. What panics there is logged, and has
// ended nothing but itself.
package work
