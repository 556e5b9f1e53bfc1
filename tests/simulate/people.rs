//! What people want and write down: the file, line by line.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeZone as _, Utc};
use chrono_tz::Tz;
use lapsed::model::ids::ProviderName;
use lapsed::sandbox::{Provider, cast};

/// The zone of bare days in the file.
pub const ZONE: Tz = Tz::America__New_York;

/// One of the three providers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    Academy,
    Donations,
    Metered,
}

impl Who {
    pub const ALL: [Self; 3] = [Self::Academy, Self::Donations, Self::Metered];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Academy => "academy",
            Self::Donations => "donations",
            Self::Metered => "metered",
        }
    }

    pub fn name(self) -> ProviderName {
        ProviderName::parse(self.as_str()).unwrap()
    }

    pub const fn provider(self) -> Provider {
        match self {
            Self::Academy => Provider::Kajabi,
            Self::Donations => Provider::Revere,
            Self::Metered => Provider::Lotus,
        }
    }

    /// The id of its n-th subscription, as a file has it.
    pub fn id(self, number: u32) -> String {
        match self {
            Self::Academy => format!("9{number:06}"),
            Self::Donations => format!("don-{number:06}"),
            Self::Metered => format!("sub_{number:032x}"),
        }
    }
}

/// When a line wants it to end.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    Now,
    Day(NaiveDate),
    Instant(DateTime<Utc>),
    /// At the period's end; the window in hours before it; whether late is better than never.
    Period {
        opens: i64,
        closes: i64,
        late: bool,
        /// What the line itself says of the end (Kajabi).
        ends: Option<DateTime<Utc>>,
    },
}

/// A line of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub who: Who,
    pub number: u32,
    pub again: u32,
    pub wish: Wish,
    pub reason: Option<String>,
    /// The customer whose subscription it should be, where the line says so.
    pub customer: Option<String>,
    /// Whoever wrote it made a mistake: it must never be acted on.
    pub mistaken: bool,
}

impl Line {
    /// It shall end now, and nothing else is said.
    pub fn now(who: Who, number: u32) -> Self {
        Self {
            who,
            number,
            again: 1,
            wish: Wish::Now,
            reason: None,
            customer: None,
            mistaken: false,
        }
    }

    pub fn id(&self) -> String {
        self.who.id(self.number)
    }

    /// The first instant at which it may be sent, where that is a matter of the line alone.
    pub fn due(&self) -> Option<DateTime<Utc>> {
        match &self.wish {
            Wish::Now | Wish::Period { .. } => None,
            Wish::Instant(at) => Some(*at),
            Wish::Day(day) => Some(first_instant(*day)),
        }
    }

    fn write(&self, text: &mut String) {
        let Self {
            who,
            again,
            wish,
            reason,
            customer,
            ..
        } = self;
        write!(
            text,
            "  - {{id: \"{}\", provider: {}",
            self.id(),
            who.as_str()
        )
        .unwrap();
        match wish {
            Wish::Now => text.push_str(", when: now"),
            Wish::Day(day) => write!(text, ", when: {day}").unwrap(),
            Wish::Instant(at) => write!(text, ", when: \"{}\"", at.to_rfc3339()).unwrap(),
            Wish::Period {
                opens,
                closes,
                late,
                ends,
            } => {
                let missed = if *late { "now" } else { "next_period" };
                write!(
                    text,
                    ", when: end_of_period, window: {{opens: {opens}h, closes: {closes}h}}, when_missed: {missed}"
                )
                .unwrap();
                if let Some(ends) = ends {
                    write!(text, ", period_ends: \"{}\"", ends.to_rfc3339()).unwrap();
                }
            }
        }
        if *again > 1 {
            write!(text, ", again: {again}").unwrap();
        }
        if let Some(reason) = reason {
            write!(text, ", reason: \"{reason}\"").unwrap();
        }
        if let Some(customer) = customer {
            write!(text, ", expect: {{customer: \"{customer}\"}}").unwrap();
        }
        text.push_str("}\n");
    }
}

