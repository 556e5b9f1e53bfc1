//! The command line: one file per command.
//!
//! Results go to stdout, logs and messages to stderr. Exit codes: 0 done, 1 failed, 2 changes
//! (`plan --detailed-exitcode`), 64 wrong usage, 78 invalid file. Only this room reads the
//! environment.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

use self::context::{Context, Invalid};
use crate::telemetry::{self, LogFormat, Logging};

mod against;
mod ask;
mod check;
mod context;
mod demo;
mod diff;
mod doctor;
mod explain;
mod history;
mod init;
mod ledger;
mod letter;
mod list;
mod output;
mod plan;
mod run;
mod sandbox;
mod status;
mod tidy;

/// Of each package in the binary, with their texts. A test writes it, and another one compares it.
const LICENSES: &str = include_str!("licenses.txt");

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// There is something to do (`plan --detailed-exitcode`).
    Changes = 2,
    /// Wrong usage (EX_USAGE).
    Usage = 64,
    /// An invalid file (EX_CONFIG).
    Invalid = 78,
}

/// Carries out the subscription cancellations that a reviewed file asks for, each once.
#[derive(Debug, Parser)]
#[command(
    name = "lapsed",
    version,
    about,
    arg_required_else_help = true,
    after_help = "Try it: lapsed demo\nBegin:  lapsed init, then lapsed check, lapsed plan, lapsed run"
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Global {
    /// The main file; a folder means its `lapsed.yaml` [default: lapsed.yaml, else
    /// config/lapsed.yaml]
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "LAPSED_CONFIG",
        hide_env_values = true
    )]
    config: Option<PathBuf>,
    /// The ledger, `sqlite:PATH` [default: the file's `ledger`, $STATE_DIRECTORY, else the
    /// XDG state folder]
    #[arg(
        long,
        global = true,
        value_name = "LEDGER",
        env = "LAPSED_LEDGER",
        hide_env_values = true
    )]
    ledger: Option<String>,
    /// What a line of the log looks like [default: text on a terminal, else json]
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<LogShape>,
    /// error, warn, info, debug or trace [default: info; RUST_LOG for more]
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogShape {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The daemon: watches the file, acts on the schedule, serves metrics and the page
    Run(run::RunArgs),
    /// Writes a minimal file and says what to fill in
    Init(init::InitArgs),
    /// Reads and validates the file; needs no secret
    Check(check::CheckArgs),
    /// What would happen, when and why; sends nothing
    Plan(plan::PlanArgs),
    /// Counts by provider and state, what is due next, what is held and why
    Status(status::StatusArgs),
    /// One item: where each field comes from, what was observed, what holds it, what is next
    Explain(explain::ExplainArgs),
    /// Events and attempts; --verify checks the record
    History(history::HistoryArgs),
    /// What a provider has, as a table, CSV or items to paste; reads only
    List(list::ListArgs),
    /// Sends nothing until `resume`
    Pause(ask::PauseArgs),
    /// Goes on after `pause`
    Resume(ask::PauseArgs),
    /// Makes a tick now
    Reconcile(ask::PauseArgs),
    /// Frees what waits under a digest that `plan` prints
    Approve(ask::ApproveArgs),
    /// Plans afresh what failed or was missed
    Retry(ask::RetryArgs),
    /// Credentials, connection, clock, ledger, next ticks: one line each, with the cure
    Doctor,
    /// Prints the files without the lines of what is finished, as a diff
    Tidy,
    /// Care of the ledger
    Ledger(ledger::LedgerArgs),
    /// Prints the JSON Schema of the file, for completion and hover help in an editor
    Schema {
        /// That of an included file
        #[arg(long)]
        included: bool,
    },
    /// The three providers' APIs in memory, for trying and for tests
    Sandbox(sandbox::SandboxArgs),
    /// The real daemon on a fresh example file against the sandbox, told as it happens
    Demo(demo::DemoArgs),
    /// Prints a shell's completion script
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Prints the licences of all that the binary is made of
    Licenses,
    /// Prints the manual page, or writes one of each command into a folder
    Man {
        /// The folder; it is made where it is missing
        folder: Option<PathBuf>,
    },
}

