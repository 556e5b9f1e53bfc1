//! The page, as a browser gets it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use lapsed::model::hold::HoldReason;
use lapsed::model::standing::Settlement;
use lapsed::reconcile::live::SourceState;

use super::sample::{HOSTILE, stock, trouble};
use super::{Opening, Port};

async fn page(port: &Port, path: &str) -> String {
    let answer = port.ask(path).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
    // A slash is escaped as well, which is hard to read in a test.
    answer.text().await.unwrap().replace("&#x2f;", "/")
}

/// What the security policy would not let a browser do must not be there at all.
fn inert(html: &str) {
    let ours = r#"<script src="/assets/lapsed.js" defer></script>"#;
    assert_eq!(html.matches(ours).count(), 1, "{html}");
    let html = html.replace(ours, "");
    for mark in [
        "<script",
        "style=",
        "<style",
        "onerror=alert(2)>",
        "javascript:",
    ] {
        let found = html.contains(mark);
        assert!(!found, "{mark} in\n{html}");
    }
    assert!(!html.contains("http://") && !html.contains("https://"));
}

#[tokio::test]
async fn when_all_is_well_it_says_so_in_one_line() {
    let port = Port::open().await;
    stock(&port.shelf);
    let html = page(&port, "/").await;
    inert(&html);
    assert!(
        html.contains(r#"<h1 id="headline">All is well</h1>"#),
        "{html}"
    );
    assert!(html.contains("12 scheduled, 2 done"));
    assert!(html.contains("in 5 min"));
    assert!(html.contains("found ended 2027-01-02"));
    assert!(html.contains("today"));
    assert!(html.contains("5d3c2b1a09f8"), "the commit in force");
}

#[tokio::test]
async fn an_empty_ledger_is_well_too() {
    let port = Port::open().await;
    let html = page(&port, "/").await;
    assert!(html.contains("All is well"));
    assert!(html.contains("nothing is asked for"));
}

#[tokio::test]
async fn what_is_held_is_shown_with_its_cure() {
    let port = Port::open().await;
    for (number, reason) in HoldReason::ALL
        .into_iter()
        .filter(|it| !it.is_gate())
        .enumerate()
    {
        port.shelf
            .accepted("donations", &format!("held-{number}"))
            .held(-30, reason, "in words")
            .onto(&port.shelf);
    }
    let html = page(&port, "/").await;
    inert(&html);
    assert!(html.contains("Worth a look: 13 cancellations are held"));
    for reason in HoldReason::ALL.into_iter().filter(|it| !it.is_gate()) {
        assert!(
            html.contains(&reason.as_str().replace('_', " ")),
            "{reason}"
        );
        let first_words: String = reason.cure().chars().take_while(|c| *c != '`').collect();
        let escaped = first_words.replace('\'', "&#x27;");
        assert!(html.contains(&escaped), "{reason}: {}", reason.cure());
    }
}

#[tokio::test]
async fn what_a_person_must_act_on_comes_first() {
    let port = Port::open().await;
    stock(&port.shelf);
    trouble(&port.shelf);
    let html = page(&port, "/").await;
    inert(&html);
    assert!(html.contains("Attention: donations is stopped, and "));
    assert!(html.contains("next try at 08:04:00 UTC"));
    assert!(html.contains("1 cancellation failed"));
    assert!(html.contains("metered is paused"));
    assert!(html.contains("it is only read until it is known, mostly within minutes"));
    assert!(html.contains("it would be cancelled now"));
    assert!(html.contains("and 2 more"), "five of seven are named");
}

#[tokio::test]
async fn a_file_that_is_not_valid_is_told_with_every_problem() {
    let port = Port::open().await;
    let broken = SourceState {
        problems: vec![format!("lapsed.yaml:14:11: `when` is {HOSTILE:?}")],
        warnings: vec!["lapsed.yaml:2:1: odd".to_owned()],
        ..SourceState::default()
    };
    port.live.source.store(Arc::new(broken));
    let html = page(&port, "/").await;
    inert(&html);
    assert!(html.contains("Attention: the newest file is not valid"));
    assert!(html.contains("lapsed.yaml:14:11"));
    assert!(html.contains("the file has warnings"));
}

#[tokio::test]
async fn a_source_that_is_not_read_for_a_day_is_told() {
    let port = Port::open().await;
    let old = SourceState {
        seen_at: Some(super::at(-86_401)),
        ..SourceState::default()
    };
    port.live.source.store(Arc::new(old));
    assert!(page(&port, "/").await.contains("not read for a long time"));
}

#[tokio::test]
async fn a_ledger_in_doubt_is_told() {
    let port = Port::open().await;
    *port.shelf.doubt.lock().unwrap() = Some("it is older than its mark".to_owned());
    let html = page(&port, "/").await;
    assert!(html.contains("Attention: the ledger is in doubt"), "{html}");
    assert!(html.contains("lapsed ledger trust"));
}

#[tokio::test]
async fn where_nothing_can_be_told_the_page_says_why() {
    let opening = Opening {
        in_force: false,
        ..Opening::default()
    };
    let port = opening.open().await;
    let broken = SourceState {
        problems: vec!["lapsed.yaml:1:1: empty".to_owned()],
        ..SourceState::default()
    };
    port.live.source.store(Arc::new(broken));
    assert_eq!(port.status("/").await, 503);
    let html = page(&port, "/").await;
    inert(&html);
    assert!(html.contains("no valid revision of the file is in force yet"));
    assert!(html.contains("lapsed.yaml:1:1: empty"));

    let port = Port::open().await;
    port.shelf.broken.store(true, Ordering::SeqCst);
    assert_eq!(port.status("/").await, 503);
    let html = page(&port, "/").await;
    assert!(html.contains("Attention: the ledger does not work"));
    assert!(html.contains("disk is full"));
}

#[tokio::test]
async fn an_item_has_its_terms_its_hold_and_its_events() {
    let port = Port::open().await;
    stock(&port.shelf);
    trouble(&port.shelf);
    let html = page(&port, "/cancellations/donations/dd77-not-there").await;
    inert(&html);
    for words in [
        "Held: provider stopped",
        "Also: not found.",
        "compare the id with the provider",
        "cancellations/autumn.yaml:14",
        "customer: cus_17",
        "policy <code>everyone keeps what they paid for</code>",
        "held as not_found: the provider knows no such subscription",
    ] {
        assert!(html.contains(words), "{words}\n{html}");
    }
    let html = page(
        &port,
        "/cancellations/metered/65AA0000-0000-4000-8000-000000000001",
    )
    .await;
    assert!(html.contains("unused: it ends at its period"), "{html}");
    let html = page(&port, "/cancellations/donations/ab12-unknown").await;
    assert!(
        html.contains("no clear answer (no answer within 20 s)"),
        "{html}"
    );
}

#[tokio::test]
async fn both_requests_for_one_subscription_are_shown() {
    let port = Port::open().await;
    stock(&port.shelf);
    port.shelf
        .accepted("donations", "c4b1-done")
        .with(|it| it.key.again = 2)
        .settled(-5, Settlement::AlreadyCanceled, "again")
        .onto(&port.shelf);
    let html = page(&port, "/cancellations/donations/c4b1-done").await;
    assert!(html.contains("request 1") && html.contains("request 2"));
}

#[tokio::test]
async fn what_other_people_wrote_is_shown_as_text() {
    let port = Port::open().await;
    trouble(&port.shelf);
    for path in ["/", "/cancellations/donations/ff09-refused"] {
        let html = page(&port, path).await;
        inert(&html);
        assert!(html.contains("&lt;script&gt;alert("), "{path}");
    }
}

/// The ids of a list, and where its next page is.
fn listed(html: &str) -> (Vec<&str>, Option<String>) {
    let links = html.split("href=\"/cancellations/donations/").skip(1);
    let ids = links.filter_map(|it| it.split('"').next()).collect();
    let next = html
        .split("<a href=\"")
        .find(|it| it.contains("rel=\"next\""));
    let next = next.and_then(|it| it.split('"').next());
    (ids, next.map(|it| it.replace("&amp;", "&")))
}

#[tokio::test]
async fn the_list_goes_on_in_the_order_of_what_is_due_and_what_has_no_time_comes_last() {
    let port = Port::open().await;
    for number in 0..120 {
        let made = port.shelf.accepted("donations", &format!("it-{number:03}"));
        let due = match number {
            0..10 => made.with(|it| it.due_at = None),
            10..70 => made.due(7_200),
            _ => made.due(3_600 + number),
        };
        due.onto(&port.shelf);
    }
    let mut all = Vec::new();
    let mut next = Some("/cancellations?provider=donations&order=due".to_owned());
    while let Some(path) = next {
        let html = page(&port, &path).await;
        let (ids, more) = listed(&html);
        all.extend(ids.into_iter().map(str::to_owned));
        next = more;
    }
    let expected = (70..120).chain(10..70).chain(0..10);
    let expected: Vec<String> = expected.map(|it| format!("it-{it:03}")).collect();
    assert_eq!(all, expected);
}

#[tokio::test]
async fn an_order_that_there_is_not_is_refused_with_those_that_there_are() {
    let port = Port::open().await;
    let html = page(&port, "/cancellations?order=size").await;
    assert!(html.contains("allowed: accepted, due"), "{html}");
}

#[tokio::test]
async fn an_item_that_is_not_there_is_a_page_with_the_status_of_a_problem() {
    let port = Port::open().await;
    for path in [
        "/cancellations/donations/nobody",
        "/cancellations/nowhere/%3Cscript%3E",
    ] {
        let answer = port.ask(path).send().await.unwrap();
        assert_eq!(answer.status(), 404);
        inert(&page(&port, path).await);
    }
}

#[tokio::test]
async fn the_style_sheet_and_the_icon_come_from_here() {
    let port = Port::open().await;
    let html = page(&port, "/").await;
    for (path, media) in [
        ("/assets/lapsed.css", "text/css; charset=utf-8"),
        ("/assets/lapsed.svg", "image/svg+xml"),
    ] {
        assert!(html.contains(path));
        let answer = port.ask(path).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], media);
    }
    let css = port.text("/assets/lapsed.css").await;
    assert!(css.contains("prefers-color-scheme: dark"));
    assert!(!css.contains("url(") && !css.contains("@import"));
}
