//! `lapsed init`: a minimal file, and what to fill in.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;

use super::Exit;
use super::context::Context;
use crate::desired;

/// The arguments of `init`.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Where to write it; a folder means its `lapsed.yaml`
    #[arg(default_value = "lapsed.yaml")]
    path: PathBuf,
}

pub(super) fn run(context: &Context, args: &InitArgs) -> anyhow::Result<Exit> {
    let path = if args.path.is_dir() {
        args.path.join("lapsed.yaml")
    } else {
        args.path.clone()
    };
    let schema = path.with_file_name("lapsed.schema.json");
    write_new(&path, desired::starter())?;
    let mut wrote = format!("wrote {}", path.display());
    if !schema.exists() {
        let text = format!("{}\n", serde_json::to_string_pretty(&desired::schema())?);
        write_new(&schema, &text)?;
        wrote.push_str(&format!(
            " and {} (for completion in editors)",
            schema.display()
        ));
    }
    let shown = path.display();
    context.print(&format!(
        "{wrote}

Next:
  1. name your providers in it; set the environment variables that it refers to
  2. lapsed check --config {shown}
  3. add cancellations, then: lapsed plan --config {shown}
  4. lapsed run --config {shown}    (sends nothing before `mode: enforce`)
"
    ));
    Ok(Exit::Done)
}

/// Writes a file that must not be there yet.
fn write_new(path: &std::path::Path, text: &str) -> anyhow::Result<()> {
    let mut file = match std::fs::File::create_new(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!(
                "{} is there already and stays as it is; name another path",
                path.display()
            );
        }
        Err(error) => {
            return Err(error).with_context(|| format!("{} cannot be written", path.display()));
        }
    };
    file.write_all(text.as_bytes())
        .with_context(|| format!("{} cannot be written", path.display()))
}
