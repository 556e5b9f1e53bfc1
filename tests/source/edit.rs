//! A plain file that people and tools edit.

use std::fs;
use std::io::Write;
use std::time::Duration;

use lapsed::source::{Options, SourceError};

use super::support::{NEVER, QUICK, World, write};

#[tokio::test]
async fn a_file_is_read_when_it_stands_still() {
    let mut world = World::with("one", QUICK);
    let text = world.says(&[("lapsed.yaml", "one")]).await;
    assert_eq!(text.revision.len(), 32);
    assert!(text.revision.bytes().all(|byte| byte.is_ascii_hexdigit()));
}

#[tokio::test]
async fn an_edit_in_place_is_noticed_without_waiting_for_the_poll() {
    let mut world = World::with(
        "one",
        Options {
            poll: NEVER,
            ..QUICK
        },
    );
    world.main_says("one").await;
    world.write("lapsed.yaml", "two");
    world.main_says("two").await;
}

#[tokio::test]
async fn a_file_renamed_over_it_is_noticed_every_time() {
    let mut world = World::with(
        "0",
        Options {
            poll: NEVER,
            ..QUICK
        },
    );
    world.main_says("0").await;
    for text in ["1", "2", "3"] {
        world.write("beside", text);
        fs::rename(world.path("beside"), &world.main).unwrap();
        world.main_says(text).await;
    }
}

#[tokio::test]
async fn half_a_file_is_not_published_while_it_is_being_written() {
    let slow = Options {
        settle: Duration::from_secs(2),
        ..QUICK
    };
    let mut world = World::with("whole", slow);
    world.main_says("whole").await;

    world.write("lapsed.yaml", "first half, ");
    world.was_read("first half, ").await;
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(&world.main)
        .unwrap();
    file.write_all(b"second half").unwrap();

    world.main_says("first half, second half").await;
    assert_eq!(world.published(), ["whole", "first half, second half"]);
}

#[tokio::test]
async fn an_edit_that_keeps_size_and_time_is_noticed() {
    let mut world = World::with("one", QUICK);
    world.main_says("one").await;
    let time = fs::metadata(&world.main).unwrap().modified().unwrap();
    world.write("lapsed.yaml", "two");
    let file = fs::OpenOptions::new()
        .append(true)
        .open(&world.main)
        .unwrap();
    file.set_modified(time).unwrap();
    world.main_says("two").await;
}

#[tokio::test]
async fn a_file_that_is_touched_but_says_the_same_wakes_nobody() {
    let mut world = World::with("one", QUICK);
    let first = world.until("a text", |latest| latest.text.is_some()).await;
    world.write("lapsed.yaml", "one");
    let seen = first.seen_at.unwrap();
    world.write("other", "");
    // The second reading of the same text moves `seen_at` on, and nothing else.
    while world.source.subscribe().borrow().seen_at.unwrap() <= seen {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(world.published(), ["one"]);
}

#[tokio::test]
async fn a_deleted_file_is_a_problem_and_its_return_ends_it() {
    let mut world = World::with("one", QUICK);
    world.main_says("one").await;

    fs::remove_file(&world.main).unwrap();
    let problem = world.problem().await;
    assert_eq!(
        problem,
        SourceError::Missing {
            path: world.main.clone()
        }
    );
    assert!(problem.to_string().contains("lapsed.yaml` does not exist"));
    assert_eq!(world.published(), ["one"], "the last text stays");

    world.write("lapsed.yaml", "one");
    world.main_says("one").await;
    fs::remove_file(&world.main).unwrap();
    world.problem().await;
    world.write("lapsed.yaml", "two");
    world.main_says("two").await;
    assert_eq!(world.published(), ["one", "two"]);
}

#[tokio::test]
async fn a_file_that_is_gone_for_a_moment_is_no_problem() {
    let slow = Options {
        settle: Duration::from_secs(2),
        ..QUICK
    };
    let mut world = World::with("one", slow);
    let mut latest = world.source.subscribe();
    world.main_says("one").await;
    fs::rename(&world.main, world.path("backup~")).unwrap();
    world.write("lapsed.yaml", "two");
    let after = latest
        .wait_for(|latest| {
            assert_eq!(latest.problem, None);
            latest
                .text
                .as_ref()
                .is_some_and(|text| text.files[0].bytes == b"two")
        })
        .await;
    assert!(after.is_ok());
}

#[tokio::test]
async fn a_folder_may_be_deleted_and_made_anew() {
    let outer = tempfile::tempdir().unwrap();
    write(outer.path().join("etc/lapsed.yaml"), "one");
    let mut world = World::follow(outer, "etc/lapsed.yaml", QUICK);
    world.main_says("one").await;

    fs::remove_dir_all(world.path("etc")).unwrap();
    assert!(matches!(world.problem().await, SourceError::Missing { .. }));
    for text in ["two", "three"] {
        world.write("etc/lapsed.yaml", text);
        world.main_says(text).await;
    }
}

#[tokio::test]
async fn a_folder_may_be_swapped_for_another() {
    let outer = tempfile::tempdir().unwrap();
    write(outer.path().join("etc/lapsed.yaml"), "old");
    write(outer.path().join("new/lapsed.yaml"), "new");
    let mut world = World::follow(outer, "etc/lapsed.yaml", QUICK);
    world.main_says("old").await;
    fs::rename(world.path("etc"), world.path("gone")).unwrap();
    fs::rename(world.path("new"), world.path("etc")).unwrap();
    world.main_says("new").await;
    world.write("etc/lapsed.yaml", "newer");
    world.main_says("newer").await;
}

#[tokio::test]
async fn a_file_that_is_not_there_at_first_is_read_when_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::follow(folder, "not/yet/lapsed.yaml", QUICK);
    assert!(matches!(world.problem().await, SourceError::Missing { .. }));
    assert!(world.source.first().await.is_err());
    world.write("not/yet/lapsed.yaml", "here");
    world.main_says("here").await;
}

