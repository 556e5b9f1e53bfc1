//! What is shipped to run lapsed with is understood by what shall run it.

mod gitops;
mod kubernetes;
mod pull_request;
mod upgrade;

use std::process::Command;

use crate::support::project;

/// systemd's own opinion of the unit; 2.0 of 10 is what it calls exposed at most.
#[test]
fn systemd_understands_the_unit_and_finds_it_closed() {
    let Ok(version) = Command::new("systemd-analyze").arg("--version").output() else {
        println!("LEFT OUT: systemd-analyze is not there");
        return;
    };
    assert!(version.status.success());
    let unit = std::fs::read_to_string(project("examples/systemd/lapsed.service")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().join("lapsed.service");
    // Where it is installed nothing stands while this runs.
    let installed = "/usr/local/bin/lapsed";
    assert!(unit.contains(installed));
    std::fs::write(&here, unit.replace(installed, env!("CARGO_BIN_EXE_lapsed"))).unwrap();
    for arguments in [
        ["verify", "--man=no"].as_slice(),
        &["security", "--offline=true", "--threshold=20"],
    ] {
        let ran = Command::new("systemd-analyze")
            .args(arguments)
            .arg(&here)
            .output()
            .unwrap();
        let told = [ran.stdout, ran.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
        assert!(ran.status.success(), "{arguments:?}: {told:?}");
        assert!(arguments[0] == "security" || told[1].is_empty(), "{told:?}");
    }
}
