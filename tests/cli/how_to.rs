//! `docs/how-to.md`: what it shows is valid, and what it tells to type is there.

use std::path::Path;

use crate::support::{Ran, lapsed, project};

/// What every file begins with, where the text shows what is added.
const HEAD: &str = "version: 1\nmode: observe\nreconcile: {timezone: Europe/Berlin}\n";

const PROVIDERS: &str = "providers:
  academy: {type: kajabi, token: {env: KAJABI_TOKEN}}
  donations: {type: revere, group_id: g, linked_account_id: l, api_key: {env: REVERE_API_KEY}}
";

/// A block between fences.
struct Block {
    section: String,
    language: String,
    text: String,
}

fn blocks() -> Vec<Block> {
    let text = std::fs::read_to_string(project("docs/how-to.md")).unwrap();
    let (mut blocks, mut section, mut open) = (Vec::new(), String::new(), None::<(Block, usize)>);
    for line in text.lines() {
        let bare = line.trim_start();
        open = match open.take() {
            Some((block, _)) if bare == "```" => {
                blocks.push(block);
                None
            }
            Some((mut block, indent)) => {
                block.text += line.get(indent..).unwrap_or_default();
                block.text.push('\n');
                Some((block, indent))
            }
            None => {
                if let Some(heading) = line.strip_prefix("## ") {
                    section = heading.to_owned();
                }
                bare.strip_prefix("```").map(|language| {
                    let block = Block {
                        section: section.clone(),
                        language: language.to_owned(),
                        text: String::new(),
                    };
                    (block, line.len() - bare.len())
                })
            }
        };
    }
    assert!(open.is_none(), "a block has no end");
    blocks
}

/// Where an included file of a section lies, if it is one.
fn included(block: &Block) -> Option<&str> {
    match block.language.as_str() {
        "csv" => Some("cancellations/autumn.csv"),
        "yaml" => block.text.lines().next()?.strip_prefix("# "),
        _ => None,
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
fn each_file_of_the_how_to_is_valid() {
    let blocks = blocks();
    let mains = blocks
        .iter()
        .filter(|it| it.language == "yaml" && included(it).is_none());
    let mut checked = 0;
    for main in mains {
        let folder = tempfile::tempdir().unwrap();
        for block in blocks.iter().filter(|it| it.section == main.section) {
            if let Some(name) = included(block) {
                write(folder.path(), name, &block.text);
            }
        }
        let providers = if main.text.contains("providers:") {
            ""
        } else {
            PROVIDERS
        };
        let text = format!("{HEAD}{providers}{}", main.text);
        write(folder.path(), "lapsed.yaml", &text);
        let ran = Ran::of(
            lapsed()
                .arg("check")
                .arg("--config")
                .arg(folder.path())
                .output()
                .unwrap(),
        );
        let ran = ran.ended(0);
        assert!(
            !ran.out.contains(" 0 cancellations") || !main.text.contains("include"),
            "{text}"
        );
        checked += 1;
    }
    assert!(checked > 7, "{checked}");
}

#[test]
fn each_command_of_the_how_to_is_one_that_there_is() {
    let blocks = blocks();
    let lines = blocks.iter().filter(|it| it.language == "console");
    let lines: Vec<&str> = lines.flat_map(|it| it.text.lines()).collect();
    assert!(lines.len() > 15, "{lines:?}");
    for line in lines {
        let command = line
            .strip_prefix("$ lapsed ")
            .unwrap_or_else(|| panic!("{line}"));
        let arguments = shlex(command);
        // What it does stands elsewhere; that it is understood as far as it goes, here.
        let help = Ran::of(lapsed().args(&arguments).arg("--help").output().unwrap()).ended(0);
        assert!(help.out.contains("Usage: lapsed"), "{line}");
    }
}

/// Words, of which one in quotes may have spaces.
fn shlex(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (place, part) in line.split('"').enumerate() {
        match place % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}
