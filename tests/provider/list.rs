//! Lists, page by page: what is asked, what is read of it, and where it ends.

use std::collections::BTreeMap;

use lapsed::model::observed::{Billing, Life};
use lapsed::model::provider::ExpectField;
use lapsed::provider::LookError;
use lapsed::provider::list::{ListPage, Scope, Walk};
use serde_json::{Value, json};

use super::server::{Says, Server};
use super::{Account, Bench, REVERE_KEY, kajabi, lotus, revere};

const REVERE: &str = "GET /api/v1/groups/group-1/revere_pay/linked-2/recurring/subscription";
const CUSTOMERS: &str = "GET /api/customers/";

/// [`super::NOW`], as a server's `Date`.
const DATE: &str = "Tue, 24 Nov 2026 12:00:00 GMT";

/// Every page, up to the end or what is in its way.
async fn pages(bench: &Bench, scope: Scope) -> Result<Vec<ListPage>, LookError> {
    let mut walk = Walk::new(&*bench.reader, scope);
    let mut pages = Vec::new();
    while let Some(page) = walk.next().await? {
        pages.push(page);
    }
    Ok(pages)
}

fn ids(pages: &[ListPage]) -> Vec<Vec<&str>> {
    pages
        .iter()
        .map(|page| page.entries.iter().map(|it| it.id.as_str()).collect())
        .collect()
}

fn is_repeated(result: &Result<Vec<ListPage>, LookError>) -> bool {
    matches!(result, Err(LookError::Unavailable { why }) if why.contains("same page a second time"))
}

fn purchase(id: &str, payment_type: &str) -> Value {
    let mut body = kajabi::purchase(&json!(payment_type), &json!(null));
    body["data"]["id"] = json!(id);
    body["data"].take()
}

fn kajabi_page(ids: &[&str]) -> Says {
    let data: Vec<Value> = ids.iter().map(|id| purchase(id, "subscription")).collect();
    Says::json(200, &json!({ "data": data, "links": { "self": "…" } }))
}

fn revere_page(ids: &[&str]) -> Says {
    let items: Vec<Value> = ids
        .iter()
        .map(|id| {
            let mut item = revere::subscription(&json!("active"));
            item["id"] = json!(id);
            item
        })
        .collect();
    Says::json(200, &json!({ "data": { "items": items } }))
}

fn sub(number: u32) -> String {
    format!("sub_65aa000000004000800000000000{number:04}")
}

fn record(number: u32, end: &str, auto_renew: bool) -> Value {
    lotus::record(&sub(number), "2026-11-01T00:00:00Z", end, auto_renew)
}

fn customers(list: &Value) -> Says {
    Says::json(200, list).with("date", DATE)
}

#[tokio::test]
async fn kajabis_purchases_are_asked_for_page_by_page_until_one_is_empty() {
    let answers = [
        kajabi_page(&["1", "2"]),
        kajabi_page(&["3"]),
        kajabi_page(&[]),
    ];
    let bench = Bench::scripted(Account::KajabiToken, answers).await;
    let pages = pages(&bench, Scope::Living).await.unwrap();
    assert_eq!(ids(&pages), [vec!["1", "2"], vec!["3"], vec![]]);
    let facts = &pages[0].entries[0].subscription.facts;
    assert_eq!(
        *facts,
        BTreeMap::from([
            (ExpectField::Customer, "501".to_owned()),
            (ExpectField::Offer, "77".to_owned()),
        ])
    );
    let line = |number: u32| {
        format!(
            "GET /v1/purchases?page%5Bnumber%5D={number}&page%5Bsize%5D=100&sort=created_at&fields%5Bpurchases%5D=deactivated_at%2Cpayment_type%2Ccustomer%2Coffer"
        )
    };
    assert_eq!(bench.server.lines(), [line(1), line(2), line(3)]);
    assert_eq!(bench.requests(), [("list", "2xx"); 3]);
}

