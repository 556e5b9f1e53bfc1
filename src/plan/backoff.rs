//! How long to wait before the next look or the next try.

use std::time::Duration;

/// The longest wait before a retry (design, section 6, step 5).
const LONGEST_RETRY: Duration = Duration::from_secs(5 * 60);

/// The first wait of a hold; doubles with each look that changed nothing.
const FIRST_HOLD: Duration = Duration::from_secs(60);

/// The longest wait of a hold (design, section 3).
const LONGEST_HOLD: Duration = Duration::from_secs(24 * 60 * 60);

/// The first wait before a stopped provider is tried once.
const FIRST_TRIAL: Duration = Duration::from_secs(30);

/// The longest wait before a stopped provider is tried once more.
const LONGEST_TRIAL: Duration = Duration::from_secs(60 * 60);

/// Before the try that follows `attempts` that had no effect: 1 s doubling to 5 min, with full
/// jitter. `jitter` lies in `[0, 1)`.
pub fn retry(attempts: u32, jitter: f64) -> Duration {
    doubling(
        Duration::from_secs(1),
        attempts.saturating_sub(1),
        LONGEST_RETRY,
    )
    .mul_f64(jitter.clamp(0.0, 1.0))
}

/// Before the next look at something held, after `idle_looks` that changed nothing.
pub fn hold(idle_looks: u32) -> Duration {
    doubling(FIRST_HOLD, idle_looks, LONGEST_HOLD)
}

/// Before the next trial of a stopped provider, after `trials` that failed.
pub fn trial(trials: u32) -> Duration {
    doubling(FIRST_TRIAL, trials, LONGEST_TRIAL)
}

/// Before the next reading of an unknown outcome, after `reads`: 1, 2, 4 s …, at most a
/// quarter of `resend_after` apart.
pub fn unknown(reads: u32, resend_after: Duration) -> Duration {
    let longest = (resend_after / 4).max(Duration::from_millis(100));
    doubling(
        Duration::from_secs(1).min(longest),
        reads.saturating_sub(1),
        longest,
    )
}

fn doubling(first: Duration, times: u32, longest: Duration) -> Duration {
    first
        .checked_mul(2_u32.checked_pow(times).unwrap_or(u32::MAX))
        .map_or(longest, |wait| wait.min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_stay_under_their_longest() {
        assert_eq!(retry(1, 0.5), Duration::from_millis(500));
        assert_eq!(retry(3, 1.0), Duration::from_secs(4));
        assert_eq!(retry(40, 1.0), LONGEST_RETRY);
        assert_eq!(hold(0), Duration::from_secs(60));
        assert_eq!(hold(60), LONGEST_HOLD);
        let resend_after = Duration::from_secs(1_800);
        assert_eq!(unknown(1, resend_after), Duration::from_secs(1));
        assert_eq!(unknown(3, resend_after), Duration::from_secs(4));
        assert_eq!(unknown(30, resend_after), Duration::from_secs(450));
    }
}
