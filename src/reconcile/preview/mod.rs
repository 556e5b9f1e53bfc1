//! What would happen: the plan of a manifest, in the light of what the ledger remembers and of
//! what was read. It is built from read halves alone and has no means to send anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use crate::config::Config;
use crate::desired::Manifest;
use crate::ledger::{Identity, Ledger, LedgerError};
use crate::model::approval::Waiting;
use crate::model::hold::HoldReason;
use crate::model::ids::ProviderName;
use crate::model::memory::{Pauses, Used};
use crate::model::request::Request;
use crate::provider::Reader;

use super::accept::Shift;
use super::report::{ItemReport, Standpoint};

use self::ahead::{calendar, effort, foretell};
use self::drafting::{
    Draft, approve, as_accepted, difference, digests, draft, gone, known, verdict,
};
use self::reading::{look, planned};

mod ahead;
mod drafting;
mod reading;

/// What is read for a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Nothing.
    Offline,
    /// What is due soon.
    Soon,
    /// Everything that is open.
    All,
}

/// What would happen to one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Planned {
    /// Cancelled at the next tick.
    Cancel,
    /// Cancelled when its time comes.
    Scheduled,
    /// Something holds it.
    Held,
    /// Sent already; what became of it is being read.
    InFlight,
    /// Found ended, or nothing to cancel: settled without a write.
    Settle,
    /// Its window has gone by, and a person is asked.
    Missed,
    /// Not asked for any more.
    Withdraw,
    /// Finished before; nothing follows.
    Finished,
}

/// One item of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedItem {
    /// What would happen.
    pub action: Planned,
    /// Whether the ledger does not know it on these terms yet.
    pub changed: bool,
    /// When it acts, as far as schedule, freezes, limits and rate tell; none where something
    /// holds it, or nobody has read yet when its period ends.
    pub acts_at: Option<DateTime<Utc>>,
    /// What is in the way of its deadline, if it cannot be met.
    pub obstacle: Option<String>,
    /// How long before its deadline it acts; negative: too late.
    pub slack_seconds: Option<f64>,
    /// Paid time that the customer loses, where it is cut off before its period's end.
    pub lost_seconds: Option<i64>,
    /// Where access ends, where that is known.
    pub access_ends: Option<&'static str>,
    /// The item.
    #[serde(flatten)]
    pub item: ItemReport,
}

impl PlannedItem {
    /// Whether nothing holds it but the time: what a freeze or a limit holds goes on by itself.
    fn waits_for_its_time(&self) -> bool {
        let by_itself = |reason: &HoldReason| {
            matches!(
                reason,
                HoldReason::Frozen | HoldReason::Limit | HoldReason::ObserveMode
            )
        };
        match (self.action, &self.item.hold) {
            (Planned::Cancel | Planned::Scheduled, _) => true,
            (Planned::Held, Some(hold)) => {
                by_itself(&hold.reason) && hold.also.iter().all(by_itself)
            }
            _ => false,
        }
    }

    /// An item of which nothing is foretold.
    pub const fn untold(item: ItemReport) -> Self {
        Self {
            action: Planned::Scheduled,
            changed: false,
            acts_at: None,
            obstacle: None,
            slack_seconds: None,
            lost_seconds: None,
            access_ends: None,
            item,
        }
    }
}

/// What all of one provider's work takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Effort {
    /// The provider.
    pub provider: ProviderName,
    /// Items that would be cancelled, now or later.
    pub items: u64,
    /// Requests for them.
    pub requests: u64,
    /// The provider's rate limit, as it was written.
    pub rate: String,
    /// What these take at the provider's rate limit.
    pub takes_seconds: u64,
    /// When the last of them acts, limits and freezes included; none: not within the time that
    /// was looked at, or nobody has read yet when.
    pub done_at: Option<DateTime<Utc>>,
    /// Of how many nobody has read yet when their period ends.
    pub unread: u64,
}

/// One day of a calendar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Day {
    /// The day, in the file's zone.
    pub day: NaiveDate,
    /// The first instant of it.
    pub begins_at: DateTime<Utc>,
    /// What acts, in the order of its time.
    pub acts: Vec<DayAct>,
    /// Freezes that cover some of it.
    pub freezes: Vec<String>,
    /// Periods that end on it, of what was to be ended by then.
    pub periods_end: u64,
}

/// One act of a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DayAct {
    /// When.
    pub at: DateTime<Utc>,
    /// Where.
    pub provider: ProviderName,
    /// Which subscription.
    pub id: String,
    /// Which request for it.
    pub again: u32,
}

/// A plan.
#[derive(Clone, Debug, Serialize)]
pub struct Preview {
    /// The digest over the files.
    pub revision: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Whether a ledger was there to compare with.
    pub ledger: bool,
    /// How many of each.
    pub summary: BTreeMap<Planned, u64>,
    /// What waits for an approval.
    pub digests: Vec<Waiting>,
    /// Approvals of the file that would free nothing, one line each.
    pub warnings: Vec<String>,
    /// What the work takes.
    pub effort: Vec<Effort>,
    /// The days ahead, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calendar: Option<Vec<Day>>,
    /// The items, grouped by what would happen.
    pub items: Vec<PlannedItem>,
}

