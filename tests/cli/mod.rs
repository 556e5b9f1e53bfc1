//! The binary as people use it: what is typed, what the screen shows, how it ends.

mod beside;
mod files;
mod run;
mod watch;
