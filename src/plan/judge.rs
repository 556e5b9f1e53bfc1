//! What the guards say of a revision before it is accepted.
//!
//! A revision is judged by the stricter of its own guards and those before it: none frees its
//! own excess.

use std::collections::BTreeMap;

use crate::config::{Limits, ProviderConfig, ProviderLimits, Share};
use crate::model::ids::ProviderName;
use crate::model::memory::{Comparison, Verdict};
use crate::planted::planted;

/// A removal of this many or fewer is never held (design, section 2).
const FEW: u64 = 5;

/// The guards of one revision.
#[derive(Clone, Debug, Default)]
pub struct Guards {
    limits: Limits,
    providers: BTreeMap<ProviderName, ProviderLimits>,
}

impl Guards {
    /// Those of a configuration.
    pub fn of(limits: &Limits, providers: &BTreeMap<ProviderName, ProviderConfig>) -> Self {
        Self {
            limits: *limits,
            providers: providers
                .iter()
                .map(|(name, provider)| (name.clone(), provider.limits))
                .collect(),
        }
    }

    /// The same under a provider's new name.
    pub fn renamed(mut self, from: &ProviderName, to: &ProviderName) -> Self {
        if let Some(limits) = self.providers.remove(from) {
            self.providers.insert(to.clone(), limits);
        }
        self
    }

    fn provider(&self, name: &ProviderName) -> ProviderLimits {
        self.providers.get(name).copied().unwrap_or_default()
    }
}

/// Judges a revision. `guards` are its own and those of the revision before it; `open` is what
/// was unfinished and asked for before it; `through` is what other revisions of the last 24 h let
/// through.
pub fn judge(
    guards: &[Guards],
    open: &BTreeMap<ProviderName, u64>,
    through: &BTreeMap<ProviderName, u64>,
    counts: Comparison,
) -> Verdict {
    let gone: BTreeMap<ProviderName, u64> = open
        .iter()
        .map(|(name, all)| {
            let kept = counts.kept.get(name).copied().unwrap_or(0);
            (name.clone(), all.saturating_sub(kept))
        })
        .filter(|(_, gone)| *gone > 0)
        .collect();
    Verdict {
        approval: approval(guards, through, &counts),
        removal: removal(guards, open, &gone),
        counts,
    }
}

/// Providers whose new, earlier and harsher items wait.
fn approval(
    guards: &[Guards],
    through: &BTreeMap<ProviderName, u64>,
    counts: &Comparison,
) -> Vec<ProviderName> {
    if planted!(ApprovalGuardOff, true, false) {
        return Vec::new();
    }
    let all: u64 = counts.sooner.values().chain(through.values()).sum();
    let too_many = guards.iter().any(|it| all > it.limits.approval_above);
    counts
        .sooner
        .iter()
        .filter(|(name, sooner)| {
            let here = **sooner + through.get(*name).copied().unwrap_or(0);
            too_many
                || guards
                    .iter()
                    .filter_map(|it| it.provider(name).approval_above)
                    .any(|most| here > most)
        })
        .map(|(name, _)| name.clone())
        .collect()
}

/// Providers whose vanished items are held.
fn removal(
    guards: &[Guards],
    open: &BTreeMap<ProviderName, u64>,
    gone: &BTreeMap<ProviderName, u64>,
) -> Vec<ProviderName> {
    if planted!(RemovalGuardOff, true, false) {
        return Vec::new();
    }
    let all_open: u64 = open.values().sum();
    let all_gone: u64 = gone.values().sum();
    let too_many = guards
        .iter()
        .any(|it| exceeds(it.limits.removal_above, all_gone, all_open));
    gone.iter()
        .filter(|(name, gone)| {
            let open = open.get(*name).copied().unwrap_or(0);
            too_many
                || guards
                    .iter()
                    .filter_map(|it| it.provider(name).removal_above)
                    .any(|most| exceeds(most, **gone, open))
        })
        .map(|(name, _)| name.clone())
        .collect()
}

fn exceeds(most: Share, gone: u64, open: u64) -> bool {
    gone > FEW
        && match most {
            Share::Count(most) => gone > most,
            #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
            Share::Percent(percent) => gone as f64 * 100.0 > percent * open as f64,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ProviderName {
        ProviderName::parse(text).unwrap()
    }

    fn new_items(count: u64) -> Comparison {
        Comparison {
            sooner: BTreeMap::from([(name("a"), count)]),
            ..Comparison::default()
        }
    }

    #[test]
    fn a_revision_cannot_raise_the_bar_for_itself() {
        let strict = Guards::default();
        let loose = Guards {
            limits: Limits {
                approval_above: 1_000,
                ..Limits::default()
            },
            ..Guards::default()
        };
        let none = BTreeMap::new();
        let verdict = judge(&[loose.clone(), strict], &none, &none, new_items(101));
        assert_eq!(verdict.approval, [name("a")]);
        let verdict = judge(&[loose], &none, &none, new_items(101));
        assert!(verdict.approval.is_empty());
    }

    #[test]
    fn what_the_last_day_let_through_counts_with_what_comes() {
        let guards = [Guards::default()];
        let none = BTreeMap::new();
        let through = BTreeMap::from([(name("b"), 60)]);
        let verdict = judge(&guards, &none, &through, new_items(41));
        assert_eq!(verdict.approval, [name("a")]);
        assert!(
            judge(&guards, &none, &through, new_items(40))
                .approval
                .is_empty()
        );
    }

    #[test]
    fn more_than_a_fifth_gone_at_once_is_held_and_five_never_are() {
        let open = BTreeMap::from([(name("a"), 20)]);
        let kept = |kept| Comparison {
            kept: BTreeMap::from([(name("a"), kept)]),
            ..Comparison::default()
        };
        let guards = [Guards::default()];
        let none = BTreeMap::new();
        assert!(judge(&guards, &open, &none, kept(15)).removal.is_empty());
        assert_eq!(judge(&guards, &open, &none, kept(14)).removal, [name("a")]);
        let many = BTreeMap::from([(name("a"), 100)]);
        assert!(judge(&guards, &many, &none, kept(80)).removal.is_empty());
    }
}
