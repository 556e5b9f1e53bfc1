//! What is allowed: every gate by itself and in its order, and the permit.

use std::time::Duration;

use lapsed::config::{Approval, Config, Mode};
use lapsed::model::act::Action;
use lapsed::model::hold::HoldReason;
use lapsed::model::ids::ProviderName;
use lapsed::model::memory::{Assumed, Cap, CapOf, Pause, Pauses, ProviderMemory, Stop, Used};
use lapsed::model::observed::{Life, Look};
use lapsed::model::provider::ProviderKind;
use lapsed::model::request::Request;
use lapsed::plan::guard::{Gate, Opening, Permit, Situation, caps, own_limit, permit};

use super::kit::{DAY, HOUR, MINUTE, config, freeze, glob, name, of, of_mut};
use super::{at, found, request};

/// What a situation is made of; the tests' time 0 is now.
struct Scene {
    config: Config,
    doubt: Option<&'static str>,
    pauses: Pauses,
    memory: ProviderMemory,
    used: Used,
}

impl Scene {
    fn new() -> Self {
        Self {
            config: config(ProviderKind::Revere, "0 * * * *"),
            doubt: None,
            pauses: Pauses::default(),
            memory: ProviderMemory::default(),
            used: Used::default(),
        }
    }

    fn with(edit: impl FnOnce(&mut Self)) -> Self {
        let mut scene = Self::new();
        edit(&mut scene);
        scene
    }

    fn situation(&self) -> Situation<'_> {
        Situation {
            now: at(0),
            ledger_doubt: self.doubt,
            pauses: &self.pauses,
            memory: &self.memory,
            provider: of(&self.config),
            limits: &self.config.limits,
            freezes: &self.config.freezes,
            approvals: &self.config.approvals,
            used: &self.used,
        }
    }

    fn reasons(&self) -> Vec<HoldReason> {
        let gates = self.situation().gates();
        gates.iter().map(|gate| gate.reason).collect()
    }

    fn only_gate(&self) -> Gate {
        let mut gates = self.situation().gates();
        assert_eq!(gates.len(), 1, "{gates:?}");
        gates.remove(0)
    }

    fn permit(&self, request: &Request) -> Result<Permit, Gate> {
        self.permit_on(request, look(0))
    }

    fn permit_on(&self, request: &Request, look: Look) -> Result<Permit, Gate> {
        let situation = self.situation();
        permit(&situation, request, Action::TurnOffRenewal, look, ASSUMED)
    }

    fn refused(&self, request: &Request) -> HoldReason {
        self.permit(request).unwrap_err().reason
    }
}

const ASSUMED: Assumed = Assumed {
    revision: 7,
    pause_epoch: 3,
    version: 1,
};

fn look(seconds: i64) -> Look {
    Look {
        observed: found(Life::Active),
        at: at(seconds),
        server_date: None,
    }
}

fn stop(reason: HoldReason, of_writes: bool, trial_at: i64) -> Stop {
    Stop {
        reason,
        why: "it does not work".to_owned(),
        since: at(-DAY),
        trial_at: at(trial_at),
        trials: 0,
        of_writes,
    }
}

fn pause(by: &str) -> Pause {
    Pause {
        since: at(-MINUTE),
        by: by.to_owned(),
        reason: "an incident".to_owned(),
    }
}

fn other() -> ProviderName {
    ProviderName::parse("q").unwrap()
}

fn approval(plan: &str, per_day: Option<u64>) -> Approval {
    Approval {
        plan: plan.to_owned(),
        by: "dana".to_owned(),
        until: at(DAY).date_naive(),
        at_most: None,
        per_day,
    }
}

fn of_revere() -> Request {
    request(ProviderKind::Revere)
}

fn approved_with(plan: &str) -> Request {
    let mut request = of_revere();
    request.standing.approved = Some(plan.to_owned());
    request
}

#[test]
fn where_nothing_holds_there_is_no_gate() {
    let scene = Scene::new();
    assert_eq!(scene.reasons(), []);
    assert_eq!(scene.situation().opening(), Opening::Open);
    assert!(scene.situation().may_read());
}

