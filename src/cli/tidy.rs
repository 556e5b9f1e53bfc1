//! `lapsed tidy`: the files without the lines of what is finished, as a diff.
//!
//! It changes nothing itself: a line leaves the file as it came into it, by a reviewed commit.
//! Before a diff is printed it is made, and what it leads to is read: it must be valid and want
//! of everybody else exactly what was wanted before.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};

use super::context::Context;
use super::{Exit, diff, output};
use crate::desired::lines::{Edited, without};
use crate::desired::{FileText, Manifest};
use crate::ledger::sqlite::SqliteLedger;
use crate::ledger::{Ledger as _, Page};
use crate::model::ids::Key;
use crate::model::standing::State;
use crate::model::terms::{Place, Wanted};
use crate::source::{SourceFile, Text};

/// Requests that are read of the ledger at once.
const AT_ONCE: u32 = 1_000;

/// Items left in place that are told one by one.
const MOST_TOLD: usize = 20;

/// What is said of an item whose file would not read as before without it.
const BOUND_UP: &str = "the file would say something else without it";

pub(super) async fn run(context: &Context) -> anyhow::Result<Exit> {
    let (text, manifest) = context.read()?;
    let path = context.ledger_path(Some(&manifest.config))?;
    let ledger = context.guest(Some(&manifest.config))?.ok_or_else(|| {
        anyhow!(
            "there is no ledger at {} yet, so that nothing is known to be finished; name another with --ledger",
            path.display()
        )
    })?;
    let ends = ends(&ledger, &manifest).await?;
    let is = |wanted: &Wanted, states: &[State]| {
        ends.get(&wanted.key).is_some_and(|it| states.contains(it))
    };
    let done = |wanted: &Wanted| is(wanted, &[State::Canceled, State::AlreadyCanceled]);
    let mut bound = Vec::new();
    let drafts = drafts(context, &text, &manifest, &done, &mut bound);
    let drafts = those_that_hold(context, &text, &manifest, drafts, &mut bound);
    let folder = folder(context)?;
    let top = Top::of(&folder)?;
    for draft in &drafts {
        let file = folder.join(&text.files[draft.file].name);
        context.print_exactly(&diff::unified(&top.name(&file), &draft.edited));
    }
    tell(context, &drafts, &top, &bound);
    let troubled = manifest
        .wanted
        .iter()
        .filter(|it| is(it, &[State::Failed, State::Missed]))
        .count();
    if troubled > 0 {
        let stay = if troubled == 1 {
            "is failed or missed and stays"
        } else {
            "are failed or missed and stay"
        };
        context.say(&format!(
            "{} {stay}: `lapsed status` says why",
            output::count(troubled as u64, "item")
        ));
    }
    Ok(Exit::Done)
}

/// How the requests of the file ended, of those that did.
async fn ends(ledger: &SqliteLedger, manifest: &Manifest) -> anyhow::Result<HashMap<Key, State>> {
    let wanted: HashSet<&Key> = manifest.wanted.iter().map(|it| &it.key).collect();
    let mut ends = HashMap::new();
    let mut after = 0;
    loop {
        let page = Page {
            states: vec![
                State::Canceled,
                State::AlreadyCanceled,
                State::Failed,
                State::Missed,
            ],
            after,
            limit: AT_ONCE,
            ..Page::default()
        };
        let found = ledger.page(page).await?;
        let Some(last) = found.last() else {
            return Ok(ends);
        };
        after = last.row;
        for request in found {
            let state = request.state();
            if wanted.contains(&request.key) {
                ends.insert(request.key, state);
            }
        }
    }
}

/// A file as it may become.
struct Draft<'t> {
    /// Its number among the files.
    file: usize,
    edited: Edited<'t>,
    /// Whose lines are gone.
    gone: Vec<&'t Wanted>,
}

/// An item that is finished and stays, and why.
struct Bound<'t> {
    key: &'t Key,
    place: &'t Place,
    why: &'static str,
}

/// Every file that changes.
fn drafts<'t>(
    context: &Context,
    text: &'t Text,
    manifest: &'t Manifest,
    done: &dyn Fn(&Wanted) -> bool,
    bound: &mut Vec<Bound<'t>>,
) -> Vec<Draft<'t>> {
    let mut by_file: HashMap<&str, Vec<&Wanted>> = HashMap::new();
    for wanted in &manifest.wanted {
        by_file.entry(&wanted.place.file).or_default().push(wanted);
    }
    let mut drafts = Vec::new();
    for (number, file) in text.files.iter().enumerate() {
        let Some(items) = by_file.get(context.shown(&file.name).as_str()) else {
            continue;
        };
        let mut goes: Vec<bool> = items.iter().map(|it| done(it)).collect();
        if !goes.contains(&true) {
            continue;
        }
        let read = FileText {
            name: &file.name,
            bytes: &file.bytes,
        };
        let without = without(read, &goes);
        for (item, why) in without.bound {
            goes[item] = false;
            bound.push(Bound::of(items[item], why));
        }
        let gone: Vec<&Wanted> = items
            .iter()
            .zip(goes)
            .filter(|(_, gone)| *gone)
            .map(|(item, _)| *item)
            .collect();
        if !gone.is_empty() {
            drafts.push(Draft {
                file: number,
                edited: without.edited,
                gone,
            });
        }
    }
    drafts
}