/// The first instant of a day where the file is read.
pub fn first_instant(day: NaiveDate) -> DateTime<Utc> {
    let midnight = day.and_hms_opt(0, 0, 0).unwrap();
    ZONE.from_local_datetime(&midnight)
        .earliest()
        .unwrap()
        .to_utc()
}

/// The whole file.
#[derive(Clone, Debug)]
pub struct FileText {
    pub observes: Vec<Who>,
    pub per_hour: u64,
    pub per_day: u64,
    pub approval_above: u64,
    pub removal_above: u64,
    /// Nothing is sent from the first of these days to the end of the last.
    pub freeze: Option<(NaiveDate, NaiveDate)>,
    pub approvals: Vec<String>,
    pub lines: Vec<Line>,
    /// Requests in a minute.
    pub rate: u32,
    pub concurrency: u32,
    /// How long a lost request may still take effect.
    pub resend_after: Duration,
    /// Grows, so that equal wishes are another text.
    pub edition: u32,
}

/// `timeout` of all providers.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// Reasons that what is asked of Lotus costs.
pub const USAGE: &str = "bill_none";
pub const INVOICING: &str = "add_to_next_invoice";

impl FileText {
    pub fn new() -> Self {
        Self {
            observes: Vec::new(),
            per_hour: 100,
            per_day: 1_000,
            approval_above: 12,
            removal_above: 6,
            freeze: None,
            approvals: Vec::new(),
            lines: Vec::new(),
            rate: 600,
            concurrency: 3,
            resend_after: Duration::from_secs(30 * 60),
            edition: 1,
        }
    }

    pub fn text(&self) -> String {
        let mode = |who| {
            if self.observes.contains(&who) {
                "observe"
            } else {
                "enforce"
            }
        };
        let common = format!(
            "rate_limit: {}/m, concurrency: {}, timeout: {}s, resend_after: {}s",
            self.rate,
            self.concurrency,
            TIMEOUT.as_secs(),
            self.resend_after.as_secs()
        );
        let mut text = format!(
            "# Edition {edition}\n\
             version: 1\n\
             mode: enforce\n\
             reconcile: {{schedule: \"*/30 * * * *\", timezone: {ZONE}}}\n\
             providers:\n  \
               academy: {{type: kajabi, base_url: \"http://127.0.0.1:7001/kajabi\", client_id: {{env: K_ID}}, client_secret: {{env: K_SECRET}}, mode: {academy}, {common}}}\n  \
               donations: {{type: revere, base_url: \"http://127.0.0.1:7002/revere\", group_id: {group}, linked_account_id: {account}, api_key: {{env: R_KEY}}, mode: {donations}, {common}}}\n  \
               metered: {{type: lotus, base_url: \"http://127.0.0.1:7003/lotus\", api_key: {{env: L_KEY}}, mode: {metered}, {common}}}\n\
             limits: {{per_hour: {per_hour}, per_day: {per_day}, approval_above: {approval}, removal_above: {removal}, stop_after_failures: 1000}}\n\
             policies:\n  \
               - {{name: metered, match: {{type: lotus}}, set: {{usage_behavior: {USAGE}, invoicing_behavior: {INVOICING}}}}}\n",
            edition = self.edition,
            academy = mode(Who::Academy),
            donations = mode(Who::Donations),
            metered = mode(Who::Metered),
            group = cast::REVERE_GROUP,
            account = cast::REVERE_ACCOUNT,
            per_hour = self.per_hour,
            per_day = self.per_day,
            approval = self.approval_above,
            removal = self.removal_above,
        );
        if let Some((from, until)) = self.freeze {
            writeln!(
                text,
                "freezes: [{{name: closing, from: {from}, until: {until}}}]"
            )
            .unwrap();
        }
        if !self.approvals.is_empty() {
            text.push_str("approvals:\n");
            for digest in &self.approvals {
                writeln!(text, "  - {{plan: {digest}, by: dana, reason: looked at}}").unwrap();
            }
        }
        if self.lines.is_empty() {
            text.push_str("cancellations: []\n");
        } else {
            text.push_str("cancellations:\n");
            for line in &self.lines {
                line.write(&mut text);
            }
        }
        text.push_str("...\n");
        text
    }
}
