//! What acceptance would make of each item of the files, and whether it would wait.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};

use crate::config::Config;
use crate::desired::Manifest;
use crate::ledger::{LedgerError, Member, Page};
use crate::model::approval::{Approved, Approving, Gathering, Waiting, What};
use crate::model::hold::HoldReason;
use crate::model::ids::{Key, ProviderName};
use crate::model::memory::{Comparison, Verdict};
use crate::model::observed::Look;
use crate::model::request::Request;
use crate::model::standing::{Event, Phase, Standing, State};
use crate::model::terms::Wanted;
use crate::plan::due::first_plan;
use crate::plan::judge::judge;

use super::super::accept::{self, Compared, Shift};
use super::Sources;

/// Requests that are looked for at a time.
const PAGE: u32 = 1_000;

/// One item on its way into the plan.
pub(super) struct Draft {
    pub(super) request: Request,
    pub(super) differs: Differs,
    /// What was known of it before it was read for the plan.
    pub(super) before: Option<Look>,
    /// Whether the file's approvals free it.
    pub(super) freed: bool,
}

/// Other files as if they had been accepted. What waits there is not known without a ledger: those
/// do that the approvals of these files name, and no others.
pub(super) fn as_accepted(sources: &Sources<'_>, against: &Manifest) -> Vec<Draft> {
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
pub(super) fn difference(
    sources: &Sources<'_>,
    against: &Manifest,
    drafts: Vec<Draft>,
) -> Vec<Draft> {
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
pub(super) enum Differs {
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
pub(super) async fn known(
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
pub(super) async fn verdict(
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
        (_, Some(against)) if !accepted => (open_of(against), BTreeMap::new()),
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
pub(super) fn draft(
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
pub(super) async fn approve(
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

pub(super) fn hold(request: &mut Request, reason: HoldReason, detail: &str) {
    request.standing.holds.insert(reason);
    request.hold_details.insert(reason, detail.to_owned());
}

/// Open requests that the files do not ask for any more.
pub(super) async fn gone(
    sources: &Sources<'_>,
    verdict: &Verdict,
) -> Result<Vec<Request>, LedgerError> {
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

/// One digest per file over what waits for an approval there.
pub(super) fn digests(drafts: &[Draft], gone: &[Request]) -> Vec<Waiting> {
    let mut waiting: BTreeMap<(What, &str), Gathering> = BTreeMap::new();
    let all = drafts.iter().map(|draft| &draft.request).chain(gone);
    for request in all {
        for what in What::ALL {
            if request.standing.holds.contains(&what.hold()) {
                let place = (what, request.place.file.as_str());
                let group = waiting.entry(place).or_default();
                group.add(&request.key, &request.terms.digest(), request.due_at);
            }
        }
    }
    waiting
        .into_iter()
        .map(|((what, file), group)| group.waiting(file, what, false))
        .collect()
}
