//! The pool as its users see it: against a slow twin that nobody can doubt, and against the clock on real threads.

mod dice;
mod history;
mod leases;
mod linear;
mod model;
mod operations;
mod plenty;
mod twins;
mod walk;
mod watch;