#[tokio::test]
async fn kajabis_list_ends_where_its_links_say_so() {
    let last = json!({ "data": [purchase("1", "subscription")], "links": { "next": null } });
    let bench = Bench::scripted(Account::KajabiToken, [Says::json(200, &last)]).await;
    assert_eq!(
        ids(&pages(&bench, Scope::Living).await.unwrap()),
        [vec!["1"]]
    );
    assert_eq!(bench.server.lines().len(), 1);
}

#[tokio::test]
async fn an_offer_is_asked_for_once_however_many_purchases_have_it() {
    let data: Vec<Value> = ["1", "2", "3"].map(|id| purchase(id, "other")).into();
    let list = json!({ "data": data, "links": { "next": null } });
    let offer =
        json!({ "data": { "id": "77", "type": "offers", "attributes": { "one_time": true } } });
    let answers = [Says::json(200, &list), Says::json(200, &offer)];
    let bench = Bench::scripted(Account::KajabiToken, answers).await;
    let pages = pages(&bench, Scope::Living).await.unwrap();
    let kinds: Vec<Billing> = pages[0]
        .entries
        .iter()
        .map(|it| it.subscription.billing)
        .collect();
    assert_eq!(kinds, [Billing::OneTime; 3]);
    assert_eq!(bench.server.lines()[1], "GET /v1/offers/77");
}

#[tokio::test]
async fn reveres_pages_go_on_after_what_came_and_end_where_nothing_comes() {
    let nothing = Says::json(200, &json!({ "data": { "items": null } }));
    // Fewer than were asked for: the largest page is undocumented.
    let answers = [revere_page(&["a", "b"]), revere_page(&["c"]), nothing];
    let bench = Bench::scripted(Account::Revere, answers).await;
    let pages = pages(&bench, Scope::Living).await.unwrap();
    assert_eq!(ids(&pages), [vec!["a", "b"], vec!["c"], vec![]]);
    assert_eq!(pages[0].entries[0].subscription.life, Life::Active);
    let line = |offset: u32| format!("{REVERE}?limit=100&offset={offset}");
    assert_eq!(bench.server.lines(), [line(0), line(2), line(3)]);
    for seen in bench.server.seen() {
        assert_eq!(seen.all("authorization"), [REVERE_KEY]);
    }
}

#[tokio::test]
async fn a_page_that_comes_again_ends_the_list_as_an_error() {
    for (account, page) in [
        (Account::KajabiToken, kajabi_page(&["1", "2"])),
        (Account::Revere, revere_page(&["a", "b"])),
    ] {
        // Whatever is asked for.
        let server = Server::start(move |_| page.clone()).await;
        let bench = Bench::before(account, server);
        let result = pages(&bench, Scope::Living).await;
        assert!(is_repeated(&result), "{account:?}: {result:?}");
        assert_eq!(bench.server.lines().len(), 2);
    }
}

#[tokio::test]
async fn pages_that_come_in_a_circle_end_the_list_too() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::start(move |_| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        revere_page([&["a"], &["b"], &["c"]][number % 3])
    })
    .await;
    let bench = Bench::before(Account::Revere, server);
    assert!(is_repeated(&pages(&bench, Scope::Living).await));
    assert_eq!(bench.server.lines().len(), 4);
}

#[tokio::test]
async fn what_moves_over_the_seam_of_two_pages_comes_once() {
    let answers = [
        revere_page(&["a", "b"]),
        revere_page(&["b", "c"]),
        revere_page(&[]),
    ];
    let bench = Bench::scripted(Account::Revere, answers).await;
    let pages = pages(&bench, Scope::Living).await.unwrap();
    assert_eq!(ids(&pages), [vec!["a", "b"], vec!["c"], vec![]]);
}

