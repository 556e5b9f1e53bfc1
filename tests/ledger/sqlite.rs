//! What is true of the ledger on SQLite alone: the file, its place, its lock and its mark.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lapsed::ledger::sqlite::{OpenAs, SqliteLedger};
use lapsed::ledger::{
    Change, Close, Command, Lane, Ledger, LedgerError, Posted, Tally, Verification,
};
use lapsed::model::hold::HoldReason;
use lapsed::model::standing::{Settlement, State};
use rusqlite::Connection;
use tempfile::TempDir;

use super::bench::{
    Bench, Folder, at, beside, claim, copy_as_it_stands, database, item, key, posted, provider,
    revision,
};

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = database(&folder);
    (folder, path)
}

fn open(path: &Path, open_as: OpenAs) -> Result<SqliteLedger, LedgerError> {
    SqliteLedger::open(path, open_as)
}

/// Why it does not open.
fn refused(path: &Path, open_as: OpenAs) -> LedgerError {
    match open(path, open_as) {
        Ok(_) => panic!("{} opened as {open_as:?}", path.display()),
        Err(error) => error,
    }
}

/// Why it is unfit, in words.
fn unfit(path: &Path, open_as: OpenAs) -> String {
    match refused(path, open_as) {
        LedgerError::Unfit { why } => why,
        other => panic!("{other:?}"),
    }
}

const BOTH: [OpenAs; 2] = [OpenAs::Daemon, OpenAs::Guest];

/// A bench on a folder whose database the test can reach, and a ledger with a little history.
async fn lived() -> (Bench, PathBuf) {
    let folder = Folder::new();
    let path = folder.database();
    let bench = Bench::of(folder);
    bench.accept(&[item("a"), item("b"), item("c")]).await;
    bench.send_and_lose("a", 1).await;
    bench.hold("b", 5, HoldReason::NotFound).await;
    (bench, path)
}

/// A killed daemon's files, in a folder of their own.
fn killed(path: &Path) -> (TempDir, PathBuf) {
    let (folder, copy) = folder();
    copy_as_it_stands(path, &copy);
    (folder, copy)
}

/// Changes the file behind the ledger's back.
fn tamper(path: &Path, sql: &str) {
    let conn = Connection::open(path).unwrap();
    conn.execute_batch(sql).unwrap();
}

