//! The task that looks at the files, waits until they stand still, and publishes them.
//!
//! Looking and reading happen on the blocking threads; only the waiting is here.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use super::error::SourceError;
use super::files::{Look, Reader, Reading, Survey};
use super::hints::Hints;
use super::{Latest, Options, git};
use crate::clock::Clock;

/// A change seldom comes alone, so a look waits this long for the rest of it.
const HINT_PAUSE: Duration = Duration::from_millis(50);

/// Why the files are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Urgency {
    /// A hint or the poll.
    Ordinary,
    /// Somebody asked for a reading now.
    Asked,
}

/// Looks at the files for as long as it runs.
pub(super) struct Follower {
    reader: Arc<Reader>,
    options: Options,
    clock: Arc<dyn Clock>,
    latest: watch::Sender<Latest>,
    asked: Arc<Notify>,
    hinted: Arc<Notify>,
    hints: Arc<Mutex<Hints>>,
    /// What the last reading included; none before the first.
    patterns: Option<Arc<Vec<String>>>,
    published: Option<Published>,
    waiting: Option<Waiting>,
}

struct Published {
    survey: Arc<Survey>,
    text: Said,
}

/// What makes two texts the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    revision: String,
    unmatched: Vec<String>,
    outside: Vec<super::Outside>,
}

/// A change that may not be whole yet.
struct Waiting {
    seen: Result<Survey, SourceError>,
    since: Instant,
    /// The revision, or the problem, that the last reading of it found.
    reading: Option<Result<String, SourceError>>,
}

impl Follower {
    pub(super) fn new(
        reader: Arc<Reader>,
        options: Options,
        clock: Arc<dyn Clock>,
        latest: watch::Sender<Latest>,
        asked: Arc<Notify>,
    ) -> Self {
        let hinted = Arc::new(Notify::new());
        Self {
            reader,
            options,
            clock,
            latest,
            asked,
            hints: Arc::new(Mutex::new(Hints::new(Arc::clone(&hinted)))),
            hinted,
            patterns: None,
            published: None,
            waiting: None,
        }
    }

    pub(super) async fn run(mut self) {
        let mut urgency = Urgency::Ordinary;
        loop {
            let pause = self.step(urgency).await;
            urgency = self.wait(pause).await;
        }
    }

    async fn wait(&self, pause: Duration) -> Urgency {
        tokio::select! {
            () = self.asked.notified() => Urgency::Asked,
            () = self.hinted.notified() => {
                sleep(HINT_PAUSE).await;
                Urgency::Ordinary
            }
            () = sleep(pause.min(self.options.poll)) => Urgency::Ordinary,
        }
    }

    /// Looks once and does what follows from it. Tells when to look again at the latest.
    async fn step(&mut self, urgency: Urgency) -> Duration {
        match self.look().await {
            Ok(survey) if urgency == Urgency::Ordinary && self.is_published(&survey) => {
                self.found_unchanged();
                self.options.poll
            }
            Ok(survey) if urgency == Urgency::Asked || self.has_jumped(&survey) => {
                self.read_at_once().await
            }
            Ok(survey) => self.read_when_still(survey).await,
            Err(problem) if urgency == Urgency::Asked => {
                self.publish_problem(problem);
                self.half()
            }
            Err(problem) => self.fail_when_still(problem),
        }
    }

    /// Whether the main file is reached through a link that leads elsewhere now: such a
    /// link is set when what it leads to is whole.
    fn has_jumped(&self, survey: &Survey) -> bool {
        (self.published.as_ref()).is_some_and(|published| published.survey.links != survey.links)
    }

    fn is_published(&self, survey: &Survey) -> bool {
        (self.published.as_ref()).is_some_and(|published| *published.survey == *survey)
    }

    async fn read_at_once(&mut self) -> Duration {
        match self.read().await {
            Ok(reading) => self.publish(reading),
            Err(SourceError::Changing) => return self.half(),
            Err(problem) => self.publish_problem(problem),
        }
        self.options.poll
    }

    /// Reads once in the middle of the wait and once at its end; both must agree.
    async fn read_when_still(&mut self, survey: Survey) -> Duration {
        let first = self.patterns.is_none();
        let still = self.note(Ok(survey));
        let due = match self
            .waiting
            .as_ref()
            .and_then(|waiting| waiting.reading.as_ref())
        {
            // What is included must be known before it can be seen to stand still.
            None if first => Duration::ZERO,
            None => self.half(),
            Some(_) => self.options.settle,
        };
        if still < due {
            return due - still;
        }
        let reading = self.read().await;
        self.weigh(reading)
    }

