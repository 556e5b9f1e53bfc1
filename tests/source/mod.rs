//! Following the files, in each of the ways in which they change on a real disk.

mod checkout;
mod edit;
mod include;
mod link;
mod once;
mod support;