impl<'t> Bound<'t> {
    fn of(wanted: &'t Wanted, why: &'static str) -> Self {
        Self {
            key: &wanted.key,
            place: &wanted.place,
            why,
        }
    }
}

/// The drafts that lead to valid files which want the same of everybody else. Anchors, for one,
/// bind an item to lines that are not its own.
fn those_that_hold<'t>(
    context: &Context,
    text: &Text,
    manifest: &Manifest,
    drafts: Vec<Draft<'t>>,
    bound: &mut Vec<Bound<'t>>,
) -> Vec<Draft<'t>> {
    let all: Vec<&Draft<'_>> = drafts.iter().collect();
    if holds(context, text, manifest, &all) {
        return drafts;
    }
    let (hold, fall): (Vec<_>, Vec<_>) = drafts
        .into_iter()
        .partition(|draft| holds(context, text, manifest, &[draft]));
    for draft in fall {
        bound.extend(draft.gone.into_iter().map(|it| Bound::of(it, BOUND_UP)));
    }
    hold
}

fn holds(context: &Context, text: &Text, manifest: &Manifest, drafts: &[&Draft<'_>]) -> bool {
    let changed: HashMap<usize, &Draft<'_>> = drafts.iter().map(|it| (it.file, *it)).collect();
    let files = text
        .files
        .iter()
        .enumerate()
        .map(|(number, file)| SourceFile {
            name: file.name.clone(),
            bytes: match changed.get(&number) {
                Some(draft) => draft.edited.text().into_bytes(),
                None => file.bytes.clone(),
            },
        });
    let after = Text {
        commit: None,
        revision: text.revision.clone(),
        files: files.collect(),
        unmatched: text.unmatched.clone(),
        outside: text.outside.clone(),
    };
    let Ok(after) = context.judge(&after) else {
        return false;
    };
    let gone: HashSet<&Key> = drafts
        .iter()
        .flat_map(|draft| &draft.gone)
        .map(|it| &it.key)
        .collect();
    let stays = manifest
        .wanted
        .iter()
        .filter(|it| !gone.contains(&it.key))
        .map(|it| (&it.key, &it.terms, &it.place.file));
    let found = after
        .wanted
        .iter()
        .map(|it| (&it.key, &it.terms, &it.place.file));
    stays.eq(found) && after.end_marks == manifest.end_marks
}

/// The main file's folder, where it really is.
fn folder(context: &Context) -> anyhow::Result<PathBuf> {
    let main = context.main_file();
    let folder = match main.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    folder
        .canonicalize()
        .with_context(|| format!("the folder {} cannot be found", folder.display()))
}

/// The folder that the names of a diff count from, as those of `git diff` do: the top of the
/// checkout. Outside of one, the current folder; elsewhere, the root.
struct Top {
    folder: PathBuf,
    /// Whether it is a checkout.
    git: bool,
    /// Whether it is where the command runs.
    here: bool,
}

impl Top {
    fn of(folder: &Path) -> anyhow::Result<Self> {
        let current = std::env::current_dir()
            .and_then(|it| it.canonicalize())
            .context("the current folder cannot be found")?;
        let checkout = folder.ancestors().find(|it| it.join(".git").exists());
        let top = match checkout {
            Some(top) => top.to_owned(),
            None if folder.starts_with(&current) => current.clone(),
            None => PathBuf::from("/"),
        };
        Ok(Self {
            here: top == current,
            git: checkout.is_some(),
            folder: top,
        })
    }

    fn name(&self, file: &Path) -> String {
        let inside = file.strip_prefix(&self.folder).unwrap_or(file);
        inside.display().to_string()
    }

    /// What applies a diff.
    fn command(&self) -> String {
        match (self.git, self.here) {
            (true, true) => "git apply".to_owned(),
            (true, false) => format!("git -C {} apply", self.folder.display()),
            (false, true) => "patch -p1".to_owned(),
            (false, false) => format!("patch -p1 -d {}", self.folder.display()),
        }
    }
}

fn tell(context: &Context, drafts: &[Draft<'_>], top: &Top, bound: &[Bound<'_>]) {
    let gone: usize = drafts.iter().map(|it| it.gone.len()).sum();
    if gone > 0 {
        context.say(&format!(
            "without {} in {}; to apply it: lapsed tidy | {}",
            output::count(gone as u64, "finished item"),
            output::count(drafts.len() as u64, "file"),
            top.command()
        ));
    } else if bound.is_empty() {
        context.say("nothing to take out: no item of the file is finished");
    }
    for Bound { key, place, why } in bound.iter().take(MOST_TOLD) {
        context.say(&format!(
            "{place}: {key} is finished and cannot be taken out by lines: {why}; take it out by hand"
        ));
    }
    if bound.len() > MOST_TOLD {
        context.say(&format!("… and {} more", bound.len() - MOST_TOLD));
    }
}
