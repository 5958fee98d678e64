//! One line for each long step: a spinner with the time on a terminal, plain lines elsewhere.
//!
//! Neighbours: [`crate::packages`], [`crate::debian`], [`crate::bench`], `xtask`.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Steps shorter than this leave no line with their duration.
const WORTH_MENTIONING: Duration = Duration::from_secs(1);

/// Runs `work`, showing `what` while it lasts and, where it was long, how long it took.
///
/// # Errors
/// Those of `work`.
pub fn step<T>(what: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let started = Instant::now();
    let result = if std::io::stderr().is_terminal() {
        let spinner = ProgressBar::new_spinner().with_message(what.to_owned());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            spinner.set_style(style);
        }
        spinner.enable_steady_tick(Duration::from_millis(120));
        let result = work();
        spinner.finish_and_clear();
        result
    } else {
        eprintln!("{what} ...");
        work()
    };
    let took = started.elapsed();
    if result.is_ok() && took >= WORTH_MENTIONING {
        eprintln!("{what}: done in {:.1} s", took.as_secs_f64());
    }
    result
}