#[tokio::test]
async fn what_cannot_be_read_is_counted_and_hides_nothing_else() {
    let mut odd = purchase("1", "subscription");
    odd["id"] = json!("no id/of an item");
    let mut other = purchase("2", "subscription");
    other["type"] = json!("orders");
    let list = json!({ "data": [odd, other, 7, purchase("3", "subscription")], "links": { "next": null } });
    let bench = Bench::scripted(Account::KajabiToken, [Says::json(200, &list)]).await;
    let kajabi = pages(&bench, Scope::Living).await.unwrap();
    assert_eq!((ids(&kajabi), kajabi[0].unreadable), (vec![vec!["3"]], 3));

    let mut silent = revere::subscription(&json!("active"));
    silent.as_object_mut().unwrap().remove("status");
    let items = json!([silent, "x", revere::subscription(&json!("failed"))]);
    let answers = [
        Says::json(200, &json!({ "data": { "items": items } })),
        revere_page(&[]),
    ];
    let bench = Bench::scripted(Account::Revere, answers).await;
    let revere = pages(&bench, Scope::Living).await.unwrap();
    assert_eq!(revere[0].unreadable, 2);
    assert_eq!(revere[0].entries[0].subscription.life, Life::Lapsing);

    let list = json!([
        { "name": "nobody" },
        { "customer_id": "c", "subscriptions": [{ "subscription_id": "sub_x" }, record(1, "2026-12-01T00:00:00Z", true)] },
    ]);
    let bench = Bench::scripted(Account::LotusKey, [customers(&list)]).await;
    let lotus = pages(&bench, Scope::Living).await.unwrap();
    assert_eq!(
        (ids(&lotus), lotus[0].unreadable),
        (vec![vec![&*sub(1)]], 2)
    );
}

#[tokio::test]
async fn an_answer_without_a_list_is_no_empty_list() {
    for (account, body) in [
        (Account::KajabiToken, json!({ "links": {} })),
        (Account::Revere, json!({ "data": {} })),
        (Account::Revere, json!({})),
        (Account::LotusKey, json!({ "detail": "no" })),
    ] {
        let bench = Bench::scripted(account, [Says::json(200, &body)]).await;
        let result = pages(&bench, Scope::Living).await;
        assert!(
            matches!(result, Err(LookError::Unavailable { .. })),
            "{account:?}: {result:?}"
        );
    }
}

#[tokio::test]
async fn lotus_living_records_come_with_all_customers_in_one_answer() {
    let mut with_addon = record(1, "2026-12-01T00:00:00Z", true);
    with_addon["addons"] =
        json!([{ "addon_subscription_id": sub(9).replace("sub_", "addon_sub_") }]);
    let addon = record(9, "2026-12-01T00:00:00Z", true);
    let list = json!([
        { "customer_id": "c1", "invoices": [{}], "subscriptions": [with_addon, addon] },
        { "customer_id": "c2", "subscriptions": [] },
        { "customer_id": "c3", "subscriptions": [record(3, "2026-12-01T00:00:00Z", false)] },
    ]);
    let bench = Bench::scripted(Account::LotusKey, [customers(&list)]).await;
    let pages = pages(&bench, Scope::Living).await.unwrap();
    assert_eq!(ids(&pages), [vec![&*sub(1), &*sub(3)]]);
    assert_eq!(bench.server.lines(), [CUSTOMERS]);
    let [first, second] = &pages[0].entries[..] else {
        panic!("{pages:?}");
    };
    assert_eq!(first.subscription.life, Life::Active);
    assert!(matches!(second.subscription.life, Life::Ending { .. }));
}

#[tokio::test]
async fn lotus_other_records_are_asked_for_customer_by_customer() {
    let list =
        json!([{ "customer_id": "c 1" }, { "customer_id": "gone" }, { "customer_id": "c3" }]);
    let gone = json!({ "title": "does_not_exist", "detail": "no such customer" });
    let answers = [
        customers(&list),
        customers(&json!([
            record(1, "2026-11-20T00:00:00Z", false),
            record(2, "2026-12-01T00:00:00Z", true)
        ])),
        Says::json(400, &gone),
        customers(&json!([])),
    ];
    let bench = Bench::scripted(Account::LotusKey, answers).await;
    let pages = pages(&bench, Scope::All).await.unwrap();
    let none: Vec<&str> = Vec::new();
    assert_eq!(
        ids(&pages),
        [none.clone(), vec![&*sub(1), &*sub(2)], none.clone(), none]
    );
    assert!(pages[1].entries[0].subscription.ended());
    let of = |customer: &str| {
        format!(
            "GET /api/subscriptions/?customer_id={customer}&status=active&status=ended&status=not_started"
        )
    };
    assert_eq!(
        bench.server.lines(),
        [CUSTOMERS.to_owned(), of("c+1"), of("gone"), of("c3")]
    );
}

