//! A folder with a followed file in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lapsed::clock::SystemClock;
use lapsed::source::{Includes, Latest, Options, Source, SourceError, Text, read_once};
use tempfile::TempDir;
use tokio::sync::watch;

/// Longer than anything that is waited for takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// A wait that no test outlives.
pub const NEVER: Duration = Duration::from_secs(3600);

/// Short enough for a test, long enough for a busy machine to write a file in.
pub const QUICK: Options = Options {
    poll: Duration::from_millis(200),
    settle: Duration::from_millis(300),
    max_bytes: 1024 * 1024,
    commit: None,
};

/// Each line `include: PATTERN` of a main file includes.
pub fn includes() -> Includes {
    Arc::new(|bytes| {
        String::from_utf8_lossy(bytes)
            .lines()
            .filter_map(|line| line.strip_prefix("include: "))
            .map(str::to_owned)
            .collect()
    })
}

pub fn read(main: &Path) -> Result<Text, SourceError> {
    read_once(main, &includes(), &QUICK)
}

pub fn write(path: impl AsRef<Path>, text: &str) {
    let path = path.as_ref();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

pub fn link(target: impl AsRef<Path>, path: impl AsRef<Path>) {
    std::os::unix::fs::symlink(target, path).unwrap();
}

/// Sets a link anew in one step, as the kubelet and git-sync do.
pub fn relink(target: impl AsRef<Path>, path: impl AsRef<Path>) {
    let path = path.as_ref();
    let beside = path.with_file_name("..link_tmp");
    link(target, &beside);
    fs::rename(&beside, path).unwrap();
}

/// The name and what is in it, of each file.
pub fn contents(text: &Text) -> Vec<(&str, &str)> {
    text.files
        .iter()
        .map(|file| {
            (
                file.name.as_str(),
                std::str::from_utf8(&file.bytes).unwrap(),
            )
        })
        .collect()
}

/// A followed file.
pub struct World {
    pub folder: TempDir,
    pub main: PathBuf,
    pub source: Source,
    latest: watch::Receiver<Latest>,
    /// What the main file held at each reading, published or not.
    read: Arc<Mutex<Vec<String>>>,
    published: Arc<Mutex<Vec<Arc<Text>>>>,
}

impl World {
    /// Follows `lapsed.yaml` in a folder of its own.
    pub fn with(text: &str, options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path().join("lapsed.yaml"), text);
        Self::follow(folder, "lapsed.yaml", options)
    }

    pub fn follow(folder: TempDir, main: &str, options: Options) -> Self {
        let main = folder.path().join(main);
        let read = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&read);
        let patterns: Includes = Arc::new(move |bytes| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            told.lock().unwrap().push(text);
            includes()(bytes)
        });
        let source = Source::watch(
            main.clone(),
            patterns,
            options,
            Arc::new(SystemClock::new()),
        );
        let published = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(collect(source.subscribe(), Arc::clone(&published)));
        Self {
            latest: source.subscribe(),
            folder,
            main,
            source,
            read,
            published,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        write(self.path(name), text);
    }

    /// Waits for a state of things.
    pub async fn until(&mut self, what: &str, holds: impl FnMut(&Latest) -> bool) -> Latest {
        let found = tokio::time::timeout(PATIENCE, self.latest.wait_for(holds)).await;
        if let Ok(latest) = found {
            return latest.unwrap().clone();
        }
        panic!(
            "waited in vain for {what}; there is {:?}",
            self.source.subscribe().borrow()
        );
    }

    /// Waits until exactly this is published, without a problem.
    pub async fn says(&mut self, files: &[(&str, &str)]) -> Arc<Text> {
        let wanted = |latest: &Latest| {
            let text = latest.text.as_deref();
            latest.problem.is_none() && text.is_some_and(|text| contents(text) == files)
        };
        let latest = self.until(&format!("{files:?}"), wanted).await;
        latest.text.unwrap()
    }

    /// Waits until the main file says this.
    pub async fn main_says(&mut self, text: &str) -> Arc<Text> {
        let wanted = |latest: &Latest| {
            let found = latest.text.as_ref();
            latest.problem.is_none()
                && found.is_some_and(|found| found.files[0].bytes == text.as_bytes())
        };
        self.until(text, wanted).await.text.unwrap()
    }

    pub async fn problem(&mut self) -> SourceError {
        let latest = self
            .until("a problem", |latest| latest.problem.is_some())
            .await;
        latest.problem.unwrap()
    }

    /// Waits until the main file was read with this in it, be it published or not.
    pub async fn was_read(&self, text: &str) {
        let read = async {
            while !self.read.lock().unwrap().iter().any(|read| read == text) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, read)
            .await
            .expect("it was never read");
    }

    /// What the main file said in each text that was published.
    pub fn published(&self) -> Vec<String> {
        let texts = self.published.lock().unwrap();
        texts
            .iter()
            .map(|text| String::from_utf8(text.files[0].bytes.clone()).unwrap())
            .collect()
    }

    /// Each text that was published.
    pub fn texts(&self) -> Vec<Arc<Text>> {
        self.published.lock().unwrap().clone()
    }
}

async fn collect(mut latest: watch::Receiver<Latest>, into: Arc<Mutex<Vec<Arc<Text>>>>) {
    while latest.changed().await.is_ok() {
        let Some(text) = latest.borrow_and_update().text.clone() else {
            continue;
        };
        let mut texts = into.lock().unwrap();
        if texts.last() != Some(&text) {
            texts.push(text);
        }
    }
}