/// The commands as their manual pages tell them: `help` is a way to ask, and none of its own.
fn for_manual() -> clap::Command {
    Cli::command().disable_help_subcommand(true)
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let exit = match Cli::try_parse() {
        Ok(cli) => run(cli),
        Err(help) => {
            // Help and version are asked for; anything else is wrong usage.
            let _ = help.print();
            if help.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            }
        }
    };
    ExitCode::from(exit as u8)
}

fn run(cli: Cli) -> Exit {
    let context = Context::new(&cli.global);
    if let Err(why) = telemetry::start(&logging(&cli, &context)) {
        context.complain(&why.to_string());
        return Exit::Usage;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(dispatch(&context, cli.command));
            // A blocked thread (a file on a dead mount) must not keep the process.
            runtime.shutdown_timeout(std::time::Duration::from_secs(1));
            result
        }
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(exit) => exit,
        Err(error) => match error.downcast_ref::<Invalid>() {
            Some(invalid) => {
                context.complain(&invalid.to_string());
                Exit::Invalid
            }
            None => {
                context.complain(&format!("{error:#}"));
                Exit::Failed
            }
        },
    }
}

fn logging(cli: &Cli, context: &Context) -> Logging {
    use std::io::IsTerminal as _;
    let terminal = std::io::stderr().is_terminal();
    let format = match cli.global.log_format {
        Some(LogShape::Text) => LogFormat::Text,
        Some(LogShape::Json) => LogFormat::Json,
        None if terminal || !matches!(cli.command, Command::Run(_)) => LogFormat::Text,
        None => LogFormat::Json,
    };
    // A command says what it has to say by itself; the daemon, and those that play it, log.
    let quiet = !matches!(cli.command, Command::Run(_) | Command::Sandbox(_));
    let level = cli.global.log_level.clone();
    Logging {
        format,
        level: level.or_else(|| {
            (quiet && context.variable("RUST_LOG").is_none()).then(|| "error".to_owned())
        }),
        filter: context.variable("RUST_LOG").map(str::to_owned),
        no_color: context.plain(),
    }
}

async fn dispatch(context: &Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Run(args) => run::run(context, &args).await,
        Command::Init(args) => init::run(context, &args),
        Command::Check(args) => check::run(context, &args).await,
        Command::Plan(args) => plan::run(context, &args).await,
        Command::Status(args) => status::run(context, &args).await,
        Command::Explain(args) => explain::run(context, &args).await,
        Command::History(args) => history::run(context, &args).await,
        Command::List(args) => list::run(context, &args).await,
        Command::Pause(args) => ask::pause(context, &args).await,
        Command::Resume(args) => ask::resume(context, &args).await,
        Command::Reconcile(args) => ask::reconcile(context, &args).await,
        Command::Approve(args) => ask::approve(context, &args).await,
        Command::Retry(args) => ask::retry(context, &args).await,
        Command::Doctor => doctor::run(context).await,
        Command::Tidy => tidy::run(context).await,
        Command::Ledger(args) => ledger::run(context, &args).await,
        Command::Schema { included } => {
            let schema = if included {
                crate::desired::included_schema()
            } else {
                crate::desired::schema()
            };
            context.print_exactly(&format!("{}\n", serde_json::to_string_pretty(&schema)?));
            Ok(Exit::Done)
        }
        Command::Sandbox(args) => sandbox::run(context, &args).await,
        Command::Demo(args) => demo::run(context, &args).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "lapsed", &mut script);
            context.print_exactly(&String::from_utf8_lossy(&script));
            Ok(Exit::Done)
        }
        Command::Licenses => {
            context.print_exactly(LICENSES);
            Ok(Exit::Done)
        }
        Command::Man { folder: None } => {
            let mut page = Vec::new();
            clap_mangen::Man::new(for_manual()).render(&mut page)?;
            context.print_exactly(&String::from_utf8_lossy(&page));
            Ok(Exit::Done)
        }
        Command::Man {
            folder: Some(folder),
        } => {
            std::fs::create_dir_all(&folder)
                .and_then(|()| clap_mangen::generate_to(for_manual(), &folder))
                .with_context(|| {
                    format!("the pages cannot be written into {}", folder.display())
                })?;
            Ok(Exit::Done)
        }
    }
}