/// What a plan is made from.
pub struct Sources<'s> {
    /// The files.
    pub manifest: &'s Manifest,
    /// The digest over them.
    pub revision: &'s str,
    /// Other files, of which only the difference is planned.
    pub against: Option<&'s Manifest>,
    /// What is remembered, where there is a ledger.
    pub ledger: Option<&'s dyn Ledger>,
    /// Read halves, for the providers whose secrets were found.
    pub readers: BTreeMap<ProviderName, Arc<dyn Reader>>,
    /// What is read.
    pub reading: Reading,
    /// Now.
    pub now: DateTime<Utc>,
    /// Until when the days ahead are told.
    pub until: Option<DateTime<Utc>>,
}

/// Makes a plan. `read` is told of each reading.
///
/// # Errors
/// The ledger failed.
pub async fn preview(
    sources: Sources<'_>,
    read: &(dyn Fn(usize, usize) + Sync),
) -> Result<Preview, LedgerError> {
    let config = Arc::new(sources.manifest.config.clone());
    let standpoint = standpoint(&sources, Arc::clone(&config)).await?;
    // What is in force is what a change meets; where nothing is, what the plan is compared with.
    let accepted = standpoint.revision.is_some();
    let before = before(&sources).await?;
    let base = sources
        .against
        .filter(|_| !accepted)
        .map(|against| as_accepted(&sources, against));
    let shift = Shift {
        before: before.as_ref(),
        after: &config,
        now: sources.now,
    };
    let known = known(&sources, &shift, base.as_deref()).await?;
    let verdict = verdict(&sources, &shift, &known, accepted).await?;
    let mut drafts: Vec<Draft> = sources
        .manifest
        .wanted
        .iter()
        .zip(known)
        .map(|(wanted, known)| draft(&sources, &shift, &verdict, wanted, known))
        .collect();
    let warnings = approve(&sources, &shift, base.as_deref(), &mut drafts).await?;
    if let Some(against) = sources.against {
        drafts = difference(&sources, against, drafts);
    }
    look(&sources, &mut drafts, read).await;
    let gone = gone(&sources, &verdict).await?;
    let mut digests = digests(&drafts, &gone);
    if let Some(ledger) = sources.ledger {
        let known = ledger.waiting().await?;
        for waiting in &mut digests {
            waiting.accepted = known.iter().any(|it| it.digest == waiting.digest);
        }
    }
    let mut items: Vec<PlannedItem> = drafts
        .into_iter()
        .map(|draft| planned(&standpoint, &config, draft))
        .collect();
    foretell(&standpoint, &config, &mut items);
    items.extend(gone.iter().map(|it| withdrawn(&standpoint, it)));
    items.sort_by_key(|item| {
        (
            item.action,
            item.acts_at.or(item.item.due_at),
            item.item.due_at,
        )
    });
    let mut summary = BTreeMap::new();
    for item in &items {
        *summary.entry(item.action).or_default() += 1;
    }
    Ok(Preview {
        revision: sources.revision.to_owned(),
        at: sources.now,
        ledger: sources.ledger.is_some(),
        summary,
        digests,
        warnings,
        effort: effort(&config, &items),
        calendar: sources
            .until
            .map(|until| calendar(&config, &items, sources.now, until)),
        items,
    })
}

async fn standpoint(sources: &Sources<'_>, config: Arc<Config>) -> Result<Standpoint, LedgerError> {
    if let Some(ledger) = sources.ledger {
        return Standpoint::read(ledger, config, sources.now).await;
    }
    Ok(Standpoint {
        now: sources.now,
        memories: config
            .providers
            .keys()
            .map(|name| (name.clone(), Default::default()))
            .collect(),
        config,
        identity: Identity {
            ledger_id: String::new(),
            doubt: None,
        },
        revision: None,
        pauses: Pauses::default(),
        used: Used::default(),
    })
}

/// How the provider's files were before: what they are compared with, else what is in force.
async fn before(sources: &Sources<'_>) -> Result<Option<Config>, LedgerError> {
    let current = match sources.ledger {
        Some(ledger) => ledger.current().await?,
        None => None,
    };
    Ok(match current {
        Some(revision) => super::accept::read_kept(&revision.files)
            .ok()
            .map(|before| before.config),
        None => sources.against.map(|against| against.config.clone()),
    })
}

/// One whose line would be gone.
fn withdrawn(standpoint: &Standpoint, request: &Request) -> PlannedItem {
    let held = request.standing.holds.contains(&HoldReason::Removal);
    PlannedItem {
        action: if held {
            Planned::Held
        } else {
            Planned::Withdraw
        },
        changed: true,
        ..PlannedItem::untold(standpoint.item(request))
    }
}
