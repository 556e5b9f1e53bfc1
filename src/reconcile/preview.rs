//! What would happen: the plan of a manifest, in the light of what the ledger remembers and of
//! what was read. It is built from read halves alone and has no means to send anything.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use crate::config::{Config, Freeze, Mode, ProviderConfig, Subject};
use crate::desired::Manifest;
use crate::ledger::{Identity, Ledger, LedgerError, Member, Page};
use crate::model::act::Action;
use crate::model::approval::{Approved, Approving, Gathering, Waiting, What};
use crate::model::hold::HoldReason;
use crate::model::ids::{Key, ProviderName, SubscriptionId};
use crate::model::memory::{Comparison, Pauses, Used, Verdict};
use crate::model::observed::{Look, Observed};
use crate::model::provider::ProviderKind;
use crate::model::request::Request;
use crate::model::standing::{Event, Phase, Settlement, Standing, State};
use crate::model::terms::{Wanted, When, WhenMissed};
use crate::plan::decide::{self, Decision, Rules};
use crate::plan::due::first_plan;
use crate::plan::forecast::{self, Work, cost_of_one, forecast, slack};
use crate::plan::judge::judge;
use crate::plan::window::{Hours, Way};
use crate::provider::Reader;
use crate::schedule;

use super::accept::{self, Compared, Shift};
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

