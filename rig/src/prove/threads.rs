//! Threads for a search: each job of a batch on one of them.

use rig_interleave::search::{Job, Workers};

/// So many threads at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SearchThreads(pub(crate) usize);

impl SearchThreads {
    /// As many as there are CPUs for this process, or as somebody asked for.
    pub(crate) fn new(asked: Option<usize>) -> Self {
        let available = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self(asked.unwrap_or_else(available).max(1))
    }
}

impl Workers for SearchThreads {
    fn count(&self) -> usize {
        self.0
    }

    fn run(&self, mut jobs: Vec<Job<'_>>) {
        // The caller's own thread does one of them; a single job is not worth another thread.
        let Some(own) = jobs.pop() else { return };
        std::thread::scope(|scope| {
            for job in jobs {
                scope.spawn(job);
            }
            own();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_job_is_done_before_it_comes_back() {
        let done = AtomicUsize::new(0);
        let jobs = (0..5).map(|_| {
            Box::new(|| {
                done.fetch_add(1, Ordering::Relaxed);
            }) as Job<'_>
        });
        SearchThreads(3).run(jobs.collect());
        assert_eq!(done.load(Ordering::Relaxed), 5);
        SearchThreads(3).run(Vec::new());
    }
}
