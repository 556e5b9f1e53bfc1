//! What would happen: the plan of a manifest, in the light of what the ledger remembers and of
//! what was read. It is built from read halves alone and has no means to send anything.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::config::Config;
use crate::desired::Manifest;
use crate::ledger::{Identity, Ledger, LedgerError, Page};
use crate::model::hold::HoldReason;
use crate::model::ids::{Key, ProviderName};
use crate::model::memory::{Comparison, Pauses, Used, Verdict};
use crate::model::observed::Look;
use crate::model::request::Request;
use crate::model::standing::{Event, Phase, Settlement, Standing, State};
use crate::model::terms::{Wanted, short_digest};
use crate::plan::decide::{self, Decision, Rules};
use crate::plan::due::first_plan;
use crate::plan::judge::{Guards, judge};
use crate::provider::Reader;

use super::report::{ItemReport, Standpoint};

/// What is read without being asked for: what is due within this time …
const READ_AHEAD: chrono::Duration = chrono::Duration::hours(48);

/// … and at most so many.
const READ_MOST: usize = 100;

/// Requests that are looked for at a time.
const PAGE: u32 = 1_000;

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
    /// What there is to say of it.
    pub note: Option<String>,
    /// Whether the ledger does not know it on these terms yet.
    pub changed: bool,
    /// The item.
    #[serde(flatten)]
    pub item: ItemReport,
}

/// The digest of what waits for an approval, of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Digest {
    /// The file.
    pub file: String,
    /// Over ids and terms: the same in whatever order they stand.
    pub digest: String,
    /// How many.
    pub items: u64,
}

/// What all of one provider's work takes at its rate limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Effort {
    /// The provider.
    pub provider: ProviderName,
    /// Items that would be cancelled, now or later.
    pub items: u64,
    /// Requests for them.
    pub requests: u64,
    /// What these take at the provider's rate limit.
    pub takes_seconds: u64,
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
    pub digests: Vec<Digest>,
    /// What the work takes.
    pub effort: Vec<Effort>,
    /// The items, grouped by what would happen.
    pub items: Vec<PlannedItem>,
}