#[tokio::test]
async fn lotus_one_answer_may_be_larger_than_a_page_and_has_an_end_too() {
    let large = |bytes: usize| {
        let list = json!([
            { "customer_id": "c", "invoices": "x".repeat(bytes), "subscriptions": [record(1, "2026-12-01T00:00:00Z", true)] },
        ]);
        customers(&list)
    };
    let bench = Bench::scripted(Account::LotusKey, [large(2 << 20)]).await;
    assert_eq!(
        ids(&pages(&bench, Scope::Living).await.unwrap()),
        [vec![&*sub(1)]]
    );
    let bench = Bench::scripted(Account::LotusKey, [large(33 << 20)]).await;
    let error = pages(&bench, Scope::Living).await.unwrap_err();
    assert!(error.to_string().contains("32 MiB"), "{error}");
    // Every other list has the size of a page.
    let items = json!({ "data": { "items": [], "more": "x".repeat(2 << 20) } });
    let bench = Bench::scripted(Account::Revere, [Says::json(200, &items)]).await;
    let error = pages(&bench, Scope::Living).await.unwrap_err();
    assert!(error.to_string().contains("1 MiB"), "{error}");
}

#[tokio::test]
async fn each_status_of_a_list_has_the_meaning_that_it_has_for_a_look() {
    for account in Account::EACH {
        for (status, expected) in [
            (301, "redirect"),
            (401, "credentials"),
            (403, "credentials"),
            (404, "404"),
            (429, "pause of 7 s"),
            (500, "500"),
            (503, "pause of 7 s"),
        ] {
            let says = Says::json(status, &json!({})).with("retry-after", "7");
            let bench = Bench::scripted(account, [says]).await;
            let error = pages(&bench, Scope::Living).await.unwrap_err();
            assert!(
                error.to_string().contains(expected),
                "{account:?} {status}: {error}"
            );
            assert_eq!(bench.server.lines().len(), 1, "{account:?} {status}");
        }
    }
}

#[tokio::test]
async fn the_page_that_could_not_be_read_is_asked_for_again() {
    let answers = [
        revere_page(&["a"]),
        Says::text(502, "bad gateway"),
        revere_page(&["b"]),
        revere_page(&[]),
    ];
    let bench = Bench::scripted(Account::Revere, answers).await;
    let mut walk = Walk::new(&*bench.reader, Scope::Living);
    assert_eq!(walk.next().await.unwrap().unwrap().entries.len(), 1);
    walk.next().await.unwrap_err();
    assert_eq!(
        walk.next().await.unwrap().unwrap().entries[0].id.as_str(),
        "b"
    );
    let lines = bench.server.lines();
    assert_eq!(lines[1], lines[2]);
}

#[tokio::test]
async fn a_list_shows_nothing_that_names_a_person() {
    let list = json!([{
        "customer_id": "c1", "customer_name": "Jane Canary", "email": "jane.canary@example.com",
        "subscriptions": [record(1, "2026-12-01T00:00:00Z", true)],
    }]);
    for (account, says) in [
        (Account::KajabiToken, kajabi_page(&["1"])),
        (Account::Revere, revere_page(&["a"])),
        (Account::LotusKey, customers(&list)),
    ] {
        let bench = Bench::scripted(account, [says]).await;
        let page = bench.reader.list(Scope::Living, None).await.unwrap();
        assert_eq!(page.entries.len(), 1);
        let shown = format!("{page:?}");
        for canary in ["Jane", "Canary", "jane.canary", "4111", "0199"] {
            assert!(!shown.contains(canary), "{canary} in {shown}");
        }
    }
}
