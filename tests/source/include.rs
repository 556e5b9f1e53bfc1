//! What a main file includes.

use std::fs;

use super::support::{QUICK, World, link, write};

const MAIN: &str = "include: more/*.yaml\n";

#[tokio::test]
async fn included_files_come_and_go() {
    let mut world = World::with(MAIN, QUICK);
    let text = world.says(&[("lapsed.yaml", MAIN)]).await;
    assert_eq!(text.unmatched, ["more/*.yaml"]);

    world.write("more/b.yaml", "b");
    let text = world
        .says(&[("lapsed.yaml", MAIN), ("more/b.yaml", "b")])
        .await;
    assert!(text.unmatched.is_empty());

    world.write("more/a.yaml", "a");
    world
        .says(&[
            ("lapsed.yaml", MAIN),
            ("more/a.yaml", "a"),
            ("more/b.yaml", "b"),
        ])
        .await;

    world.write("more/a.yaml", "A");
    world
        .says(&[
            ("lapsed.yaml", MAIN),
            ("more/a.yaml", "A"),
            ("more/b.yaml", "b"),
        ])
        .await;

    fs::remove_file(world.path("more/b.yaml")).unwrap();
    world
        .says(&[("lapsed.yaml", MAIN), ("more/a.yaml", "A")])
        .await;

    fs::remove_dir_all(world.path("more")).unwrap();
    world.says(&[("lapsed.yaml", MAIN)]).await;
}

#[tokio::test]
async fn other_patterns_include_other_files() {
    let mut world = World::with(MAIN, QUICK);
    world.write("more/a.yaml", "a");
    world.write("batches/b.csv", "b");
    world
        .says(&[("lapsed.yaml", MAIN), ("more/a.yaml", "a")])
        .await;
    let main = "include: batches/*.csv\n";
    world.write("lapsed.yaml", main);
    world
        .says(&[("lapsed.yaml", main), ("batches/b.csv", "b")])
        .await;
}

#[tokio::test]
async fn an_included_path_that_leads_elsewhere_is_named_and_not_read() {
    let secrets = tempfile::tempdir().unwrap();
    write(secrets.path().join("secret.yaml"), "secret");
    let mut world = World::with(MAIN, QUICK);
    world.write("more/a.yaml", "a");
    world
        .says(&[("lapsed.yaml", MAIN), ("more/a.yaml", "a")])
        .await;

    link(
        secrets.path().join("secret.yaml"),
        world.path("more/b.yaml"),
    );
    let latest = world
        .until("the path that leads out", |latest| {
            latest
                .text
                .as_ref()
                .is_some_and(|text| !text.outside.is_empty())
        })
        .await;
    let text = latest.text.unwrap();
    assert_eq!(
        super::support::contents(&text),
        [("lapsed.yaml", MAIN), ("more/a.yaml", "a")]
    );
    assert_eq!(text.outside[0].pattern, "more/*.yaml");
    assert!(
        text.outside[0]
            .leads_to
            .ends_with("secret.yaml through more/b.yaml")
    );
    assert!(text.unmatched.is_empty());
}

#[tokio::test]
async fn an_included_link_that_leads_nowhere_is_a_problem() {
    let mut world = World::with(MAIN, QUICK);
    world.says(&[("lapsed.yaml", MAIN)]).await;
    fs::create_dir(world.path("more")).unwrap();
    link("nowhere", world.path("more/a.yaml"));
    assert!(
        world
            .problem()
            .await
            .to_string()
            .contains("more/a.yaml` does not exist")
    );
    world.write("more/nowhere", "somewhere");
    world
        .says(&[("lapsed.yaml", MAIN), ("more/a.yaml", "somewhere")])
        .await;
}