#[tokio::test]
async fn a_daemon_makes_the_ledger_that_a_guest_only_misses() {
    let (folder, path) = folder();
    let missing = refused(&path, OpenAs::Guest);
    assert!(
        matches!(missing, LedgerError::Missing { .. }),
        "{missing:?}"
    );
    assert!(missing.to_string().contains("lapsed run"), "{missing}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let daemon = open(&path, OpenAs::Daemon).unwrap();
    let guest = open(&path, OpenAs::Guest).unwrap();
    assert_eq!(
        guest.identity().await.unwrap(),
        daemon.identity().await.unwrap()
    );
}

#[tokio::test]
async fn an_empty_file_is_no_ledger_yet_and_a_daemon_makes_one_of_it() {
    let (_folder, path) = folder();
    std::fs::write(&path, b"").unwrap();
    let missing = refused(&path, OpenAs::Guest);
    assert!(
        matches!(missing, LedgerError::Missing { .. }),
        "{missing:?}"
    );
    let daemon = open(&path, OpenAs::Daemon).unwrap();
    assert_eq!(daemon.identity().await.unwrap().doubt, None);
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_both_numbers_and_left_as_it_is() {
    let (_bench, path) = lived().await;
    let (_folder, path) = killed(&path);
    tamper(&path, "PRAGMA user_version = 99");
    let before = std::fs::read(&path).unwrap();
    for open_as in BOTH {
        let newer = refused(&path, open_as);
        assert!(
            matches!(
                newer,
                LedgerError::Newer {
                    found: 99,
                    known: 6,
                    ..
                }
            ),
            "{newer:?}"
        );
        assert!(
            newer.to_string().contains("run the newer version"),
            "{newer}"
        );
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

/// Up to schema 5 each revision wrote its number into every row that it had.
#[tokio::test]
async fn what_the_file_has_lost_before_schema_6_is_not_tried_again() {
    let folder = Folder::new();
    let path = folder.database();
    let bench = Bench::of(folder);
    let items = ["has", "lost"].map(item);
    bench.accept(&items).await;
    for id in ["has", "lost"] {
        bench.settle(id, 1, Settlement::Failed).await;
    }
    bench.accept(&items[..1]).await;
    let (_folder, path) = killed(&path);
    tamper(
        &path,
        "PRAGMA user_version = 5;
         UPDATE requests SET seen = CASE subscription WHEN 'has' THEN 2 ELSE 1 END;",
    );
    let ledger = open(&path, OpenAs::Daemon).unwrap();
    let retry = Command::Retry {
        provider: provider("p"),
        id: None,
        state: State::Failed,
    };
    ledger.post(posted(retry, 9)).await.unwrap();
    let command = ledger.inbox().await.unwrap().remove(0);
    assert_eq!(ledger.apply(command, at(9)).await.unwrap(), 1);
    let has = ledger.find(key("p", "has", 1)).await.unwrap().unwrap();
    assert_eq!(has.state(), State::Scheduled);
}

#[tokio::test]
async fn what_is_no_database_is_refused_and_left_as_it_is() {
    let (_folder, path) = folder();
    let text = "version: 1\n".repeat(1_000);
    std::fs::write(&path, &text).unwrap();
    for open_as in BOTH {
        let why = unfit(&path, open_as);
        assert!(why.contains("is not a ledger"), "{why}");
        assert!(why.contains("--ledger"), "{why}");
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn a_corrupt_file_is_refused_with_the_cure() {
    let (_bench, path) = lived().await;
    let (_folder, path) = killed(&path);
    tamper(&path, "PRAGMA wal_checkpoint(TRUNCATE)");
    let whole = std::fs::read(&path).unwrap();
    let page = 4096;
    // Every page but the first, which says that this is a database at all, is damaged once.
    let mut found = 0;
    for begin in (page..whole.len()).step_by(page) {
        let mut damaged = whole.clone();
        damaged[begin..begin + 64].fill(0xff);
        let (_folder, path) = folder();
        std::fs::write(&path, &damaged).unwrap();
        if let Err(LedgerError::Unfit { why }) = open(&path, OpenAs::Daemon) {
            assert!(
                why.contains("is corrupt") && why.contains("backup"),
                "{why}"
            );
            found += 1;
        }
    }
    let pages = whole.len() / page - 1;
    assert_eq!(found, pages, "damaged pages that were noticed");
    let (_folder, path) = folder();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let why = unfit(&path, OpenAs::Daemon);
    assert!(why.contains("is corrupt"), "{why}");
}

#[tokio::test]
async fn a_second_daemon_is_refused_until_the_first_has_ended() {
    let (_folder, path) = folder();
    let first = open(&path, OpenAs::Daemon).unwrap();
    let locked = refused(&path, OpenAs::Daemon);
    assert!(matches!(locked, LedgerError::Locked { .. }), "{locked:?}");
    assert!(
        locked.to_string().contains(&path.display().to_string()),
        "{locked}"
    );
    drop(open(&path, OpenAs::Guest).unwrap());
    assert!(matches!(
        refused(&path, OpenAs::Daemon),
        LedgerError::Locked { .. }
    ));
    let id = first.identity().await.unwrap().ledger_id;
    drop(first);
    let second = opened_once_free(&path).await;
    assert_eq!(second.identity().await.unwrap().ledger_id, id);
}

/// The lock is given back when the thread of the one before has ended.
async fn opened_once_free(path: &Path) -> SqliteLedger {
    loop {
        match open(path, OpenAs::Daemon) {
            Ok(ledger) => return ledger,
            Err(LedgerError::Locked { .. }) => tokio::task::yield_now().await,
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_folder_that_is_not_there_is_named_and_not_made() {
    let (folder, _) = folder();
    let path = folder.path().join("nowhere/lapsed.db");
    for open_as in BOTH {
        let why = unfit(&path, open_as);
        assert!(why.contains("nowhere does not exist"), "{why}");
    }
    assert!(!folder.path().join("nowhere").exists());
}

/// `/proc` refuses new files to everybody, the superuser included.
#[test]
fn a_folder_in_which_nothing_can_be_written_is_refused() {
    let why = unfit(Path::new("/proc/lapsed.db"), OpenAs::Daemon);
    assert!(why.contains("/proc/lapsed.db.lock"), "{why}");
    assert!(why.contains("must be writable"), "{why}");
}

#[test]
fn a_lock_that_cannot_be_written_is_refused() {
    let (_folder, path) = folder();
    std::fs::create_dir(beside(&path, ".lock")).unwrap();
    let why = unfit(&path, OpenAs::Daemon);
    assert!(why.contains("lapsed.db.lock"), "{why}");
    assert!(!path.exists());
}

#[test]
fn a_folder_in_the_ledgers_place_is_refused() {
    let (_folder, path) = folder();
    std::fs::create_dir(&path).unwrap();
    for open_as in BOTH {
        let why = unfit(&path, open_as);
        assert!(why.contains("cannot be written"), "{why}");
    }
}

#[tokio::test]
async fn a_ledger_behind_a_symlink_is_refused_and_its_real_place_is_named() {
    let (_bench, real) = lived().await;
    let (_bench_folder, real) = killed(&real);
    let elsewhere = tempfile::tempdir().unwrap();
    let elsewhere = elsewhere.path().canonicalize().unwrap();
    let file = elsewhere.join("linked.db");
    std::os::unix::fs::symlink(&real, &file).unwrap();
    let linked = elsewhere.join("linked");
    std::os::unix::fs::symlink(real.parent().unwrap(), &linked).unwrap();
    let above = elsewhere.join("above");
    std::os::unix::fs::symlink(real.parent().unwrap().parent().unwrap(), &above).unwrap();
    let inside = above.join(real.parent().unwrap().file_name().unwrap());
    for path in [file, linked.join("lapsed.db"), inside.join("lapsed.db")] {
        for open_as in BOTH {
            let why = unfit(&path, open_as);
            assert!(why.contains("symlink"), "{why}");
            assert!(why.contains(&real.display().to_string()), "{why}");
        }
    }
}

#[tokio::test]
async fn dots_in_a_path_are_no_symlinks() {
    let (folder, path) = folder();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    let dotted = path.parent().unwrap().join("./sub/../lapsed.db");
    let ledger = open(&dotted, OpenAs::Daemon).unwrap();
    assert!(path.exists());
    assert_eq!(ledger.path(), dotted);
}

#[tokio::test]
async fn the_file_is_in_wal_mode_even_if_somebody_turned_it_off() {
    let (_bench, path) = lived().await;
    let (_folder, path) = killed(&path);
    let mode = |path: &Path| -> String {
        let conn = Connection::open(path).unwrap();
        conn.query_row("PRAGMA journal_mode", [], |row| row.get(0))
            .unwrap()
    };
    tamper(&path, "PRAGMA journal_mode = DELETE");
    assert_eq!(mode(&path), "delete");
    let _ledger = open(&path, OpenAs::Daemon).unwrap();
    assert_eq!(mode(&path), "wal");
}

#[tokio::test]
async fn the_earliest_deadline_comes_first_whatever_is_due_earlier() {
    let (bench, path) = lived().await;
    bench.accept(&[item("c"), item("d"), item("e")]).await;
    let deadline = |id: &str, seconds: i64| {
        let millis = at(seconds).timestamp_millis();
        format!("UPDATE requests SET deadline_at = {millis} WHERE subscription = '{id}';")
    };
    tamper(&path, &(deadline("e", 50) + &deadline("d", 90)));
    assert_eq!(bench.claimed(claim(Lane::Tick, 9)).await, ["e", "d", "c"]);
}

// What a mark beside the database tells.

async fn doubt(ledger: &dyn Ledger) -> String {
    ledger.identity().await.unwrap().doubt.expect("no doubt")
}

#[tokio::test]
async fn an_old_copy_that_was_restored_is_in_doubt_until_a_person_trusts_it() {
    let (bench, path) = lived().await;
    let (_old_folder, old) = killed(&path);
    let request = bench.request("b").await;
    bench
        .happens(&request, 9, &[super::bench::held(HoldReason::StateUnclear)])
        .await;
    let lost_head = bench.head().await.unwrap();
    let newest = std::fs::read(beside(&path, ".mark")).unwrap();
    std::fs::write(beside(&old, ".mark"), &newest).unwrap();

    let mut restored = open(&old, OpenAs::Daemon).unwrap();
    let why = doubt(&restored).await;
    assert!(why.contains("older copy"), "{why}");
    assert!(why.contains(&lost_head.block.to_string()), "{why}");
    let guest = open(&old, OpenAs::Guest).unwrap();
    assert_eq!(doubt(&guest).await, why);

    // It stays in doubt over restarts, and what happens meanwhile does not hide the evidence.
    let held = restored
        .find(super::bench::key("p", "c", 1))
        .await
        .unwrap()
        .unwrap();
    let mut change = Change::to(&held, at(10));
    change.events = vec![super::bench::held(HoldReason::NotFound)];
    restored.record(change).await.unwrap();
    assert_eq!(std::fs::read(beside(&old, ".mark")).unwrap(), newest);
    drop(restored);
    restored = opened_once_free(&old).await;
    assert_eq!(doubt(&restored).await, why);

    restored.trust("dana".to_owned(), at(11)).await.unwrap();
    assert_eq!(restored.identity().await.unwrap().doubt, None);
    drop(restored);
    let trusted = opened_once_free(&old).await;
    assert_eq!(trusted.identity().await.unwrap().doubt, None);
}

#[tokio::test]
async fn an_empty_ledger_in_place_of_a_marked_one_is_in_doubt() {
    let (_bench, path) = lived().await;
    let (_folder, empty) = folder();
    std::fs::copy(beside(&path, ".mark"), beside(&empty, ".mark")).unwrap();
    let ledger = open(&empty, OpenAs::Daemon).unwrap();
    let why = doubt(&ledger).await;
    assert!(why.contains("lost or replaced"), "{why}");
}

#[tokio::test]
async fn a_history_without_its_mark_is_in_doubt() {
    let (_bench, path) = lived().await;
    let (_folder, copy) = killed(&path);
    std::fs::remove_file(beside(&copy, ".mark")).unwrap();
    let ledger = open(&copy, OpenAs::Daemon).unwrap();
    let why = doubt(&ledger).await;
    assert!(why.contains("mark") && why.contains("missing"), "{why}");
}

#[tokio::test]
async fn a_copy_that_went_on_by_itself_to_the_same_height_is_in_doubt() {
    let (bench, path) = lived().await;
    let (_folder, fork) = killed(&path);
    bench.hold("c", 9, HoldReason::NotFound).await;
    let forked = open(&fork, OpenAs::Daemon).unwrap();
    let request = forked
        .find(super::bench::key("p", "c", 1))
        .await
        .unwrap()
        .unwrap();
    let mut change = Change::to(&request, at(9));
    change.events = vec![super::bench::held(HoldReason::StateUnclear)];
    forked.record(change).await.unwrap();
    let mark = |path: &Path| std::fs::read(beside(path, ".mark")).unwrap();
    assert_ne!(mark(&fork), mark(&path));
    drop(forked);
    drop(opened_once_free(&fork).await);
    std::fs::write(beside(&fork, ".mark"), mark(&path)).unwrap();
    let ledger = opened_once_free(&fork).await;
    assert!(doubt(&ledger).await.contains("older copy"));
}

#[tokio::test]
async fn a_process_killed_between_a_commit_and_its_mark_is_in_no_doubt() {
    let (bench, path) = lived().await;
    let mark = std::fs::read(beside(&path, ".mark")).unwrap();
    bench.hold("c", 9, HoldReason::NotFound).await;
    let (_folder, copy) = killed(&path);
    std::fs::write(beside(&copy, ".mark"), mark).unwrap();
    let ledger = open(&copy, OpenAs::Daemon).unwrap();
    assert_eq!(ledger.identity().await.unwrap().doubt, None);
}

#[tokio::test]
async fn a_trust_that_was_posted_by_a_guest_clears_the_doubt_once_it_is_applied() {
    let (_bench, path) = lived().await;
    let (_folder, copy) = killed(&path);
    std::fs::remove_file(beside(&copy, ".mark")).unwrap();
    let daemon = open(&copy, OpenAs::Daemon).unwrap();
    let guest = open(&copy, OpenAs::Guest).unwrap();
    guest.post(posted(Command::Trust, 1)).await.unwrap();
    assert!(!doubt(&daemon).await.is_empty());
    let inbox = daemon.inbox().await.unwrap();
    daemon.apply(inbox[0].clone(), at(2)).await.unwrap();
    assert_eq!(guest.identity().await.unwrap().doubt, None);
    assert!(beside(&copy, ".mark").exists());
}

// Beside a running daemon.

#[tokio::test]
async fn a_guest_sees_what_the_daemon_has_answered() {
    let (bench, path) = lived().await;
    let guest = open(&path, OpenAs::Guest).unwrap();
    let find = async || {
        guest
            .find(super::bench::key("p", "c", 1))
            .await
            .unwrap()
            .unwrap()
    };
    assert_eq!(find().await.state(), State::Scheduled);
    bench.cancel("c", 9).await;
    assert_eq!(find().await.state(), State::Canceled);
    assert_eq!(guest.head().await.unwrap(), bench.head().await.unwrap());
    // What is free on the disk changes from one moment to the next.
    let [of_guest, of_daemon] = [&guest, &*bench].map(|it| it.tally(at(9)));
    let tallied = |tally: Tally| Tally {
        space: None,
        ..tally
    };
    assert_eq!(
        tallied(of_guest.await.unwrap()),
        tallied(of_daemon.await.unwrap())
    );
    assert_eq!(guest.verify().await.unwrap().faults, Vec::<String>::new());
}

#[tokio::test]
async fn what_a_guest_posts_reaches_the_daemon_while_it_writes() {
    let (bench, path) = lived().await;
    let guest = open(&path, OpenAs::Guest).unwrap();
    for round in 0..20 {
        let command = posted(super::bench::pause(Some("p")), round);
        let change = Change::to(&bench.request("c").await, at(round));
        let (number, recorded) = tokio::join!(guest.post(command.clone()), bench.record(change));
        recorded.unwrap();
        let number = number.unwrap();
        let waiting = bench.inbox().await.unwrap();
        assert_eq!(waiting, [Posted { number, ..command }]);
        bench.apply(waiting[0].clone(), at(round)).await.unwrap();
    }
    assert_eq!(guest.pauses().await.unwrap().epoch, 20);
}

#[tokio::test]
async fn a_guest_writes_nothing_but_to_the_inbox() {
    let (bench, path) = lived().await;
    bench
        .post(posted(super::bench::pause(None), 1))
        .await
        .unwrap();
    let guest: Arc<dyn Ledger> = Arc::new(open(&path, OpenAs::Guest).unwrap());
    let before = (
        bench.all().await,
        bench.record_so_far().await,
        bench.inbox().await.unwrap(),
    );
    let request = bench.request("c").await;
    let mut change = Change::to(&request, at(9));
    change.events = vec![super::bench::held(HoldReason::NotFound)];
    let intended = bench.intended(&request, 9).await;
    let waiting = before.2[0].clone();
    let number = bench.current().await.unwrap().unwrap().number;
    let p = || provider("p");
    let refusals = [
        guest.record(change).await.err(),
        guest.intend(intended).await.err(),
        guest.apply(waiting, at(9)).await.err(),
        guest.trust("dana".to_owned(), at(9)).await.err(),
        guest.begin_revision(revision("next")).await.err(),
        guest.take_in(number, vec![item("d")], at(9)).await.err(),
        guest
            .finish_revision(number, Close::default(), at(9))
            .await
            .err(),
        guest.rename_provider(p(), provider("q")).await.err(),
        guest.interrupt_all(at(9)).await.err(),
        guest.wake_held(p(), at(9)).await.err(),
        guest.set_back(p(), at(9), at(9)).await.err(),
        guest.named("another".to_owned()).await.err(),
        guest.mark_stale(vec![request.row], at(9)).await.err(),
        guest.remember(p(), Default::default()).await.err(),
    ];
    for (index, refusal) in refusals.iter().enumerate() {
        let text = refusal
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(text.contains("only the daemon"), "{index}: {refusal:?}");
    }
    let after = (
        bench.all().await,
        bench.record_so_far().await,
        bench.inbox().await.unwrap(),
    );
    assert_eq!(after, before);
    bench.verified().await;
}

// What a check of the record finds.

/// What `verify` says of a ledger in which somebody changed something.
async fn found(sql: &str) -> Verification {
    let (_bench, path) = lived().await;
    let (_folder, copy) = killed(&path);
    tamper(&copy, sql);
    let ledger = open(&copy, OpenAs::Daemon).unwrap();
    ledger.verify().await.unwrap()
}

async fn finds(sql: &str, fault: &str) {
    let faults = found(sql).await.faults;
    assert!(
        faults.iter().any(|it| it.contains(fault)),
        "{sql}\n{faults:#?}"
    );
}

const UNLOCK: &str =
    "DROP TRIGGER events_stay; DROP TRIGGER events_remain; PRAGMA foreign_keys = OFF;";

#[tokio::test]
async fn an_untouched_record_has_no_fault() {
    assert_eq!(found("SELECT 1").await.faults, Vec::<String>::new());
}

#[tokio::test]
async fn events_can_be_neither_changed_nor_deleted_by_an_ordinary_statement() {
    let (_bench, path) = lived().await;
    let conn = Connection::open(&path).unwrap();
    for sql in ["UPDATE events SET at = 0", "DELETE FROM events"] {
        let error = conn.execute_batch(sql).unwrap_err().to_string();
        assert!(error.contains("append-only"), "{error}");
    }
}

#[tokio::test]
async fn an_altered_event_is_found() {
    for change in [
        "at = at + 1",
        "kind = 'settled'",
        "hash = zeroblob(32)",
        "digest = zeroblob(32)",
    ] {
        let sql = format!("{UNLOCK} UPDATE events SET {change} WHERE id = 4");
        finds(&sql, "p/a: event 4 does not follow the one before it").await;
    }
}

#[tokio::test]
async fn an_altered_payload_is_found() {
    finds(
        "UPDATE payloads SET body = replace(body, '\"attempt\":1', '\"attempt\":2') WHERE event = 4",
        "the payload of event 4 was changed",
    )
    .await;
}

#[tokio::test]
async fn a_deleted_event_is_found_wherever_it_stood() {
    for (event, fault) in [
        (1, "p/a: event 4 does not follow"),
        (4, "p/a: event 5 does not follow"),
        (5, "p/a: its row does not end its chain"),
        (5, "p/a: its row differs from the fold"),
        (5, "block 3 does not follow"),
        (2, "block 1 does not follow"),
        (3, "p/c: its row does not end its chain"),
    ] {
        let sql = format!(
            "{UNLOCK} DELETE FROM payloads WHERE event = {event}; DELETE FROM events WHERE id = {event}"
        );
        finds(&sql, fault).await;
    }
}

#[tokio::test]
async fn an_event_that_was_moved_to_another_request_is_found() {
    let sql = format!("{UNLOCK} UPDATE events SET request = 2 WHERE id = 5");
    finds(&sql, "p/b: event 5 does not follow").await;
}

#[tokio::test]
async fn a_row_that_differs_from_its_record_is_found() {
    for change in [
        "standing = replace(standing, '\"unknown\"', '\"waiting\"')",
        "standing = replace(standing, '\"attempts\":1', '\"attempts\":0')",
        "state = 'canceled'",
        "state = 'scheduled'",
        "lane = NULL",
        "lane = 0",
        "holds = ',removal,'",
    ] {
        let sql = format!("UPDATE requests SET {change} WHERE id = 1");
        finds(&sql, "p/a: its row differs from the fold over its events").await;
    }
    let sql = "UPDATE requests SET holds = '', state = 'scheduled' WHERE id = 2";
    finds(sql, "p/b: its row differs from the fold over its events").await;
}

#[tokio::test]
async fn a_record_that_was_given_to_another_subscription_is_found() {
    for (change, key) in [
        ("subscription = 'z'", "p/z"),
        ("again = 2", "p/a (again: 2)"),
        ("provider = 'q'", "q/a"),
    ] {
        let faults = found(&format!("UPDATE requests SET {change} WHERE id = 1"))
            .await
            .faults;
        assert!(
            faults.iter().any(|it| it.starts_with(key)),
            "{change}: {faults:#?}"
        );
    }
}

#[tokio::test]
async fn an_altered_or_deleted_block_is_found() {
    finds(
        "UPDATE blocks SET hash = zeroblob(32) WHERE number = 2",
        "block 2 does not follow",
    )
    .await;
    finds(
        "UPDATE blocks SET hash = zeroblob(32) WHERE number = 2",
        "block 3 does not follow",
    )
    .await;
    finds(
        "DELETE FROM blocks WHERE number = 2",
        "block 3 does not follow",
    )
    .await;
    finds(
        "DELETE FROM blocks WHERE number = 4",
        "block 4, which is missing",
    )
    .await;
}

#[tokio::test]
async fn counts_that_are_not_those_of_the_rows_are_found() {
    finds(
        "UPDATE counts SET requests = requests + 1",
        "the counts have",
    )
    .await;
    finds(
        "INSERT INTO answers VALUES ('p', 'accepted', 7) ON CONFLICT DO UPDATE SET attempts = 7",
        "the counts have 7 of `p answered accepted`",
    )
    .await;
}

/// Whoever cuts off the end and mends the rows leaves a record that is whole by itself: the
/// head that was kept elsewhere tells, and the mark does.
#[tokio::test]
async fn an_end_that_was_cut_off_without_a_trace_is_told_by_the_head_and_the_mark() {
    let (bench, path) = lived().await;
    let kept = bench.head().await.unwrap();
    let (_folder, copy) = killed(&path);
    tamper(
        &copy,
        &format!(
            "{UNLOCK} DELETE FROM payloads WHERE event = 6; DELETE FROM events WHERE id = 6;
             DELETE FROM blocks WHERE number = 4;
             UPDATE requests SET state = 'scheduled', holds = '', held_since = NULL,
               standing = (SELECT standing FROM requests WHERE id = 3),
               chain = (SELECT hash FROM events WHERE id = 2) WHERE id = 2"
        ),
    );
    let ledger = open(&copy, OpenAs::Daemon).unwrap();
    assert_eq!(ledger.verify().await.unwrap().faults, Vec::<String>::new());
    assert!(!ledger.has_block(kept.hash).await.unwrap());
    assert!(doubt(&ledger).await.contains("older copy"));
}

#[tokio::test]
async fn an_erased_payload_breaks_no_chain_and_only_the_fold_is_missing_it() {
    let verification = found("DELETE FROM payloads WHERE event = 4").await;
    assert_eq!(verification.events, 6);
    let chained = |it: &&String| it.contains("does not follow") || it.contains("chain");
    assert_eq!(verification.faults.iter().find(chained), None);
    assert!(
        !verification.faults.is_empty(),
        "told that it cannot be folded"
    );
}
