//! Who does the search's work. This library starts no threads: whoever calls it may.

/// A part of the work. Parts that are given together do not depend on one another.
pub type Job<'a> = Box<dyn FnOnce() + Send + 'a>;

/// Does parts of the work, perhaps at once.
pub trait Workers {
    /// Into how many parts it is worth dividing work, at least 1.
    fn count(&self) -> usize;

    /// Does all jobs, and comes back when they are done.
    fn run(&self, jobs: Vec<Job<'_>>);
}

/// One after another.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneByOne;

impl Workers for OneByOne {
    fn count(&self) -> usize {
        1
    }

    fn run(&self, jobs: Vec<Job<'_>>) {
        for job in jobs {
            job();
        }
    }
}