#[test]
fn each_gate_says_why_and_when_it_opens() {
    let until = Some(at(HOUR));
    for (scene, reason, words, opens_at) in [
        (
            Scene::with(|it| it.doubt = Some("a copy of yesterday")),
            HoldReason::LedgerDoubt,
            "a copy of yesterday",
            None,
        ),
        (
            Scene::with(|it| {
                it.memory.account = Some("acct_1".to_owned());
                it.memory.other_account = Some("acct_2".to_owned());
            }),
            HoldReason::AccountChanged,
            "belong to acct_2, known is acct_1",
            None,
        ),
        (
            Scene::with(|it| it.memory.other_account = Some("acct_2".to_owned())),
            HoldReason::AccountChanged,
            "known is another",
            None,
        ),
        (
            Scene::with(|it| it.memory.stop = Some(stop(HoldReason::ClockSkew, false, HOUR))),
            HoldReason::ClockSkew,
            "it does not work",
            until,
        ),
        (
            Scene::with(|it| it.memory.resume_at = until),
            HoldReason::ProviderStopped,
            "asked for a pause until 2027-01-15T09:00:00Z",
            until,
        ),
        (
            Scene::with(|it| it.pauses.all = Some(pause("dana"))),
            HoldReason::Paused,
            "paused by dana: an incident",
            None,
        ),
        (
            Scene::with(|it| it.config.freezes = vec![freeze("sale", 0, HOUR)]),
            HoldReason::Frozen,
            "frozen by `sale` until 2027-01-15T09:00:00Z",
            until,
        ),
        (
            Scene::with(|it| it.used.common_hour = 100),
            HoldReason::Limit,
            "100 of 100 writes in this hour",
            None,
        ),
        (
            Scene::with(|it| it.used.common_day = 500),
            HoldReason::Limit,
            "500 of 500 writes in these 24 h",
            None,
        ),
        (
            Scene::with(|it| of_mut(&mut it.config).mode = Mode::Observe),
            HoldReason::ObserveMode,
            "it would be cancelled now",
            None,
        ),
    ] {
        let gate = scene.only_gate();
        assert_eq!((gate.reason, gate.opens_at), (reason, opens_at));
        assert!(gate.detail.contains(words), "{}", gate.detail);
    }
}

#[test]
fn gates_that_are_closed_at_once_stand_in_the_order_of_the_guards() {
    let scene = Scene::with(|it| {
        it.doubt = Some("new");
        it.memory.other_account = Some("acct_2".to_owned());
        it.memory.stop = Some(stop(HoldReason::ClockSkew, false, HOUR));
        it.memory.resume_at = Some(at(HOUR));
        it.pauses.all = Some(pause("dana"));
        it.config.freezes = vec![freeze("sale", 0, HOUR)];
        it.used.common_hour = 100;
        of_mut(&mut it.config).mode = Mode::Observe;
    });
    let expected = [
        HoldReason::LedgerDoubt,
        HoldReason::AccountChanged,
        HoldReason::ProviderStopped,
        HoldReason::ClockSkew,
        HoldReason::Paused,
        HoldReason::Frozen,
        HoldReason::Limit,
        HoldReason::ObserveMode,
    ];
    assert_eq!(scene.reasons(), expected);
    let Opening::Closed(gate) = scene.situation().opening() else {
        panic!("not closed");
    };
    assert_eq!(gate.reason, HoldReason::LedgerDoubt);
    assert_eq!(scene.refused(&of_revere()), HoldReason::LedgerDoubt);
}

#[test]
fn observe_mode_looks_and_writes_nothing() {
    let scene = Scene::with(|it| of_mut(&mut it.config).mode = Mode::Observe);
    assert_eq!(scene.situation().opening(), Opening::Open);
    assert_eq!(scene.refused(&of_revere()), HoldReason::ObserveMode);
}

#[test]
fn a_stopped_provider_is_tried_once_its_trial_is_due_and_nothing_else_holds() {
    let scene = |trial_at| {
        Scene::with(|it| {
            it.memory.stop = Some(stop(HoldReason::ProviderStopped, true, trial_at));
        })
    };
    let early = scene(1);
    assert!(matches!(early.situation().opening(), Opening::Closed(_)));
    assert_eq!(early.refused(&of_revere()), HoldReason::ProviderStopped);
    let mut due = scene(0);
    assert_eq!(due.situation().opening(), Opening::Trial);
    assert!(due.permit(&of_revere()).is_ok());
    // A pause that the provider asked for goes by the same name and is no trial.
    due.memory.resume_at = Some(at(MINUTE));
    let Opening::Closed(gate) = due.situation().opening() else {
        panic!("not closed");
    };
    assert!(gate.detail.contains("asked for a pause"));
    assert_eq!(due.refused(&of_revere()), HoldReason::ProviderStopped);
    due.memory.resume_at = None;
    due.pauses.all = Some(pause("dana"));
    let Opening::Closed(gate) = due.situation().opening() else {
        panic!("not closed");
    };
    assert_eq!(gate.reason, HoldReason::Paused);
    assert_eq!(due.refused(&of_revere()), HoldReason::Paused);
}

