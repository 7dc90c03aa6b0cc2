//! The view of an exploration under way: one line on a terminal, a line now and then elsewhere.

use super::results::SeedResult;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How often a line is written where no terminal shows the bar.
const PAUSE: Duration = Duration::from_secs(30);

/// The view of an exploration under way.
#[derive(Debug)]
pub struct View {
    bar: ProgressBar,
    started: Instant,
    before: usize,
    last_line: Mutex<Instant>,
}

impl View {
    /// Begins, with so many results there already, and so many seeds to come at most.
    pub fn new(before: usize, seeds: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(seeds, ProgressDrawTarget::stderr());
        let template = if seeds.is_some() { "{elapsed} {bar:20} {msg}" } else { "{elapsed} {spinner} {msg}" };
        bar.set_style(ProgressStyle::with_template(template).expect("the template is well-formed"));
        bar.set_position(before as u64);
        Self { bar, started: Instant::now(), before, last_line: Mutex::new(Instant::now()) }
    }

    /// Shows how things stand.
    pub fn show(&self, results: &[SeedResult], orders: usize) {
        let line = self.line(results, orders);
        self.bar.set_position(results.len() as u64);
        self.bar.set_message(line.clone());
        let mut last = self.last_line.lock().expect("nobody panics with this lock");
        if self.bar.is_hidden() && last.elapsed() >= PAUSE {
            eprintln!("{line}");
            *last = Instant::now();
        }
    }

    fn line(&self, results: &[SeedResult], orders: usize) -> String {
        let failed: Vec<_> = results.iter().filter(|r| r.has_failed()).collect();
        let which = failed.last().map(|r| format!(" (seed {}: {})", r.seed, super::summary::kind(r)));
        format!(
            "{} schedules, {:.1}/s, {} failed{}, {orders} orders of accesses",
            results.len(),
            self.per_second(results.len()),
            failed.len(),
            which.unwrap_or_default()
        )
    }

    /// Schedules per second since it began.
    #[expect(clippy::cast_precision_loss, reason = "nobody makes 2^52 runs")]
    pub fn per_second(&self, results: usize) -> f64 {
        (results - self.before) as f64 / self.started.elapsed().as_secs_f64().max(1e-3)
    }

    /// Removes it.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}
