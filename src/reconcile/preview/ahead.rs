//! The days ahead: when each item acts, what it takes, and the calendar of both.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};

use crate::config::{Config, Freeze, Subject};
use crate::model::ids::SubscriptionId;
use crate::model::labels::Labels;
use crate::plan::forecast::{self, Work, cost_of_one, forecast, slack};
use crate::plan::window::Hours;
use crate::schedule;

use super::super::report::Standpoint;
use super::{Day, DayAct, Effort, Planned, PlannedItem};

/// When each item acts, and whether its deadline is met.
pub(super) fn foretell(standpoint: &Standpoint, config: &Config, items: &mut [PlannedItem]) {
    let ids: Vec<(usize, SubscriptionId, Labels)> = items
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

pub(super) fn effort(config: &Config, items: &[PlannedItem]) -> Vec<Effort> {
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
pub(super) fn calendar(
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
