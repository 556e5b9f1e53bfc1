//! The files that a plan is compared with: others on disk, or what git has of these.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use super::context::{Context, includes};
use crate::desired::{self, FileText, Input, Manifest};
use crate::source::{self, included_names};

/// Reads FILE, or the same files as they are in the git revision REV.
pub(super) fn read(context: &Context, against: &str) -> anyhow::Result<Manifest> {
    let path = Path::new(against);
    if path.exists() {
        let main = if path.is_dir() {
            path.join("lapsed.yaml")
        } else {
            path.to_owned()
        };
        let text = source::read_once(&main, &includes(), &source::Options::default())?;
        let files = text.files.into_iter().map(|file| (file.name, file.bytes));
        return judge(against, files.collect());
    }
    let files = Repository::around(context)?.files(against)?;
    judge(against, files)
}

fn judge(against: &str, files: Vec<(String, Vec<u8>)>) -> anyhow::Result<Manifest> {
    let input = Input {
        files: files
            .iter()
            .map(|(name, bytes)| FileText { name, bytes })
            .collect(),
        ..Input::default()
    };
    desired::read(&input).map_err(|problems| {
        let first = problems.first().map(|it| it.line()).unwrap_or_default();
        anyhow::anyhow!("--against {against}: the file is not valid there: {first}")
    })
}

/// The checkout that the main file stands in.
struct Repository {
    folder: std::path::PathBuf,
    main: String,
}

impl Repository {
    fn around(context: &Context) -> anyhow::Result<Self> {
        let main_file = context.main_file();
        let name = main_file
            .file_name()
            .context("the main file has no name")?
            .to_string_lossy()
            .into_owned();
        let folder = match main_file.parent() {
            Some(folder) if folder != Path::new("") => folder.to_owned(),
            _ => Path::new(".").to_owned(),
        };
        Ok(Self { folder, main: name })
    }

    /// The main file of a revision and what it includes there.
    fn files(&self, revision: &str) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
        if revision.starts_with('-') {
            bail!("--against {revision:?} is neither a file nor a revision of git");
        }
        let commit = format!("{revision}^{{commit}}");
        self.git(&["rev-parse", "--verify", "--quiet", &commit])
            .with_context(|| {
                format!("--against {revision:?} is neither a file nor a revision that git knows here (in a shallow clone, fetch it first)")
            })?;
        let main = self.show(revision, &self.main)?;
        let listed = self.git(&["ls-tree", "-r", "--name-only", "-z", revision, "."])?;
        let listed: Vec<String> = listed
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty())
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect();
        let patterns = desired::includes(&main);
        let mut files = vec![(self.main.clone(), main)];
        for name in included_names(&patterns, &listed, &self.main) {
            let bytes = self.show(revision, &name)?;
            files.push((name, bytes));
        }
        Ok(files)
    }

    fn show(&self, revision: &str, name: &str) -> anyhow::Result<Vec<u8>> {
        self.git(&["show", &format!("{revision}:./{name}")])
            .with_context(|| format!("{name} is not in {revision}"))
    }

    fn git(&self, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
        let output = Command::new("git")
            .arg("-C")
            .arg(&self.folder)
            .args(arguments)
            .output()
            .context("git cannot be run; --against takes a file as well")?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            bail!("git {}: {why}", arguments.first().unwrap_or(&""));
        }
        Ok(output.stdout)
    }
}