/// What a plan is made from.
pub struct Sources<'s> {
    /// The files.
    pub manifest: &'s Manifest,
    /// The digest over them.
    pub revision: &'s str,
    /// What is remembered, where there is a ledger.
    pub ledger: Option<&'s dyn Ledger>,
    /// Read halves, for the providers whose secrets were found.
    pub readers: BTreeMap<ProviderName, Arc<dyn Reader>>,
    /// What is read.
    pub reading: Reading,
    /// Now.
    pub now: DateTime<Utc>,
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
    let mut requests = Vec::with_capacity(sources.manifest.wanted.len());
    for wanted in &sources.manifest.wanted {
        requests.push(request(&sources, &config, wanted).await?);
    }
    let verdict = verdict(&sources, &config, &requests).await?;
    for (request, differs) in &mut requests {
        if *differs == Differs::New && verdict.approval.contains(&request.key.provider) {
            let new: u64 = verdict.counts.new.values().sum();
            hold(
                request,
                HoldReason::Approval,
                &format!("{new} items would be new in one revision"),
            );
        }
    }
    look(&sources, &mut requests, read).await;
    let mut items: Vec<PlannedItem> = requests
        .iter()
        .map(|(request, differs)| planned(&standpoint, &config, request.clone(), *differs))
        .collect();
    items.extend(gone(&sources, &standpoint, &verdict).await?);
    items.sort_by_key(|item| (item.action, item.item.due_at));
    let mut summary = BTreeMap::new();
    for item in &items {
        *summary.entry(item.action).or_default() += 1;
    }
    Ok(Preview {
        revision: sources.revision.to_owned(),
        at: sources.now,
        ledger: sources.ledger.is_some(),
        summary,
        digests: digests(&requests),
        effort: effort(&config, &items),
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

/// How an item differs from what is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Differs {
    /// It does not, or it is finished or was sent.
    No,
    /// On other terms.
    Edited,
    /// Not remembered, or withdrawn and back: acceptance counts it as new.
    New,
}

/// What a key of the file is remembered as: under the provider's former name, where it is about
/// to be renamed.
fn remembered(config: &Config, key: &Key) -> Key {
    let formerly = config
        .providers
        .get(&key.provider)
        .and_then(|provider| provider.formerly.clone())
        .filter(|name| !config.providers.contains_key(name));
    Key {
        provider: formerly.unwrap_or_else(|| key.provider.clone()),
        ..key.clone()
    }
}

/// The request as it would be after acceptance, and how that changes it.
async fn request(
    sources: &Sources<'_>,
    config: &Config,
    wanted: &Wanted,
) -> Result<(Request, Differs), LedgerError> {
    let known = match sources.ledger {
        Some(ledger) => match ledger.find(remembered(config, &wanted.key)).await? {
            None => ledger.find(wanted.key.clone()).await?,
            found => found,
        },
        None => None,
    };
    let Some(mut known) = known else {
        return Ok((fresh(sources, config, wanted, None), Differs::New));
    };
    known.key = wanted.key.clone();
    let same = known.terms.digest() == wanted.terms.digest();
    if known.state().finished() || known.standing.in_doubt() {
        return Ok((known, Differs::No));
    }
    if same && known.state() != State::Withdrawn {
        known.place = wanted.place.clone();
        known.terms = wanted.terms.clone();
        return Ok((known, Differs::No));
    }
    let differs = match known.state() {
        State::Withdrawn => Differs::New,
        _ => Differs::Edited,
    };
    Ok((fresh(sources, config, wanted, Some(known)), differs))
}

/// A request on terms that the ledger does not know yet.
fn fresh(
    sources: &Sources<'_>,
    config: &Config,
    wanted: &Wanted,
    known: Option<Request>,
) -> Request {
    let kind = config
        .providers
        .get(&wanted.key.provider)
        .expect("a manifest's items name its providers")
        .kind();
    let wait = config.reconcile.wait_after_accept;
    let plan = first_plan(kind, &wanted.terms, sources.now, wait);
    let mut holds = plan.holds;
    match &known {
        Some(known) if known.state() != State::Withdrawn => {
            // An edit is no approval.
            let approval = known.hold_details.get_key_value(&HoldReason::Approval);
            holds.extend(approval.map(|(reason, detail)| (*reason, detail.clone())));
        }
        _ => holds.extend(plan.holds_if_new),
    }
    let accepted = Event::Accepted {
        revision: sources.revision.to_owned(),
        terms: wanted.terms.digest(),
        origin: wanted.place.to_string(),
        holds: holds.keys().copied().collect::<BTreeSet<_>>(),
    };
    let standing = match &known {
        Some(known) => Standing {
            phase: match known.standing.phase {
                Phase::Withdrawn if known.standing.attempts == 0 => Phase::Waiting,
                Phase::Withdrawn => Phase::Retrying,
                phase => phase,
            },
            wanted: true,
            holds: holds.keys().copied().collect(),
            ..known.standing.clone()
        },
        None => Standing::first(&accepted).expect("acceptance begins a standing"),
    };
    Request {
        row: known.as_ref().map_or(0, |known| known.row),
        version: 0,
        key: wanted.key.clone(),
        kind,
        terms: wanted.terms.clone(),
        place: wanted.place.clone(),
        revision: sources.revision.to_owned(),
        standing,
        due_at: plan.due_at,
        deadline_at: None,
        wake_at: plan.due_at,
        look: known.and_then(|known| known.look),
        doubt: None,
        held_since: None,
        hold_details: holds,
        idle_looks: 0,
        note: None,
        created_at: sources.now,
        changed_at: sources.now,
    }
}

/// What the guards would say of the revision.
async fn verdict(
    sources: &Sources<'_>,
    config: &Config,
    requests: &[(Request, Differs)],
) -> Result<Verdict, LedgerError> {
    let mut counts = Comparison::default();
    for (request, differs) in requests {
        let name = &request.key.provider;
        if *differs == Differs::New {
            *counts.new.entry(name.clone()).or_default() += 1;
        } else if !request.state().finished() {
            *counts.kept.entry(name.clone()).or_default() += 1;
        }
    }
    let open = match sources.ledger {
        Some(ledger) => ledger.open_by_provider().await?,
        None => BTreeMap::new(),
    };
    let mut guards = vec![Guards::of(&config.limits, &config.providers)];
    if let Some(ledger) = sources.ledger
        && let Some(revision) = ledger.current().await?
        && let Ok(before) = super::accept::read_kept(&revision.files)
    {
        guards.push(Guards::of(&before.config.limits, &before.config.providers));
    }
    Ok(judge(&guards, &open, counts))
}

/// Reads what is to be read. A reading that fails leaves what was known before.
async fn look(
    sources: &Sources<'_>,
    requests: &mut [(Request, Differs)],
    read: &(dyn Fn(usize, usize) + Sync),
) {
    use futures_util::StreamExt as _;
    let soon = sources.now + READ_AHEAD;
    let wanted: Vec<usize> = requests
        .iter()
        .enumerate()
        .filter(|(_, (request, _))| {
            let open = request.standing.plannable() || request.standing.in_doubt();
            open && match sources.reading {
                Reading::Offline => false,
                Reading::All => true,
                Reading::Soon => request.due_at.is_some_and(|due_at| due_at <= soon),
            }
        })
        .map(|(index, _)| index)
        .take(if sources.reading == Reading::Soon {
            READ_MOST
        } else {
            usize::MAX
        })
        .collect();
    let all = wanted.len();
    let looks = wanted.into_iter().filter_map(|index| {
        let key = requests[index].0.key.clone();
        let reader = Arc::clone(sources.readers.get(&key.provider)?);
        Some(async move { (index, reader.look(&key.id).await) })
    });
    let looks: Vec<_> = looks.collect();
    let mut looks = futures_util::stream::iter(looks).buffer_unordered(16);
    let mut done = 0;
    while let Some((index, result)) = looks.next().await {
        done += 1;
        read(done, all);
        let request = &mut requests[index].0;
        match result {
            Ok(look) => {
                request.look = Some(look);
                look_again(request);
            }
            Err(error) => {
                request.note = Some(format!("it could not be read: {error}"));
            }
        }
    }
}

fn hold(request: &mut Request, reason: HoldReason, detail: &str) {
    request.standing.holds.insert(reason);
    request.hold_details.insert(reason, detail.to_owned());
}

fn planned(
    standpoint: &Standpoint,
    config: &Config,
    mut request: Request,
    differs: Differs,
) -> PlannedItem {
    let provider = config.providers.get(&request.key.provider);
    let mut settles = None;
    let mut note = request.note.take();
    if request.standing.plannable()
        && let (Some(provider), Some(Look { observed, .. })) = (provider, request.look.clone())
    {
        let rules = Rules {
            require_expect: &provider.require_expect,
            payment_plans: provider.payment_plans,
        };
        match decide::decide(&request, &observed, rules) {
            Decision::Act(crate::model::act::Action::ConfirmCancel) => {
                note = Some("found deactivated: one confirming cancel would be sent".to_owned());
            }
            Decision::Act(_) => {}
            Decision::Settle { as_, note: said } => {
                settles = Some(as_);
                note = Some(said);
            }
            Decision::Hold(holds) => {
                for (reason, detail) in holds {
                    hold(&mut request, reason, &detail);
                }
            }
        }
    }
    let mut item = standpoint.item(&request);
    item.note = item.note.or_else(|| note.clone());
    // What observe mode alone holds is what would be cancelled.
    let held = item
        .hold
        .as_ref()
        .is_some_and(|hold| hold.reason != HoldReason::ObserveMode);
    let due = item.due_at.is_some_and(|due_at| due_at <= standpoint.now);
    let action = match item.state {
        State::Canceled | State::AlreadyCanceled | State::Failed | State::Missed => {
            Planned::Finished
        }
        State::Sending | State::Unknown | State::Ending => Planned::InFlight,
        State::Withdrawn => Planned::Withdraw,
        _ if settles.is_some() && !held => Planned::Settle,
        _ if held => Planned::Held,
        _ if due => Planned::Cancel,
        _ => Planned::Scheduled,
    };
    if settles == Some(Settlement::Failed) {
        note = note.map(|note| format!("would fail: {note}"));
    }
    PlannedItem {
        action,
        note,
        changed: differs != Differs::No,
        item,
    }
}

/// What a reading found holds only until the next one says otherwise.
fn look_again(request: &mut Request) {
    let stays = |reason: HoldReason| {
        !reason.from_look()
            || matches!(
                reason,
                HoldReason::NoSafeWindow | HoldReason::PeriodEndUnknown
            )
    };
    request.standing.holds.retain(|reason| stays(*reason));
    request.hold_details.retain(|reason, _| stays(*reason));
}

/// Open requests that the files do not ask for any more.
async fn gone(
    sources: &Sources<'_>,
    standpoint: &Standpoint,
    verdict: &Verdict,
) -> Result<Vec<PlannedItem>, LedgerError> {
    let Some(ledger) = sources.ledger else {
        return Ok(Vec::new());
    };
    let wanted: HashSet<&Key> = sources.manifest.wanted.iter().map(|it| &it.key).collect();
    let config = &sources.manifest.config;
    let renamed: HashSet<Key> = wanted.iter().map(|key| remembered(config, key)).collect();
    let mut gone = Vec::new();
    let mut after = 0;
    loop {
        let page = Page {
            states: vec![State::Scheduled, State::Held, State::Retrying],
            after,
            limit: PAGE,
            ..Page::default()
        };
        let rows = ledger.page(page).await?;
        let last = rows.len() < PAGE as usize;
        for mut request in rows {
            after = request.row;
            if wanted.contains(&request.key) || renamed.contains(&request.key) {
                continue;
            }
            let held = verdict.removal.contains(&request.key.provider);
            if held {
                hold(
                    &mut request,
                    HoldReason::Removal,
                    "its line would vanish together with many others",
                );
            }
            gone.push(PlannedItem {
                action: if held {
                    Planned::Held
                } else {
                    Planned::Withdraw
                },
                note: None,
                changed: true,
                item: standpoint.item(&request),
            });
        }
        if last {
            return Ok(gone);
        }
    }
}

/// One digest per file over what waits for an approval there.
fn digests(requests: &[(Request, Differs)]) -> Vec<Digest> {
    let mut waiting: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (request, _) in requests {
        if request.standing.holds.contains(&HoldReason::Approval) {
            let line = format!(
                "{} {} {}",
                request.key,
                request.key.again,
                request.terms.digest()
            );
            waiting.entry(&request.place.file).or_default().insert(line);
        }
    }
    waiting
        .into_iter()
        .map(|(file, lines)| Digest {
            file: file.to_owned(),
            digest: short_digest(Vec::from_iter(lines.iter().cloned()).join("\n").as_bytes()),
            items: lines.len() as u64,
        })
        .collect()
}

fn effort(config: &Config, items: &[PlannedItem]) -> Vec<Effort> {
    config
        .providers
        .values()
        .filter_map(|provider| {
            let count = items
                .iter()
                .filter(|item| item.item.provider == provider.name)
                .filter(|item| matches!(item.action, Planned::Cancel | Planned::Scheduled))
                .count() as u64;
            let requests = count * u64::from(provider.kind().capabilities().requests_per_item());
            let one: Duration = provider.rate_limit.per / provider.rate_limit.requests.max(1);
            let takes = one.as_secs_f64() * requests as f64;
            (count > 0).then(|| Effort {
                provider: provider.name.clone(),
                items: count,
                requests,
                takes_seconds: takes.ceil() as u64,
            })
        })
        .collect()
}