/// One item on its way into the plan.
struct Draft {
    request: Request,
    differs: Differs,
    /// What was known of it before it was read for the plan.
    before: Option<Look>,
    /// Whether the file's approvals free it.
    freed: bool,
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

/// Other files as if they had been accepted. What waits there is not known without a ledger: those
/// do that the approvals of these files name, and no others.
fn as_accepted(sources: &Sources<'_>, against: &Manifest) -> Vec<Draft> {
    let shift = Shift {
        before: None,
        after: &against.config,
        now: sources.now,
    };
    let mut counts = Comparison::default();
    for wanted in &against.wanted {
        accept::count(&mut counts, &wanted.key.provider, None, &Compared::New);
    }
    let none = BTreeMap::new();
    let verdict = judge(&shift.guards(), &none, &none, counts);
    let mut drafts: Vec<Draft> = against
        .wanted
        .iter()
        .map(|wanted| draft(sources, &shift, &verdict, wanted, None))
        .collect();
    let approvals = &sources.manifest.config.approvals;
    let named: BTreeSet<String> = digests(&drafts, &[])
        .into_iter()
        .filter(|waiting| approvals.iter().any(|it| it.plan == waiting.digest))
        .map(|waiting| waiting.file)
        .collect();
    for draft in &mut drafts {
        let request = &mut draft.request;
        if !named.contains(&request.place.file) {
            request.standing.holds.remove(&HoldReason::Approval);
            request.hold_details.remove(&HoldReason::Approval);
        }
    }
    drafts
}

/// What the files do that the others do not: items that they alone have, have on other terms, or
/// let act earlier or harsher, and what they approve.
fn difference(sources: &Sources<'_>, against: &Manifest, drafts: Vec<Draft>) -> Vec<Draft> {
    let shift = Shift {
        before: Some(&against.config),
        after: &sources.manifest.config,
        now: sources.now,
    };
    let changes = accept::changes(&shift);
    let others: HashMap<&Key, &Wanted> = against.wanted.iter().map(|it| (&it.key, it)).collect();
    let wanted: HashMap<&Key, &Wanted> = sources
        .manifest
        .wanted
        .iter()
        .map(|it| (&it.key, it))
        .collect();
    let differs = |draft: &Draft| {
        let key = &draft.request.key;
        let (Some(other), Some(wanted)) = (others.get(key), wanted.get(key)) else {
            return true;
        };
        if draft.freed || other.terms.digest() != wanted.terms.digest() {
            return true;
        }
        let mut known = draft.request.clone();
        known.terms = other.terms.clone();
        let sooner = changes
            .get(&key.provider)
            .and_then(|change| change.sooner(&known, wanted, sources.now));
        sooner.is_some()
    };
    drafts.into_iter().filter(differs).collect()
}

/// How an item differs from what is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Differs {
    /// It does not, or it is finished or was sent.
    No,
    /// On other terms, or such that it may act earlier or harsher.
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

/// What is remembered of each item, in the order of the file; where no ledger remembers
/// anything, what the files that it is compared with would have made of it.
async fn known(
    sources: &Sources<'_>,
    shift: &Shift<'_>,
    base: Option<&[Draft]>,
) -> Result<Vec<Option<Request>>, LedgerError> {
    let wanted = &sources.manifest.wanted;
    let mut known = Vec::with_capacity(wanted.len());
    let base: HashMap<&Key, &Request> = base
        .unwrap_or_default()
        .iter()
        .map(|draft| (&draft.request.key, &draft.request))
        .collect();
    for batch in wanted.chunks(PAGE as usize) {
        let mut found = match sources.ledger {
            None => vec![None; batch.len()],
            Some(ledger) => {
                let former = batch.iter().map(|it| remembered(shift.after, &it.key));
                let by_former = ledger.find_many(former.collect()).await?;
                let by_name = batch.iter().map(|it| it.key.clone()).collect();
                let by_name = ledger.find_many(by_name).await?;
                by_former
                    .into_iter()
                    .zip(by_name)
                    .map(|(former, named)| former.or(named))
                    .collect()
            }
        };
        for (found, wanted) in found.iter_mut().zip(batch) {
            if let Some(request) = found {
                request.key = wanted.key.clone();
            }
            if found.is_none() {
                *found = base.get(&wanted.key).map(|request| (*request).clone());
            }
        }
        known.extend(found);
    }
    Ok(known)
}

/// What the guards would say of the revision.
async fn verdict(
    sources: &Sources<'_>,
    shift: &Shift<'_>,
    known: &[Option<Request>],
    accepted: bool,
) -> Result<Verdict, LedgerError> {
    let changes = accept::changes(shift);
    let mut counts = Comparison::default();
    for (wanted, known) in sources.manifest.wanted.iter().zip(known) {
        let name = &wanted.key.provider;
        let compared = shift.compare(wanted, known.as_ref(), changes.get(name));
        accept::count(&mut counts, name, known.as_ref(), &compared);
    }
    let (open, through) = match (sources.ledger, sources.against) {
        (None | Some(_), Some(against)) if !accepted => (open_of(against), BTreeMap::new()),
        (Some(ledger), _) => (
            ledger.open_by_provider().await?,
            ledger.let_through(sources.now - accept::ROLLING).await?,
        ),
        (None, _) => Default::default(),
    };
    let open = shift.under_new_names(open);
    let through = shift.under_new_names(through);
    Ok(judge(&shift.guards(), &open, &through, counts))
}

fn open_of(manifest: &Manifest) -> BTreeMap<ProviderName, u64> {
    let mut open = BTreeMap::new();
    for wanted in &manifest.wanted {
        *open.entry(wanted.key.provider.clone()).or_default() += 1;
    }
    open
}

/// The request as it would be after acceptance, and how that changes it.
fn draft(
    sources: &Sources<'_>,
    shift: &Shift<'_>,
    verdict: &Verdict,
    wanted: &Wanted,
    known: Option<Request>,
) -> Draft {
    let unchanged = |request| Draft {
        request,
        differs: Differs::No,
        before: None,
        freed: false,
    };
    let waits = accept::waits(wanted, known.as_ref(), verdict, shift);
    let Some(mut known) = known else {
        let request = fresh(
            sources,
            shift.after,
            wanted,
            shift.not_before(),
            None,
            approval(waits),
        );
        return Draft {
            request,
            differs: Differs::New,
            before: None,
            freed: false,
        };
    };
    if known.state().finished() || known.standing.in_doubt() {
        return unchanged(known);
    }
    let withdrawn = known.state() == State::Withdrawn;
    if known.terms.digest() == wanted.terms.digest() && !withdrawn {
        known.place = wanted.place.clone();
        known.terms = wanted.terms.clone();
        let Some(detail) = waits else {
            return unchanged(known);
        };
        hold(&mut known, HoldReason::Approval, &detail);
        return Draft {
            request: known,
            differs: Differs::Edited,
            before: None,
            freed: false,
        };
    }
    let mut holds = approval(waits);
    if !withdrawn {
        // An edit is no approval, and an approval stands with the terms.
        let stays = known.hold_details.get(&HoldReason::Approval).cloned();
        let lost = known
            .standing
            .approved
            .is_some()
            .then(|| "its terms have changed since its approval".to_owned());
        holds.extend(stays.or(lost).map(|detail| (HoldReason::Approval, detail)));
    }
    Draft {
        differs: if withdrawn {
            Differs::New
        } else {
            Differs::Edited
        },
        before: None,
        freed: false,
        request: fresh(
            sources,
            shift.after,
            wanted,
            shift.not_before(),
            Some(known),
            holds,
        ),
    }
}

fn approval(waits: Option<String>) -> BTreeMap<HoldReason, String> {
    waits
        .into_iter()
        .map(|detail| (HoldReason::Approval, detail))
        .collect()
}

/// A request on terms that the ledger does not know yet.
fn fresh(
    sources: &Sources<'_>,
    config: &Config,
    wanted: &Wanted,
    not_before: DateTime<Utc>,
    known: Option<Request>,
    mut holds: BTreeMap<HoldReason, String>,
) -> Request {
    let provider = config
        .providers
        .get(&wanted.key.provider)
        .expect("a manifest's items name its providers");
    let plan = first_plan(wanted, provider, config, not_before, sources.now);
    holds.extend(plan.holds);
    let accepted = Event::Accepted {
        revision: sources.revision.to_owned(),
        terms: wanted.terms.digest(),
        origin: wanted.place.to_string(),
        holds: holds.keys().copied().collect::<BTreeSet<_>>(),
    };
    let standing = match &known {
        Some(known) => Standing {
            phase: match known.standing.phase {
                Phase::Withdrawn | Phase::Retrying => Phase::Waiting,
                phase => phase,
            },
            wanted: true,
            holds: holds.keys().copied().collect(),
            missed: None,
            late: false,
            approved: None,
            ..known.standing.clone()
        },
        None => Standing::first(&accepted).expect("acceptance begins a standing"),
    };
    Request {
        row: known.as_ref().map_or(0, |known| known.row),
        version: 0,
        key: wanted.key.clone(),
        kind: provider.kind(),
        terms: wanted.terms.clone(),
        place: wanted.place.clone(),
        revision: sources.revision.to_owned(),
        standing,
        not_before: plan.not_before,
        due_at: plan.due_at,
        deadline_at: plan.deadline_at,
        wake_at: plan.wake_at,
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

/// What the file's approvals would free. Gives those that would free nothing, in words.
async fn approve(
    sources: &Sources<'_>,
    shift: &Shift<'_>,
    base: Option<&[Draft]>,
    drafts: &mut [Draft],
) -> Result<Vec<String>, LedgerError> {
    let config = shift.after;
    let allows_more = shift.allows_more();
    let mut warnings = Vec::new();
    let here = digests(drafts, &[]);
    for approving in accept::approving(config, sources.now) {
        let members = match sources.ledger {
            Some(ledger) => ledger.members(approving.plan.clone()).await?,
            None => None,
        };
        let members = members.or_else(|| base.and_then(|base| named(&approving.plan, base)));
        let outcome = match members {
            None if here.iter().any(|it| it.digest == approving.plan) => Approved::TooEarly,
            None => Approved::Unknown,
            Some(mut members) => {
                let all = members.len();
                let early =
                    |member: &Member| !member.freed && allows_more.contains(&member.key.provider);
                members.retain(|member| !early(member));
                if members.len() < all && members.iter().all(|member| member.freed) {
                    Approved::TooEarly
                } else {
                    free(&approving, &members, drafts)
                }
            }
        };
        let plan = &approving.plan;
        let until = config.approvals.iter().find(|it| it.plan == *plan);
        warnings.extend(until.and_then(|approval| accept::useless(approval, &outcome)));
    }
    Ok(warnings)
}

/// What a digest names among what waits in other files.
fn named(plan: &str, base: &[Draft]) -> Option<Vec<Member>> {
    let waiting = digests(base, &[])
        .into_iter()
        .find(|it| it.digest == plan)?;
    let members = base
        .iter()
        .map(|draft| &draft.request)
        .filter(|request| request.place.file == waiting.file)
        .filter(|request| request.standing.holds.contains(&waiting.what.hold()))
        .map(|request| Member {
            key: request.key.clone(),
            terms: request.terms.digest(),
            freed: false,
        });
    Some(members.collect())
}

fn free(approving: &Approving, members: &[Member], drafts: &mut [Draft]) -> Approved {
    let freed_before = members.iter().filter(|member| member.freed).count() as u64;
    if approving.past && freed_before == 0 {
        return Approved::Past;
    }
    let most = approving.at_most.unwrap_or(u64::MAX);
    let mut left = most.saturating_sub(freed_before);
    let mut freed = 0;
    let mut waiting: HashMap<Key, &mut Draft> = drafts
        .iter_mut()
        .filter(|draft| draft.request.standing.holds.contains(&HoldReason::Approval))
        .map(|draft| (draft.request.key.clone(), draft))
        .collect();
    for member in members.iter().filter(|member| !member.freed) {
        let Some(draft) = waiting.get_mut(&member.key).filter(|_| left > 0) else {
            continue;
        };
        let request = &mut draft.request;
        if request.terms.digest() == member.terms {
            request.standing.holds.remove(&HoldReason::Approval);
            request.hold_details.remove(&HoldReason::Approval);
            request.standing.approved = Some(approving.plan.clone());
            draft.freed = true;
            left -= 1;
            freed += 1;
        }
    }
    if freed == 0 {
        Approved::Spent
    } else {
        Approved::Freed(freed)
    }
}

/// Reads what is to be read. A reading that fails leaves what was known before.
async fn look(sources: &Sources<'_>, drafts: &mut [Draft], read: &(dyn Fn(usize, usize) + Sync)) {
    use futures_util::StreamExt as _;
    let soon = sources.now + READ_AHEAD;
    let wanted: Vec<usize> = drafts
        .iter()
        .enumerate()
        .filter(|(_, draft)| {
            let request = &draft.request;
            let open = request.standing.plannable() || request.standing.in_doubt();
            open && match sources.reading {
                Reading::Offline => false,
                Reading::All => true,
                // A period's end that nobody has read yet may be soon.
                Reading::Soon => match request.due_at {
                    Some(due_at) => due_at <= soon,
                    None => request.look.is_none() && request.wake_at.is_some(),
                },
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
        let key = drafts[index].request.key.clone();
        let reader = Arc::clone(sources.readers.get(&key.provider)?);
        Some(async move { (index, reader.look(&key.id).await) })
    });
    let looks: Vec<_> = looks.collect();
    let mut looks = futures_util::stream::iter(looks).buffer_unordered(16);
    let mut done = 0;
    while let Some((index, result)) = looks.next().await {
        done += 1;
        read(done, all);
        let draft = &mut drafts[index];
        let request = &mut draft.request;
        match result {
            Ok(look) => {
                draft.before = request.look.replace(look);
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

/// What a reading makes of a request.
#[derive(Default)]
struct Found {
    settles: Option<Settlement>,
    missed: bool,
    note: Option<String>,
}

fn planned(standpoint: &Standpoint, config: &Config, draft: Draft) -> PlannedItem {
    let Draft {
        mut request,
        differs,
        before,
        freed,
    } = draft;
    let unread = request.note.take().filter(|_| request.standing.plannable());
    let found = match (
        config.providers.get(&request.key.provider),
        request.look.clone(),
    ) {
        (Some(provider), Some(look)) if request.standing.plannable() => read(
            provider,
            config,
            &mut request,
            &look,
            before,
            standpoint.now,
        ),
        // Nobody has to read to know that a window has closed.
        (Some(provider), None) if request.standing.plannable() => {
            let closed_at = request.deadline_at.filter(|at| *at < standpoint.now);
            let observes = provider.mode == Mode::Observe;
            let rules = Rules::of(provider, config);
            closed_at.map_or_else(Found::default, |closed_at| {
                miss(
                    &mut request,
                    closed_at,
                    observes,
                    None,
                    rules,
                    standpoint.now,
                )
            })
        }
        _ => Found::default(),
    };
    let mut item = standpoint.item(&request);
    let said = match found.settles {
        Some(Settlement::Failed) => found.note.map(|note| format!("would fail: {note}")),
        _ => found.note,
    };
    item.note = item.note.or(said).or(unread);
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
        State::Held if request.standing.phase == Phase::Ending => Planned::InFlight,
        State::Withdrawn => Planned::Withdraw,
        _ if found.settles.is_some() && !held => Planned::Settle,
        _ if found.missed && !held => Planned::Missed,
        _ if held => Planned::Held,
        _ if due => Planned::Cancel,
        _ => Planned::Scheduled,
    };
    PlannedItem {
        action,
        changed: freed || differs != Differs::No,
        access_ends: access_ends(config, &request),
        ..PlannedItem::untold(item)
    }
}

/// What a reading makes of one of which nothing is in flight.
fn read(
    provider: &ProviderConfig,
    config: &Config,
    request: &mut Request,
    look: &Look,
    before: Option<Look>,
    now: DateTime<Utc>,
) -> Found {
    let rules = Rules::of(provider, config);
    let observes = provider.mode == Mode::Observe;
    // A pass asks first whether a window has closed since it was last looked at.
    let overdue = request.deadline_at.filter(|deadline| *deadline < now);
    if let Some(closed_at) = overdue {
        let known = Request {
            look: before.or_else(|| request.look.clone()),
            ..request.clone()
        };
        if decide::put_off(&known, &look.observed, rules, now).is_none() {
            return miss(request, closed_at, observes, Some(look), rules, now);
        }
    }
    match decide::decide(request, &look.observed, rules, now) {
        Decision::Missed { closed_at } => {
            miss(request, closed_at, observes, Some(look), rules, now)
        }
        decision => {
            if let (Decision::Hold(_), Some(window)) = (
                &decision,
                decide::time_left(request, &look.observed, rules, now),
            ) {
                request.due_at = Some(window.opens_at);
                request.deadline_at = Some(window.closes_at);
            }
            let acts = matches!(decision, Decision::Act(_) | Decision::ActInWindow { .. });
            let mut found = take_up(request, decision);
            if let Observed::Found(there) = &look.observed
                && let Some(successor) = there.successor.as_ref().filter(|_| acts)
            {
                let goes_on = decide::goes_on(request, successor);
                found.note = Some(format!("it has been renewed already: {goes_on}"));
            }
            found
        }
    }
}

/// Where access ends, as far as the provider's documents tell.
fn access_ends(config: &Config, request: &Request) -> Option<&'static str> {
    let provider = config.providers.get(&request.key.provider)?;
    let at_period_end = request.terms.when.value == When::EndOfPeriod;
    match Way::of(request.kind, provider.renewal_off) {
        way if at_period_end && way.native() => Some("with the period"),
        _ if request.kind == ProviderKind::Kajabi => Some("with the cancel"),
        _ => None,
    }
}

/// Brings a request to what its reading says of it.
fn take_up(request: &mut Request, decision: Decision) -> Found {
    let mut found = Found::default();
    match decision {
        Decision::Act(Action::ConfirmCancel) => {
            let note = "found deactivated: one confirming cancel would be sent";
            found.note = Some(note.to_owned());
        }
        Decision::Act(_) => {}
        Decision::ActInWindow {
            due_at,
            deadline_at,
            ..
        } => {
            request.due_at = Some(due_at);
            request.deadline_at = deadline_at;
            if deadline_at.is_none() {
                found.note = Some(
                    "its window was missed; late is what `when_missed: now` asks for".to_owned(),
                );
            }
        }
        Decision::Wait(wait) => {
            request.due_at = wait.due_at;
            request.deadline_at = wait.deadline_at;
            if let Some((reason, detail)) = wait.hold {
                hold(request, reason, &detail);
            }
        }
        // Told by `miss`, before this.
        Decision::Missed { .. } => {}
        Decision::Ending { at } => {
            found.note = Some(format!(
                "it ends on {}, by our doing",
                at.format("%Y-%m-%d")
            ));
        }
        Decision::Settle { as_, note } => {
            found.settles = Some(as_);
            found.note = Some(note);
        }
        Decision::Hold(holds) => {
            for (reason, detail) in holds {
                hold(request, reason, &detail);
            }
        }
    }
    found
}

/// Its window has gone by, as a pass would find.
fn miss(
    request: &mut Request,
    closed_at: DateTime<Utc>,
    observes: bool,
    look: Option<&Look>,
    rules: Rules<'_>,
    now: DateTime<Utc>,
) -> Found {
    let event = if observes {
        Event::WindowPassed { closed_at }
    } else {
        Event::WindowMissed { closed_at }
    };
    if let Ok(after) = request.standing.after(&event) {
        request.standing = after;
    }
    request.due_at = None;
    request.deadline_at = None;
    let when_missed = request.terms.when_missed.value;
    let what = match when_missed {
        WhenMissed::Ask if !observes => "it would be settled as missed, and a person is asked",
        WhenMissed::Now if !observes => "it is cancelled late, at the next tick",
        WhenMissed::Ask | WhenMissed::Now | WhenMissed::NextPeriod => {
            "it waits for the next period"
        }
    };
    let mut found = Found::default();
    if when_missed == WhenMissed::Ask && !observes {
        found.missed = true;
    } else {
        let next = match look {
            Some(look) => decide::decide(request, &look.observed, rules, now),
            None => decide::unread(request, rules, now),
        };
        // Only a window that has gone by twice could ask for this again.
        if !matches!(next, Decision::Missed { .. }) {
            found = take_up(request, next);
        }
    }
    let closed = closed_at.format("%Y-%m-%d %H:%M UTC");
    let missed = format!("its window closed at {closed}; {what}");
    if found.settles.is_none() {
        found.note = Some(missed);
    }
    found
}

/// When each item acts, and whether its deadline is met.
fn foretell(standpoint: &Standpoint, config: &Config, items: &mut [PlannedItem]) {
    let ids: Vec<(usize, SubscriptionId, BTreeMap<String, String>)> = items
        .iter()
        .enumerate()
        .filter(|(_, item)| item.waits_for_its_time())
        .map(|(index, item)| {
            let id = SubscriptionId::stored(&item.item.id);
            (index, id, item.item.labels.clone())
        })
        .collect();
    let mut work = Vec::with_capacity(ids.len());
    let mut places = Vec::with_capacity(ids.len());
    for (index, id, labels) in &ids {
        let item = &items[*index].item;
        let (Some(due_at), Some(provider)) = (item.due_at, config.providers.get(&item.provider))
        else {
            continue;
        };
        let subject = Subject {
            provider: &item.provider,
            kind: item.kind,
            id,
            labels,
        };
        let own = config
            .approvals
            .iter()
            .find(|it| item.approved.as_ref() == Some(&it.plan))
            .and_then(|it| Some((it.plan.as_str(), it.per_day?)));
        work.push(Work {
            provider: provider.name.clone(),
            order: *index as i64,
            due_at,
            deadline_at: item.deadline_at,
            freezes: Hours::of(&provider.schedule, &config.freezes, &subject).freezes,
            own_limit: own,
        });
        places.push(*index);
    }
    let horizon = forecast::horizon(&work, standpoint.now);
    let foretold = forecast(config, &work, &standpoint.used, standpoint.now, horizon);
    let slacks: Vec<Option<f64>> = work
        .iter()
        .zip(&foretold)
        .map(|(work, foretold)| slack(work, foretold, horizon))
        .collect();
    for ((index, foretold), slack) in places.into_iter().zip(foretold).zip(slacks) {
        let item = &mut items[index];
        item.acts_at = foretold.at;
        item.obstacle = foretold.obstacle.map(|obstacle| obstacle.words());
        item.slack_seconds = slack;
        let cut_off = item.access_ends != Some("with the period");
        item.lost_seconds = item
            .item
            .period_end
            .as_ref()
            .zip(item.acts_at)
            .map(|(end, at)| (end.at - at).num_seconds())
            .filter(|lost| *lost > 0 && cut_off);
    }
}

/// What a reading found holds only until the next one says otherwise.
fn look_again(request: &mut Request) {
    request.standing.holds.retain(|reason| !reason.from_look());
    request.hold_details.retain(|reason, _| !reason.from_look());
}

/// Open requests that the files do not ask for any more.
async fn gone(sources: &Sources<'_>, verdict: &Verdict) -> Result<Vec<Request>, LedgerError> {
    let wanted: HashSet<&Key> = sources.manifest.wanted.iter().map(|it| &it.key).collect();
    let mut gone = Vec::new();
    let mut vanishes = |mut request: Request| {
        if verdict.removal.contains(&request.key.provider) {
            let detail = "its line would vanish together with many others";
            hold(&mut request, HoldReason::Removal, detail);
        }
        gone.push(request);
    };
    if let Some(against) = sources.against {
        for other in &against.wanted {
            if wanted.contains(&other.key) {
                continue;
            }
            let known = match sources.ledger {
                Some(ledger) => ledger.find(other.key.clone()).await?,
                None => None,
            };
            if known
                .as_ref()
                .is_none_or(|known| known.standing.plannable())
            {
                let config = &against.config;
                vanishes(known.unwrap_or_else(|| {
                    fresh(sources, config, other, sources.now, None, BTreeMap::new())
                }));
            }
        }
        return Ok(gone);
    }
    let Some(ledger) = sources.ledger else {
        return Ok(gone);
    };
    let config = &sources.manifest.config;
    let renamed: HashSet<Key> = wanted.iter().map(|key| remembered(config, key)).collect();
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
        for request in rows {
            after = request.row;
            let stays = wanted.contains(&request.key) || renamed.contains(&request.key);
            if !stays && request.standing.plannable() {
                vanishes(request);
            }
        }
        if last {
            return Ok(gone);
        }
    }
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

/// One digest per file over what waits for an approval there.
fn digests(drafts: &[Draft], gone: &[Request]) -> Vec<Waiting> {
    let mut waiting: BTreeMap<(What, &str), Gathering> = BTreeMap::new();
    let all = drafts.iter().map(|draft| &draft.request).chain(gone);
    for request in all {
        for what in What::ALL {
            if request.standing.holds.contains(&what.hold()) {
                let group = waiting.entry((what, &request.place.file)).or_default();
                group.add(&request.key, &request.terms.digest());
            }
        }
    }
    waiting
        .into_iter()
        .map(|((what, file), gathering)| Waiting {
            file: file.to_owned(),
            what,
            digest: gathering.digest(what),
            items: gathering.len(),
            accepted: false,
        })
        .collect()
}

fn effort(config: &Config, items: &[PlannedItem]) -> Vec<Effort> {
    config
        .providers
        .values()
        .filter_map(|provider| {
            let of_it: Vec<&PlannedItem> = items
                .iter()
                .filter(|item| item.item.provider == provider.name)
                .filter(|item| item.waits_for_its_time())
                .collect();
            let count = of_it.len() as u64;
            let requests = count * u64::from(provider.kind().capabilities().requests_per_item());
            let takes = cost_of_one(provider).as_seconds_f64() * count as f64;
            let all_act = of_it.iter().all(|item| item.acts_at.is_some());
            (count > 0).then(|| Effort {
                provider: provider.name.clone(),
                items: count,
                requests,
                rate: provider.rate_limit.to_string(),
                takes_seconds: takes.ceil() as u64,
                unread: of_it
                    .iter()
                    .filter(|it| it.item.due_at.is_none() && it.item.observed.is_none())
                    .count() as u64,
                done_at: of_it
                    .iter()
                    .filter_map(|item| item.acts_at)
                    .max()
                    .filter(|_| all_act),
            })
        })
        .collect()
}

/// The days from now until an instant, in the file's zone, each with what acts on it.
fn calendar(
    config: &Config,
    items: &[PlannedItem],
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Vec<Day> {
    let zone = config.reconcile.timezone;
    let day_of = |at: DateTime<Utc>| at.with_timezone(&zone).date_naive();
    let mut days: BTreeMap<NaiveDate, Day> = BTreeMap::new();
    let mut day = day_of(now);
    while day <= day_of(until) {
        let begins_at = schedule::day_begins(day, zone);
        let Some(after) = day.succ_opt() else { break };
        let ends_at = schedule::day_begins(after, zone);
        let entry = Day {
            day,
            begins_at,
            acts: Vec::new(),
            freezes: config
                .freezes
                .iter()
                .filter(|freeze| covers(freeze, begins_at, ends_at))
                .map(|freeze| freeze.name.clone())
                .collect(),
            periods_end: 0,
        };
        days.insert(day, entry);
        day = after;
    }
    for planned in items {
        let item = &planned.item;
        if let Some(at) = planned.acts_at
            && let Some(day) = days.get_mut(&day_of(at))
        {
            day.acts.push(DayAct {
                at,
                provider: item.provider.clone(),
                id: item.id.clone(),
                again: item.again,
            });
        }
        let open = !matches!(planned.action, Planned::Finished | Planned::Withdraw);
        if let Some(end) = item.period_end.as_ref().filter(|_| open)
            && let Some(day) = days.get_mut(&day_of(end.at))
        {
            day.periods_end += 1;
        }
    }
    let mut days: Vec<Day> = days.into_values().collect();
    for day in &mut days {
        day.acts
            .sort_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
    }
    days
}

/// Whether a freeze covers some of a span.
fn covers(freeze: &Freeze, from: DateTime<Utc>, until: DateTime<Utc>) -> bool {
    freeze.holds_until(from).is_some() || freeze.next_begin(from).is_some_and(|at| at < until)
}
