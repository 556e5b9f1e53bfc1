//! What the workflow for pull requests runs.

use std::fs;
use std::path::Path;

use crate::support::{lapsed, project};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The commands of the workflow's steps, as they are typed behind the image.
fn commands() -> Vec<Vec<String>> {
    let workflow = fs::read_to_string(project("examples/github-actions/workflow.yaml")).unwrap();
    let joined = workflow.replace("\\\n", " ");
    let lines: Vec<&str> = joined.lines().collect();
    let mut commands = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        if let Some((_, rest)) = line.split_once("\"$IMAGE\"") {
            // A folded step goes on in the next line.
            let rest = match rest.trim() {
                "" => lines[number + 1],
                rest => rest,
            };
            let words = rest.split_whitespace().take_while(|word| *word != ">");
            commands.push(words.map(str::to_owned).collect());
        }
    }
    commands
}

#[test]
fn a_pull_request_is_checked_and_told_against_its_base_without_a_ledger_or_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    copy(&project("examples/churn-batch"), folder.path());
    copy(
        &project("examples/churn-batch"),
        &folder.path().join(".base"),
    );
    // The change: the last of the table is left out.
    let table = folder.path().join("cancellations/2027-01.csv");
    let text = fs::read_to_string(&table).unwrap();
    let (kept, _) = text.trim_end().rsplit_once('\n').unwrap();
    fs::write(&table, format!("{kept}\n")).unwrap();
    let commands = commands();
    assert_eq!(commands.len(), 2, "{commands:?}");
    let mut told = Vec::new();
    for command in &commands {
        let ran = lapsed()
            .current_dir(folder.path())
            .env("LAPSED_LEDGER", "sqlite:/var/lib/lapsed/not-there.db")
            .args(command)
            .output()
            .unwrap();
        assert!(ran.status.success(), "{command:?}: {ran:?}");
        told.push(String::from_utf8(ran.stdout).unwrap());
    }
    assert!(told[1].starts_with("### lapsed plan"), "{}", told[1]);
    assert!(told[1].contains("| Withdrawn |"), "{}", told[1]);
}
