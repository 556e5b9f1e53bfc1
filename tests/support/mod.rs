//! What the tests of the binary share: a folder with a file and a ledger, the sandbox, the
//! real process, and a plain HTTP client.

pub mod prometheus;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lapsed::clock::{Stopwatch, SystemClock};
use lapsed::sandbox::{Sandbox, Seeds, cast};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The longest that any condition is waited for; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(300);

/// A folder with a file and a ledger, and a sandbox that it speaks to.
pub struct Home {
    folder: TempDir,
    sandbox: Option<Sandbox>,
    // Dropped last: the sandbox runs on it.
    runtime: Runtime,
}

impl Home {
    /// With the demo's cast at the sandbox.
    pub fn new() -> Self {
        Self::with(Seeds::demo())
    }

    pub fn with(seeds: Seeds) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let sandbox = runtime
            .block_on(Sandbox::start(any, Arc::new(SystemClock::new()), seeds))
            .unwrap();
        Self {
            folder: TempDir::new().unwrap(),
            sandbox: Some(sandbox),
            runtime,
        }
    }

    /// The folder's real path: a ledger behind a symlink is refused.
    pub fn path(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    pub fn file(&self) -> PathBuf {
        self.path().join("lapsed.yaml")
    }

    pub fn ledger(&self) -> PathBuf {
        self.path().join("lapsed.db")
    }

    pub fn sandbox(&self) -> SocketAddr {
        self.sandbox.as_ref().unwrap().address()
    }

    /// Replaces the file by a whole one: the head with all three providers, and these items.
    pub fn write(&self, items: &str) {
        self.write_text(&self.text("", items));
    }

    /// Replaces the file by renaming, as an editor does.
    pub fn write_text(&self, text: &str) {
        let next = self.path().join("lapsed.yaml.next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(next, self.file()).unwrap();
    }

    /// A file with all three providers at the sandbox in enforce mode.
    pub fn text(&self, settings: &str, items: &str) -> String {
        let urls = self.sandbox.as_ref().unwrap().urls();
        format!(
            r#"version: 1
mode: enforce
ledger: sqlite:{ledger}
reconcile: {{schedule: "* * * * * *", timezone: UTC}}
providers:
  academy:
    type: kajabi
    base_url: {kajabi}
    client_id: {{value: {kajabi_id}}}
    client_secret: {{value: {kajabi_secret}}}
    rate_limit: 1000/s
    timeout: 2s
    resend_after: 4s
  donations:
    type: revere
    base_url: {revere}
    group_id: {group}
    linked_account_id: {account}
    api_key: {{value: {revere_key}}}
    rate_limit: 1000/s
    timeout: 2s
    resend_after: 4s
  metered:
    type: lotus
    base_url: {lotus}
    api_key: {{value: {lotus_key}}}
    organization_id: {organization}
    rate_limit: 1000/s
    timeout: 2s
    resend_after: 4s
policies:
  - name: metered
    match: {{provider: metered}}
    set: {{usage_behavior: bill_full, invoicing_behavior: invoice_now}}
  - name: usual
    set: {{when: now, reason: Customer request}}
{settings}cancellations:{items}
...
"#,
            ledger = self.ledger().display(),
            kajabi = urls.kajabi,
            revere = urls.revere,
            lotus = urls.lotus,
            kajabi_id = cast::KAJABI_CLIENT_ID,
            kajabi_secret = cast::KAJABI_CLIENT_SECRET,
            group = cast::REVERE_GROUP,
            account = cast::REVERE_ACCOUNT,
            revere_key = cast::REVERE_KEY,
            lotus_key = cast::LOTUS_KEY,
            organization = cast::LOTUS_ORGANIZATION,
        )
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Ran {
        let mut command = lapsed();
        command.current_dir(self.path()).args(args);
        Ran::of(command.output().unwrap())
    }

    /// Starts the daemon and waits until it serves.
    pub fn daemon(&self) -> Daemon {
        let mut daemon = self.start();
        daemon.serving();
        daemon
    }

    /// Starts the daemon in another way and waits until it serves.
    pub fn daemon_with(&self, tune: impl FnOnce(&mut Command)) -> Daemon {
        let mut daemon = self.start_with(tune);
        daemon.serving();
        daemon
    }

    /// Starts the daemon and waits for nothing.
    pub fn start(&self) -> Daemon {
        self.start_with(|_| {})
    }

    /// The same in other surroundings: an environment, a log that nobody reads.
    pub fn start_as(&self, tune: impl FnOnce(&mut Command)) -> Daemon {
        self.start_with(tune)
    }

    fn start_with(&self, tune: impl FnOnce(&mut Command)) -> Daemon {
        let mut command = lapsed();
        command
            .current_dir(self.path())
            .args(["run", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        tune(&mut command);
        if !command.get_args().any(|it| it == "--log-format") {
            command.args(["--log-format", "json"]);
        }
        Daemon::of(command.spawn().unwrap())
    }

    /// What is true at the sandbox.
    pub fn truth(&self) -> Value {
        get(self.sandbox(), "/sandbox/state").json()
    }

    /// What is true of one subscription.
    pub fn truth_of(&self, id: &str) -> Value {
        let state = get(self.sandbox(), &format!("/sandbox/state?id={id}")).json();
        state["subscriptions"][0].clone()
    }

    /// Writes that the providers received, as `METHOD PATH`.
    pub fn writes(&self) -> Vec<String> {
        let log = get(self.sandbox(), "/sandbox/requests").json();
        log["requests"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|it| {
                ["cancel", "update"].contains(&it["operation"].as_str().unwrap_or_default())
            })
            .map(|it| {
                format!(
                    "{} {}",
                    it["method"].as_str().unwrap(),
                    it["path"].as_str().unwrap()
                )
            })
            .collect()
    }

    /// The provider's name in the file, and the id, of everything at the sandbox.
    pub fn all(&self) -> Vec<(&'static str, String)> {
        let state = get(self.sandbox(), "/sandbox/state?limit=100000").json();
        let subscriptions = state["subscriptions"].as_array().unwrap();
        subscriptions
            .iter()
            .map(|it| {
                let provider = match it["provider"].as_str().unwrap() {
                    "kajabi" => "academy",
                    "revere" => "donations",
                    _ => "metered",
                };
                (provider, it["id"].as_str().unwrap().to_owned())
            })
            .collect()
    }

    pub fn fault(&self, fault: &Value) {
        let answer = post(self.sandbox(), "/sandbox/faults", &[], &fault.to_string());
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    /// Takes back every fault.
    pub fn heal(&self) {
        let answer = try_ask(self.sandbox(), "DELETE", "/sandbox/faults", &[], "");
        assert_eq!(answer.expect("an answer").status, 200);
    }

    /// The state of one item, as the ledger has it.
    pub fn state(&self, key: &str) -> String {
        let ran = self.run(&["explain", key, "--format", "json"]);
        if ran.code != 0 {
            return format!("{}{}", ran.out, ran.err);
        }
        let explained: Value = serde_json::from_str(&ran.out).unwrap();
        let item = &explained["items"][0];
        item["state"]
            .as_str()
            .or(item["item"]["state"].as_str())
            .unwrap_or("not in the ledger")
            .to_owned()
    }

    /// Waits until an item is in a state.
    pub fn until_state(&self, key: &str, state: &str) {
        until(&format!("{key} is {state}"), || self.state(key) == state);
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(sandbox) = self.sandbox.take() {
            self.runtime.block_on(sandbox.stop());
        }
    }
}

/// The binary, with nothing of this process's environment that it would read.
pub fn lapsed() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lapsed"));
    #[expect(clippy::disallowed_methods, reason = "to take it out")]
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("LAPSED_") || name.starts_with("RUST_LOG") || name == "NO_COLOR" {
            command.env_remove(name);
        }
    }
    command
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The same, where it must have ended with this code.
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "stdout:\n{}\nstderr:\n{}",
            self.out, self.err
        );
        self
    }
}

/// A running daemon. It is killed when it is dropped.
pub struct Daemon {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    pub address: Option<SocketAddr>,
}

impl Daemon {
    fn of(mut child: Child) -> Self {
        let log = Arc::new(Mutex::new(Vec::new()));
        if let Some(stderr) = child.stderr.take() {
            let kept = Arc::clone(&log);
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    kept.lock().unwrap().push(line);
                }
            });
        }
        Self {
            child,
            log,
            address: None,
        }
    }

    /// Waits until it serves.
    pub fn serving(&mut self) {
        const SAYS: &str = "listening on http://";
        until("the daemon listens", || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended:\n{}", self.log());
            self.log
                .lock()
                .unwrap()
                .iter()
                .find_map(|line| {
                    let (_, rest) = line.split_once(SAYS)?;
                    rest.split('/').next()?.parse().ok()
                })
                .inspect(|address| self.address = Some(*address))
                .is_some()
        });
        let address = self.address();
        until("the daemon answers", || {
            try_ask(address, "GET", "/livez", &[], "").is_some()
        });
    }

    pub fn address(&self) -> SocketAddr {
        self.address.expect("the daemon serves")
    }

    /// Its process.
    #[allow(dead_code, reason = "the benches ask")]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn get(&self, path: &str) -> Answer {
        get(self.address(), path)
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    pub fn signal(&self, name: &str) {
        let done = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(done.success());
    }

    /// Kills it as `kill -9` does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end and gives its exit code.
    pub fn ended(&mut self) -> i32 {
        let mut status = None;
        until("the daemon has ended", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An HTTP answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }
}

pub fn get(address: SocketAddr, path: &str) -> Answer {
    try_ask(address, "GET", path, &[], "").expect("an answer")
}

pub fn post(address: SocketAddr, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    try_ask(address, "POST", path, headers, body).expect("an answer")
}

/// One request on a connection of its own.
fn try_ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream
        .write_all(format!("{head}\r\n{body}").as_bytes())
        .ok()?;
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).ok()?;
    let heard = String::from_utf8_lossy(&heard).into_owned();
    let (head, body) = heard.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    let body = if chunked {
        unchunked(body)
    } else {
        body.to_owned()
    };
    Some(Answer { status, body })
}

fn unchunked(mut text: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 {
            break;
        }
        body.push_str(rest.get(..size).unwrap_or(rest));
        text = rest.get(size + 2..).unwrap_or("");
    }
    body
}

/// Waits for a condition.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let watch = Stopwatch::start();
    while !holds() {
        assert!(watch.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// A path of the project.
pub fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
