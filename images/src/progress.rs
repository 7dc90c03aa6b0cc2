//! Telling how far a build is: bars on a terminal, plain lines elsewhere, always on stderr.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Where progress goes. Cloning shares the place.
#[derive(Clone, Debug)]
pub struct Progress {
    multi: MultiProgress,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bars,
    Lines,
    Silent,
}

/// One step under way. Dropping it without [`Step::done`] removes its bar and says nothing more.
#[derive(Debug)]
pub struct Step {
    bar: ProgressBar,
    name: String,
    kind: Kind,
    since: Instant,
    last_line: Mutex<Instant>,
}

/// Time between two plain lines about the same step.
const LINE_EVERY: Duration = Duration::from_secs(15);

impl Progress {
    /// Bars when stderr is a terminal, plain lines otherwise.
    pub fn stderr() -> Self {
        Self::with(MultiProgress::new())
    }

    /// As [`Progress::stderr`], but among the bars of `multi`.
    pub fn with(multi: MultiProgress) -> Self {
        let kind = if std::io::stderr().is_terminal() { Kind::Bars } else { Kind::Lines };
        Self { multi, kind }
    }

    /// Says nothing at all.
    pub fn silent() -> Self {
        Self { multi: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()), kind: Kind::Silent }
    }

    /// Starts a step of `total` units; 0 when the number is not known.
    pub fn step(&self, name: &str, total: u64) -> Step {
        let bar = if self.kind == Kind::Bars {
            self.multi.add(ProgressBar::new(total).with_style(style(total)).with_prefix(name.to_owned()))
        } else {
            ProgressBar::hidden()
        };
        if self.kind == Kind::Bars {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        if self.kind == Kind::Lines {
            eprintln!("{name} ...");
        }
        bar.set_length(total);
        let now = Instant::now();
        Step { bar, name: name.into(), kind: self.kind, since: now, last_line: Mutex::new(now) }
    }

    /// One line for the person, above the bars.
    pub fn say(&self, line: &str) {
        match self.kind {
            // A line that cannot be drawn is no reason to stop a build.
            Kind::Bars => drop(self.multi.println(line)),
            Kind::Lines => eprintln!("{line}"),
            Kind::Silent => {}
        }
    }
}

fn style(total: u64) -> ProgressStyle {
    let template = if total == 0 {
        "{prefix:>24} {spinner} {elapsed} {wide_msg}"
    } else {
        "{prefix:>24} [{bar:28}] {percent:>3}% {elapsed} {wide_msg}"
    };
    ProgressStyle::with_template(template).expect("the template is a constant").progress_chars("=> ")
}

impl Step {
    /// One unit more is done; `message` says what is at hand.
    pub fn tick(&self, message: &str) {
        self.at(self.bar.position() + 1, message);
    }

    /// `units` more are done.
    pub fn advance(&self, units: u64) {
        self.at(self.bar.position() + units, "");
    }

    /// `position` units are done. A step that takes more units than announced stays at its end.
    pub fn at(&self, position: u64, message: &str) {
        let total = self.bar.length().unwrap_or(0);
        self.bar.set_position(if total == 0 { position } else { position.min(total) });
        self.bar.set_message(message.to_owned());
        self.line(position, total);
    }

    fn line(&self, position: u64, total: u64) {
        let mut last = self.last_line.lock().expect("nobody panics with this lock");
        if self.kind == Kind::Lines && last.elapsed() >= LINE_EVERY {
            *last = Instant::now();
            match total {
                0 => eprintln!("{}: {} s", self.name, self.since.elapsed().as_secs()),
                _ => eprintln!("{}: {} %", self.name, (100 * position / total).min(99)),
            }
        }
    }

    /// The step ended well.
    pub fn done(self) {
        let seconds = self.since.elapsed().as_secs_f64();
        match self.kind {
            Kind::Bars => self.bar.finish_with_message(format!("done in {seconds:.1} s")),
            Kind::Lines => eprintln!("{}: done in {seconds:.1} s", self.name),
            Kind::Silent => {}
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.bar.is_finished() {
            self.bar.finish_and_clear();
        }
    }
}
