//! Random walks before the search, which find most facts at little cost. They decide nothing: what they miss, the search finds
//! and begins again.

use super::choice::Choice;
use super::explorer::Explorer;
use super::operation::Taken;
use super::state::State;
use crate::error::Unprovable;
use crate::firmware::Firmware;
use crate::image::Source;
use crate::local::Stop;

const WALKS: u32 = 200;
const LENGTH: usize = 3_000;

impl<S: Source, F: Firmware> Explorer<'_, S, F> {
    pub(super) fn walk(&mut self) -> Result<(), Unprovable> {
        loop {
            match self.walks() {
                Ok(()) => return Ok(()),
                Err(Stop::Restart(_)) => {}
                Err(Stop::Unprovable(error)) => return Err(error),
                Err(Stop::At(_) | Stop::Unexecuted { .. }) => unreachable!("what is lacking is executed"),
            }
        }
    }

    fn walks(&mut self) -> Result<(), Stop> {
        let first = self.begin()?;
        // Always the same walks, so that a proof repeats.
        let mut random = fastrand::Rng::with_seed(1);
        for walk in 0..WALKS {
            self.one_walk(first, 1 << (walk % 6), &mut random)?;
        }
        Ok(())
    }

    /// A walk on which each CPU does up to `most` operations before another has its turn.
    fn one_walk(&mut self, mut state: State<F::State>, most: usize, random: &mut fastrand::Rng) -> Result<(), Stop> {
        let mut out = state;
        let (mut cpu, mut left) = (0, 0);
        for _ in 0..LENGTH {
            if left == 0 {
                cpu = random.usize(..self.cpus());
                left = random.usize(1..=most);
            }
            left -= 1;
            let choices = self.choices();
            let choice = match random.u8(..) {
                0..16 => choices[random.usize(..choices.len())],
                16..80 if choices.contains(&Choice::Flush) => Choice::Flush,
                _ => Choice::Plain,
            };
            let mut taken = self.take_executing(&state, cpu, choice, &mut out)?;
            if taken == Taken::Disabled && choices.contains(&Choice::Flush) {
                taken = self.take_executing(&state, cpu, Choice::Flush, &mut out)?;
            }
            match taken {
                Taken::Went => std::mem::swap(&mut state, &mut out),
                Taken::Disabled | Taken::Broke(_) => left = 0,
            }
        }
        Ok(())
    }
}