#[test]
fn another_gate_of_the_same_words_is_no_trial() {
    // Whatever people write as their reason: only the stop itself is tried.
    let scene = Scene::with(|it| {
        it.doubt = Some("it does not work");
        it.memory.stop = Some(stop(HoldReason::ProviderStopped, true, 0));
    });
    let Opening::Closed(gate) = scene.situation().opening() else {
        panic!("not closed");
    };
    assert_eq!(gate.reason, HoldReason::LedgerDoubt);
    assert_eq!(scene.refused(&of_revere()), HoldReason::LedgerDoubt);
}

#[test]
fn what_was_sent_is_read_back_unless_the_provider_cannot_be_read() {
    let may_read = |edit: &dyn Fn(&mut ProviderMemory)| {
        Scene::with(|it| edit(&mut it.memory))
            .situation()
            .may_read()
    };
    let stopped = |reason, of_writes, trial_at| {
        may_read(&|it| it.stop = Some(stop(reason, of_writes, trial_at)))
    };
    assert!(!stopped(HoldReason::Credentials, false, 1));
    assert!(stopped(HoldReason::Credentials, false, 0));
    assert!(stopped(HoldReason::Credentials, true, 1));
    assert!(stopped(HoldReason::ProviderStopped, false, 1));
    assert!(!may_read(&|it| it.resume_at = Some(at(1))));
    assert!(may_read(&|it| it.resume_at = Some(at(0))));
    assert!(!may_read(&|it| it.other_account = Some("a".to_owned())));
}

#[test]
fn a_pause_of_one_provider_holds_that_one() {
    let paused = |named: ProviderName| {
        let one = [(named, pause("dana"))];
        Scene::with(|it| it.pauses.providers = one.into()).reasons()
    };
    assert_eq!(paused(name()), [HoldReason::Paused]);
    assert_eq!(paused(other()), []);
}

#[test]
fn of_the_freezes_that_cover_a_provider_the_longest_is_named() {
    let scene = |freezes| Scene::with(|it| it.config.freezes = freezes);
    let short = || freeze("short", -HOUR, HOUR);
    let long = || freeze("long", -HOUR, DAY);
    for freezes in [vec![short(), long()], vec![long(), short()]] {
        let scene = scene(freezes);
        assert_eq!(scene.only_gate().opens_at, Some(at(DAY)));
        let frozen = scene.situation().frozen(&of_revere()).unwrap();
        assert_eq!(frozen, scene.only_gate());
    }
    let over = scene(vec![freeze("over", -DAY, 0), freeze("ahead", 1, DAY)]);
    assert_eq!(over.reasons(), []);
    assert_eq!(over.situation().frozen(&of_revere()), None);
}

#[test]
fn a_freeze_of_some_items_holds_those_and_not_the_provider() {
    let mut some = freeze("some", -HOUR, HOUR);
    some.matcher.labels = [("team".to_owned(), vec![glob("support")])].into();
    let mut elsewhere = freeze("elsewhere", -HOUR, HOUR);
    elsewhere.matcher.provider = vec![glob("q")];
    let scene = Scene::with(|it| it.config.freezes = vec![some, elsewhere]);
    assert_eq!(scene.reasons(), []);
    let mut request = of_revere();
    assert_eq!(scene.situation().frozen(&request), None);
    assert!(scene.permit(&request).is_ok());
    request.terms.labels = [("team".to_owned(), "support".to_owned())].into();
    let gate = scene.situation().frozen(&request).unwrap();
    assert_eq!(gate.detail, "frozen by `some` until 2027-01-15T09:00:00Z");
    assert_eq!(scene.refused(&request), HoldReason::Frozen);
}

#[test]
fn a_providers_own_limits_hold_it_beside_the_common_ones() {
    let scene = |hour: u64, day: u64| {
        Scene::with(|it| {
            let limits = &mut of_mut(&mut it.config).limits;
            limits.per_hour = Some(5);
            limits.per_day = Some(20);
            it.used.hour = [(name(), hour), (other(), 99)].into();
            it.used.day = [(name(), day), (other(), 99)].into();
        })
    };
    assert_eq!(scene(4, 19).reasons(), []);
    let words = |scene: &Scene| scene.only_gate().detail;
    assert_eq!(
        words(&scene(5, 19)),
        "5 of 5 writes in this hour at this provider"
    );
    assert_eq!(
        words(&scene(4, 20)),
        "20 of 20 writes in these 24 h at this provider"
    );
    let limited = scene(4, 20).situation().limited(&of_revere()).unwrap();
    assert_eq!(limited, scene(4, 20).only_gate());
}

#[test]
fn the_common_limits_hold_at_their_number_and_not_below() {
    for (hour, day, held) in [(99, 499, false), (100, 499, true), (99, 500, true)] {
        let scene = Scene::with(|it| {
            it.used.common_hour = hour;
            it.used.common_day = day;
        });
        assert_eq!(scene.situation().limited(&of_revere()).is_some(), held);
        assert_eq!(scene.permit(&of_revere()).is_err(), held);
    }
}