#[tokio::test]
async fn a_file_that_nobody_may_read_is_a_problem() {
    use std::os::unix::fs::PermissionsExt;
    if rustix::process::geteuid().is_root() {
        return; // Whom no permission stops.
    }
    let mut world = World::with("one", QUICK);
    world.main_says("one").await;
    let permit = |mode| fs::set_permissions(&world.main, fs::Permissions::from_mode(mode)).unwrap();
    permit(0o000);
    let problem = world.problem().await;
    assert!(
        matches!(problem, SourceError::Unreadable { denied: true, .. }),
        "{problem:?}"
    );
    fs::set_permissions(&world.main, fs::Permissions::from_mode(0o600)).unwrap();
    world.main_says("one").await;
}

#[tokio::test]
async fn a_folder_in_place_of_the_file_is_a_problem() {
    let mut world = World::with("one", QUICK);
    world.main_says("one").await;
    fs::remove_file(&world.main).unwrap();
    fs::create_dir(&world.main).unwrap();
    let path = world.main.canonicalize().unwrap();
    world
        .until("a problem", |latest| {
            latest.problem == Some(SourceError::NotAFile { path: path.clone() })
        })
        .await;
    fs::remove_dir(&world.main).unwrap();
    world.write("lapsed.yaml", "two");
    world.main_says("two").await;
}

#[tokio::test]
async fn a_file_that_grows_too_large_is_a_problem_until_the_limit_is_raised() {
    let mut world = World::with(
        "small",
        Options {
            max_bytes: 10,
            ..QUICK
        },
    );
    world.main_says("small").await;
    world.write("lapsed.yaml", "larger than ten");
    assert_eq!(
        world.problem().await,
        SourceError::TooLarge { max_bytes: 10 }
    );
    world.source.set_max_bytes(100);
    world.main_says("larger than ten").await;
}

#[tokio::test]
async fn reload_reads_without_waiting() {
    let mut world = World::with(
        "one",
        Options {
            settle: NEVER,
            poll: NEVER,
            ..QUICK
        },
    );
    world.source.reload();
    world.main_says("one").await;
    world.write("lapsed.yaml", "two");
    world.source.reload();
    world.main_says("two").await;
    fs::remove_file(&world.main).unwrap();
    world.source.reload();
    assert!(matches!(world.problem().await, SourceError::Missing { .. }));
}

#[tokio::test]
async fn a_text_that_is_let_go_is_not_kept() {
    let mut world = World::with("one", QUICK);
    let text = world.main_says("one").await;
    assert_eq!(*world.source.first().await.unwrap(), *text);
    world.source.release("another");
    assert!(world.source.subscribe().borrow().text.is_some());
    world.source.release(&text.revision);
    assert!(world.source.subscribe().borrow().text.is_none());
    world.write("lapsed.yaml", "two");
    world.main_says("two").await;
}
