//! Files that are reached through links which are set anew: a Kubernetes ConfigMap, git-sync.
//!
//! Nothing stands still for an hour in these tests, so whatever is published was read at once.

use std::fs;
use std::path::Path;

use lapsed::source::Options;

use super::support::{NEVER, QUICK, World, contents, link, relink, write};

const MAIN: &str = "include: *.yaml\n";

/// Writes one version of a ConfigMap with two keys, and makes it the current one.
fn config_map(volume: &Path, version: &str, text: &str) {
    let folder = format!("..{version}");
    write(volume.join(&folder).join("lapsed.yaml"), MAIN);
    write(volume.join(&folder).join("items.yaml"), text);
    relink(&folder, volume.join("..data"));
}

#[tokio::test]
async fn a_config_map_is_read_as_soon_as_it_is_swapped() {
    let volume = tempfile::tempdir().unwrap();
    config_map(volume.path(), "2026_1", "one");
    link("..data/lapsed.yaml", volume.path().join("lapsed.yaml"));
    link("..data/items.yaml", volume.path().join("items.yaml"));
    let never_still = Options {
        settle: NEVER,
        poll: NEVER,
        ..QUICK
    };
    let mut world = World::follow(volume, "lapsed.yaml", never_still);
    world.source.reload();
    world
        .says(&[("lapsed.yaml", MAIN), ("items.yaml", "one")])
        .await;

    for (old, new, text) in [("2026_1", "2026_2", "two"), ("2026_2", "2026_3", "three")] {
        config_map(world.folder.path(), new, text);
        fs::remove_dir_all(world.path(&format!("..{old}"))).unwrap();
        let text = world
            .says(&[("lapsed.yaml", MAIN), ("items.yaml", text)])
            .await;
        assert!(text.outside.is_empty());
    }
}

#[tokio::test]
async fn a_linked_folder_is_read_as_soon_as_it_leads_elsewhere() {
    let root = tempfile::tempdir().unwrap();
    for (commit, text) in [("aaa", "one"), ("bbb", "two")] {
        write(
            root.path()
                .join("worktrees")
                .join(commit)
                .join("lapsed.yaml"),
            MAIN,
        );
        write(
            root.path()
                .join("worktrees")
                .join(commit)
                .join("items.yaml"),
            text,
        );
    }
    link("worktrees/aaa", root.path().join("current"));
    let never_still = Options {
        settle: NEVER,
        poll: NEVER,
        ..QUICK
    };
    let mut world = World::follow(root, "current/lapsed.yaml", never_still);
    world.source.reload();
    world
        .says(&[("lapsed.yaml", MAIN), ("items.yaml", "one")])
        .await;

    relink("worktrees/bbb", world.path("current"));
    fs::remove_dir_all(world.path("worktrees/aaa")).unwrap();
    world
        .says(&[("lapsed.yaml", MAIN), ("items.yaml", "two")])
        .await;
    for text in world.texts() {
        assert_eq!(contents(&text).len(), 2, "never a part of it");
    }
}

#[tokio::test]
async fn a_file_behind_a_link_is_followed_where_it_really_is() {
    let root = tempfile::tempdir().unwrap();
    write(root.path().join("real/file.yaml"), "one");
    fs::create_dir(root.path().join("etc")).unwrap();
    link("../real/file.yaml", root.path().join("etc/lapsed.yaml"));
    let mut world = World::follow(
        root,
        "etc/lapsed.yaml",
        Options {
            poll: NEVER,
            ..QUICK
        },
    );
    world.says(&[("lapsed.yaml", "one")]).await;
    world.write("real/file.yaml", "two");
    world.says(&[("lapsed.yaml", "two")]).await;
}

#[tokio::test]
async fn links_in_a_circle_are_a_problem() {
    let root = tempfile::tempdir().unwrap();
    link("b", root.path().join("a"));
    link("a", root.path().join("b"));
    let mut world = World::follow(root, "a", QUICK);
    let problem = world.problem().await.to_string();
    assert!(problem.contains("too many links"), "{problem}");
}