#[test]
fn what_was_approved_with_a_limit_of_its_own_has_that_and_not_the_common_one() {
    let scene = |used: u64| {
        Scene::with(|it| {
            it.config.approvals = vec![approval("none", None), approval("own", Some(10))];
            it.used.common_hour = 100;
            it.used.plans = [("own".to_owned(), used), ("none".to_owned(), 99)].into();
        })
    };
    // The common limit does not close the provider while something may have its own.
    assert_eq!(scene(9).reasons(), []);
    let free = approved_with("own");
    assert!(scene(9).permit(&free).is_ok());
    let gate = scene(10).permit(&free).unwrap_err();
    assert_eq!(gate.reason, HoldReason::Limit);
    assert_eq!(
        gate.detail,
        "10 of 10 writes in these 24 h of what was approved with it"
    );
    for request in [of_revere(), approved_with("none"), approved_with("gone")] {
        assert_eq!(scene(0).refused(&request), HoldReason::Limit);
    }
    // Where no approval has one, the common limit closes the provider.
    let mut without = scene(0);
    without.config.approvals.pop();
    assert_eq!(without.reasons(), [HoldReason::Limit]);
    // A limit of the provider's holds in any case.
    let mut of_provider = scene(0);
    of_mut(&mut of_provider.config).limits.per_hour = Some(0);
    assert_eq!(of_provider.refused(&free), HoldReason::Limit);
}

#[test]
fn a_limit_of_its_own_is_that_of_the_plan_it_was_approved_with() {
    let approvals = [
        approval("a", Some(1)),
        approval("b", Some(2)),
        approval("c", None),
    ];
    assert_eq!(own_limit(&approved_with("b"), &approvals), Some(("b", 2)));
    for request in [approved_with("c"), approved_with("d"), of_revere()] {
        assert_eq!(own_limit(&request, &approvals), None);
    }
}

#[test]
fn the_intents_transaction_counts_every_limit_that_holds_an_item() {
    let (hour, day) = (Duration::from_secs(3_600), Duration::from_secs(86_400));
    let cap = |of, over, most| Cap { of, over, most };
    let common = [cap(CapOf::All, hour, 100), cap(CapOf::All, day, 500)];
    let mut config = config(ProviderKind::Revere, "0 * * * *");
    assert_eq!(caps(&config.limits, of(&config), None), common);
    of_mut(&mut config).limits.per_hour = Some(5);
    of_mut(&mut config).limits.per_day = Some(20);
    let here = [
        cap(CapOf::Provider(name()), hour, 5),
        cap(CapOf::Provider(name()), day, 20),
    ];
    let all = [common, here.clone()].concat();
    assert_eq!(caps(&config.limits, of(&config), None), all);
    let [hourly, daily] = here;
    let plan = cap(CapOf::Plan("own".to_owned()), day, 10);
    assert_eq!(
        caps(&config.limits, of(&config), Some(("own", 10))),
        [plan, hourly, daily]
    );
}

#[test]
fn a_permit_is_for_what_was_looked_at_and_rests_on_what_was_assumed() {
    let permit = Scene::new().permit(&of_revere()).unwrap();
    assert_eq!(
        permit.into_parts(),
        (1, Action::TurnOffRenewal, look(0), ASSUMED)
    );
}

#[test]
fn what_a_person_must_free_is_not_permitted_and_what_a_look_found_is_looked_at_anew() {
    let scene = Scene::new();
    for (reason, permitted) in [
        (HoldReason::Approval, false),
        (HoldReason::Removal, false),
        (HoldReason::ConfigStale, false),
        (HoldReason::Expectation, true),
    ] {
        let mut request = of_revere();
        request.standing.holds.insert(reason);
        match scene.permit(&request) {
            Ok(_) => assert!(permitted, "{reason}"),
            Err(gate) => {
                assert_eq!((gate.reason, permitted), (reason, false));
                assert_eq!(gate.detail, reason.cure());
            }
        }
    }
}

#[test]
fn nothing_is_permitted_before_it_is_due() {
    for (due_at, permitted) in [
        (None, false),
        (Some(at(1)), false),
        (Some(at(0)), true),
        (Some(at(-1)), true),
    ] {
        let mut request = of_revere();
        request.due_at = due_at;
        assert_eq!(Scene::new().permit(&request).is_ok(), permitted);
    }
}

#[test]
fn a_reading_older_than_a_minute_is_not_acted_on() {
    for (seconds, permitted) in [(0, true), (-60, true), (-61, false)] {
        let permit = Scene::new().permit_on(&of_revere(), look(seconds));
        assert_eq!(permit.is_ok(), permitted, "{seconds}");
    }
}
