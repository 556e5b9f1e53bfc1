//! The record: a chain that is whole, and whose heads can be kept elsewhere.

use lapsed::ledger::{Command, Head};
use lapsed::model::hold::HoldReason;

use super::bench::{Bench, at, changed, item, item_at, posted};

facts! {
    an_empty_record_is_whole_and_has_no_head,
    every_commit_that_tells_something_moves_the_head_and_keeps_those_before_it,
    what_tells_nothing_leaves_the_head,
    a_record_of_everything_that_happens_is_whole_over_kills,
    a_ledger_keeps_its_name_and_no_two_share_one,
    a_ledger_that_was_never_in_doubt_can_be_trusted,
    another_ledger_than_the_file_means_is_in_doubt_until_it_is_trusted_in_its_place,
}

async fn an_empty_record_is_whole_and_has_no_head(bench: Bench) {
    let verification = bench.verify().await.unwrap();
    assert_eq!(verification, lapsed::ledger::Verification::default());
    assert_eq!(bench.head().await.unwrap(), Head::default());
}

async fn every_commit_that_tells_something_moves_the_head_and_keeps_those_before_it(
    mut bench: Bench,
) {
    let mut heads = Vec::new();
    bench.accept(&[item("a")]).await;
    heads.push(bench.head().await.unwrap());
    let request = bench.send("a", 1).await;
    heads.push(bench.head().await.unwrap());
    bench.kill();
    let answered = super::bench::answered(&request, super::bench::lost());
    bench.happens(&request, 2, &[answered]).await;
    heads.push(bench.head().await.unwrap());
    let blocks: Vec<i64> = heads.iter().map(|head| head.block).collect();
    assert_eq!(blocks, [1, 2, 3]);
    for head in &heads {
        assert!(bench.has_block(head.hash.clone()).await.unwrap());
        assert!(bench.has_block(head.hash.to_uppercase()).await.unwrap());
    }
    assert!(!bench.has_block("00".repeat(32)).await.unwrap());
    assert!(!bench.has_block(String::new()).await.unwrap());
    let verification = bench.verify().await.unwrap();
    assert_eq!(Some(&verification.head), heads.last());
}

async fn what_tells_nothing_leaves_the_head(bench: Bench) {
    bench.accept(&[item("a")]).await;
    let head = bench.head().await.unwrap();
    bench.accept(&[item("a")]).await;
    bench.command(super::bench::pause(None), 1).await;
    bench
        .remember(super::bench::provider("p"), Default::default())
        .await
        .unwrap();
    bench.post(posted(Command::Trust, 2)).await.unwrap();
    assert_eq!(bench.head().await.unwrap(), head);
}

async fn a_record_of_everything_that_happens_is_whole_over_kills(mut bench: Bench) {
    bench
        .accept(&[item("a"), item("b"), item_at("q", "c")])
        .await;
    bench.send_in_vain("a", 1).await;
    bench.kill();
    bench.hold("b", 5, HoldReason::NotFound).await;
    bench.accept(&[changed(item("a")), item("b")]).await;
    bench.send("a", 6).await;
    bench.kill();
    bench.interrupt_all(at(9)).await.unwrap();
    let verification = bench.verify().await.unwrap();
    assert_eq!(verification.faults, Vec::<String>::new());
    assert_eq!(verification.requests, 3);
    let told = bench.record_so_far().await.len();
    assert_eq!((told, verification.events), (11, 11));
    assert_eq!(verification.head, bench.head().await.unwrap());
    assert_eq!(verification.blocks.cast_signed(), verification.head.block);
}

async fn a_ledger_keeps_its_name_and_no_two_share_one(mut bench: Bench) {
    let identity = bench.identity().await.unwrap();
    assert_eq!(identity.ledger_id.len(), 32);
    assert_eq!(identity.doubt, None);
    bench.kill();
    assert_eq!(bench.identity().await.unwrap(), identity);
    let other = bench.another();
    assert_ne!(
        other.identity().await.unwrap().ledger_id,
        identity.ledger_id
    );
}

async fn a_ledger_that_was_never_in_doubt_can_be_trusted(mut bench: Bench) {
    bench.trust("dana".to_owned(), at(1)).await.unwrap();
    bench.kill();
    assert_eq!(bench.identity().await.unwrap().doubt, None);
}

async fn another_ledger_than_the_file_means_is_in_doubt_until_it_is_trusted_in_its_place(
    mut bench: Bench,
) {
    let own = bench.identity().await.unwrap().ledger_id;
    bench.named(own.clone()).await.unwrap();
    assert_eq!(bench.identity().await.unwrap().doubt, None);
    bench.named("another".to_owned()).await.unwrap();
    bench.kill();
    let doubt = bench.identity().await.unwrap().doubt.unwrap();
    assert!(doubt.contains("another") && doubt.contains(&own), "{doubt}");
    bench.trust("dana".to_owned(), at(1)).await.unwrap();
    bench.named("another".to_owned()).await.unwrap();
    assert_eq!(bench.identity().await.unwrap().doubt, None);
    bench.named("a third".to_owned()).await.unwrap();
    assert!(bench.identity().await.unwrap().doubt.is_some());
}
