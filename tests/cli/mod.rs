//! The binary as people use it: what is typed, what the screen shows, how it ends.

mod adversary;
mod backup;
mod beside;
mod evidence;
mod files;
mod guards;
mod how_to;
mod letters;
mod licenses;
mod list;
mod logs;
mod run;
mod supervised;
mod tidy;
mod told;
mod watch;