    /// Publishes a reading that agrees with the one before; else keeps it for the next.
    fn weigh(&mut self, reading: Result<Reading, SourceError>) -> Duration {
        let outcome = match &reading {
            Err(SourceError::Changing) => {
                self.waiting = None;
                return self.half();
            }
            Err(problem) => Err(problem.clone()),
            Ok(reading) => {
                // Other patterns include other files, which must stand still as well.
                self.note(Ok(reading.survey.clone()));
                Ok(reading.text.revision.clone())
            }
        };
        let Some(waiting) = &mut self.waiting else {
            return self.half();
        };
        if waiting.since.elapsed() < self.options.settle
            || waiting.reading.as_ref() != Some(&outcome)
        {
            waiting.reading = Some(outcome);
            return self.half();
        }
        match reading {
            Ok(reading) => self.publish(reading),
            Err(problem) => self.publish_problem(problem),
        }
        self.options.poll
    }

    /// An editor may take a file away for a moment, and git is seldom busy for long.
    fn fail_when_still(&mut self, problem: SourceError) -> Duration {
        if self.note(Err(problem.clone())) >= self.options.settle {
            self.publish_problem(problem);
        }
        self.half()
    }

    /// For how long the files have looked like this.
    fn note(&mut self, seen: Result<Survey, SourceError>) -> Duration {
        match &self.waiting {
            Some(waiting) if waiting.seen == seen => waiting.since.elapsed(),
            _ => {
                self.waiting = Some(Waiting {
                    seen,
                    since: Instant::now(),
                    reading: None,
                });
                Duration::ZERO
            }
        }
    }

    fn half(&self) -> Duration {
        (self.options.settle / 2).max(HINT_PAUSE)
    }

    fn found_unchanged(&mut self) {
        self.waiting = None;
        let now = self.clock.now();
        self.latest.send_if_modified(|latest| {
            latest.seen_at = Some(now);
            latest.problem.take().is_some()
        });
    }

    fn publish(&mut self, reading: Reading) {
        self.waiting = None;
        let said = Said {
            revision: reading.text.revision.clone(),
            unmatched: reading.text.unmatched.clone(),
            outside: reading.text.outside.clone(),
        };
        let is_new = (self.published.as_ref()).is_none_or(|published| published.text != said);
        self.published = Some(Published {
            survey: Arc::new(reading.survey),
            text: said,
        });
        let now = self.clock.now();
        self.latest.send_if_modified(|latest| {
            latest.seen_at = Some(now);
            if is_new {
                latest.text = Some(Arc::new(reading.text));
            }
            latest.problem.take().is_some() || is_new
        });
    }

    fn publish_problem(&self, problem: SourceError) {
        self.latest.send_if_modified(|latest| {
            let is_new = latest.problem.as_ref() != Some(&problem);
            latest.problem = Some(problem);
            is_new
        });
    }

    /// Looks at the files, and at git if they are not as they were published.
    async fn look(&self) -> Result<Survey, SourceError> {
        let reader = Arc::clone(&self.reader);
        let hints = Arc::clone(&self.hints);
        let patterns = self.patterns.clone().unwrap_or_default();
        let published = (self.published.as_ref()).map(|published| Arc::clone(&published.survey));
        let (survey, folders) = blocking(move || {
            let Look { survey, folders } = reader.look(&patterns);
            let survey = survey.and_then(|survey| {
                if published.is_none_or(|published| *published != survey) {
                    refuse_while_git_works(&survey)?;
                }
                Ok(survey)
            });
            Ok((survey, folders))
        })
        .await?;
        // Hints may fail, even by a panic in the watcher: then the poll alone goes on.
        let _ = tokio::task::spawn_blocking(move || {
            if let Ok(mut hints) = hints.lock() {
                hints.follow(&folders);
            }
        })
        .await;
        survey
    }

    async fn read(&mut self) -> Result<Reading, SourceError> {
        let reader = Arc::clone(&self.reader);
        let reading = blocking(move || {
            let reading = reader.read()?;
            refuse_while_git_works(&reading.survey)?;
            Ok(reading)
        })
        .await?;
        self.patterns = Some(Arc::new(reading.patterns.clone()));
        Ok(reading)
    }
}

fn refuse_while_git_works(survey: &Survey) -> Result<(), SourceError> {
    match git::sign_of_work(survey.homes()) {
        Some(sign) => Err(SourceError::Busy { sign }),
        None => Ok(()),
    }
}

/// Runs what may wait for a disk away from the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| {
            let why = error.to_string();
            Err(SourceError::Broken { why })
        })
}
