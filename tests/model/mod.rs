//! The nouns: what their words are, what belongs to which, and what is told apart.

mod act;
mod approval;
mod hold;
mod ids;
mod labels;
mod memory;
mod notice;
mod observed;
mod provider;
mod request;
mod standing;
mod terms;
mod text;

use lapsed::model::ids::{Key, ProviderName, SubscriptionId};
use lapsed::model::provider::ProviderKind;

fn name(text: &str) -> ProviderName {
    ProviderName::parse(text).unwrap()
}

fn key(id: &str, again: u32) -> Key {
    Key {
        provider: name("donations"),
        id: SubscriptionId::parse(ProviderKind::Revere, id).unwrap(),
        again,
    }
}
