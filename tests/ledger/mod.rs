//! The ledger: what is remembered, in which order, and what a killed process leaves behind.
//!
//! Every fact but those of `sqlite` is stated of the trait, so that another ledger joins by a
//! [`Home`](bench::Home) of its own and one more module in [`facts`].

/// Runs facts on every ledger that there is. A fact that is not listed is dead code, which
/// the compiler tells.
macro_rules! facts {
    ($($name:ident),+ $(,)?) => {
        mod on_sqlite {
            use crate::ledger::bench::{Bench, Folder};

            $(
                #[tokio::test]
                async fn $name() {
                    super::$name(Bench::of(Folder::new())).await;
                }
            )+
        }
    };
}

pub mod bench;
mod intents;
mod memory;
mod queue;
mod record;
mod reports;
mod revisions;
mod sqlite;
