//! The manifests: their file is valid, their alerts are the shipped ones, and each says what the others do.

use serde_json::Value;

use crate::support::{lapsed, project};

const FOLDER: &str = "examples/kubernetes";

fn read(path: &str) -> String {
    std::fs::read_to_string(project(path)).unwrap()
}

fn manifest(name: &str) -> Value {
    serde_yaml::from_str(&read(&format!("{FOLDER}/{name}"))).unwrap()
}

/// What an array has under a name, by that name.
fn names<'v>(list: &'v Value, key: &str) -> Vec<&'v str> {
    let all = list.as_array().expect("a list").iter();
    all.map(|it| it[key].as_str().unwrap()).collect()
}

#[test]
fn the_file_of_the_config_map_is_valid() {
    let ran = lapsed()
        .args(["check", "--config"])
        .arg(project(&format!("{FOLDER}/base/lapsed.yaml")))
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");
}

#[test]
fn the_rules_for_the_operator_are_the_shipped_ones() {
    let rules = read("config/prometheus/rules.yaml");
    let shipped: Value = serde_yaml::from_str(&rules).unwrap();
    let here = manifest("monitoring/prometheusrule.yaml");
    assert_eq!(
        here["spec"], shipped,
        "indent config/prometheus/rules.yaml below `spec:`"
    );
}

#[test]
fn every_resource_is_there_and_every_volume_is_mounted() {
    for folder in ["base", "git-sync", "monitoring"] {
        let list = manifest(&format!("{folder}/kustomization.yaml"));
        for name in list["resources"].as_array().unwrap() {
            let place = format!("{FOLDER}/{folder}/{}", name.as_str().unwrap());
            assert!(project(&place).exists(), "{place}");
        }
    }
    let pod = &manifest("base/deployment.yaml")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(
        names(&container["volumeMounts"], "name"),
        names(&pod["volumes"], "name")
    );
    // What in flight may take, and some seconds more.
    assert_eq!(pod["terminationGracePeriodSeconds"], 30);
    let port = names(&container["ports"], "name");
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let asked = container[probe]["httpGet"]["port"].as_str().unwrap();
        assert!(port.contains(&asked), "{probe}");
    }
    // The port that the file serves metrics and health on is the one that is scraped and probed.
    let metrics = &container["ports"][1]["containerPort"];
    assert!(read(&format!("{FOLDER}/base/lapsed.yaml")).contains(&format!("0.0.0.0:{metrics}")));
}
