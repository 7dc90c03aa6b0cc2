//! How much a number of runs says.

use serde::Serialize;

/// The quantile of the normal distribution for an interval of 95 %.
const Z_95: f64 = 1.959_963_984_540_054;

/// `failures` in `runs`, with the interval in which the rate lies with a confidence of 95 %.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// Runs that failed.
    pub failures: u64,
    /// Runs that were judged.
    pub runs: u64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Rate {
    /// The score interval of Wilson (1927), which is sound for rates near 0 and for few runs. No runs say nothing: 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "nobody makes 2^52 runs")]
    pub fn wilson(failures: u64, runs: u64) -> Self {
        if runs == 0 {
            return Self { failures, runs, low: 0.0, high: 1.0 };
        }
        let (n, p, z2) = (runs as f64, failures as f64 / runs as f64, Z_95 * Z_95);
        let middle = p + z2 / (2.0 * n);
        let spread = Z_95 * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
        let scale = 1.0 + z2 / n;
        let low = ((middle - spread) / scale).max(0.0);
        Self { failures, runs, low, high: ((middle + spread) / scale).min(1.0) }
    }

    /// Runs without a failure after which a bug of this rate counts as fixed with a confidence of 99 %; by the lower end of
    /// the interval, so that it is enough even if the bug is rarer than it looked. None when there was no failure.
    pub fn clean_runs_to_call_it_fixed(&self) -> Option<u64> {
        (self.failures > 0).then(|| clean_runs(self.low))
    }
}

/// The smallest n with `(1 - rate)^n <= 0.01`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the ceiling of a positive number")]
pub fn clean_runs(rate: f64) -> u64 {
    if rate >= 1.0 {
        return 1;
    }
    (0.01_f64.ln() / (-rate).ln_1p()).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 5e-4
    }

    #[test]
    fn intervals_are_those_of_the_literature() {
        // Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I, method 3.
        for (failures, runs, low, high) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
        {
            let rate = Rate::wilson(failures, runs);
            assert!(close(rate.low, low) && close(rate.high, high), "{rate:?}");
        }
        assert_eq!((Rate::wilson(0, 0).low, Rate::wilson(0, 0).high), (0.0, 1.0));
    }

    #[test]
    fn rarer_bugs_need_more_clean_runs() {
        // ln(0.01) / ln(1 - p), rounded up.
        for (rate, runs) in [(0.5, 7), (0.1, 44), (0.01, 459), (0.001, 4603), (1.0, 1)] {
            assert_eq!(clean_runs(rate), runs, "{rate}");
        }
        assert_eq!(Rate::wilson(0, 100).clean_runs_to_call_it_fixed(), None);
        assert!(Rate::wilson(50, 100).clean_runs_to_call_it_fixed().is_some_and(|n| n > 7));
    }
}
