//! Random numbers that a printed seed brings back.

/// SplitMix64: small, and good enough to choose test data.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A seed from the clock, or the one in `VARVE_TEST_SEED`; printed, so that a failure can be run again.
    pub fn printed(test: &str) -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let clock = since.map_or(0, |since| since.as_nanos() as u64);
        Self::printed_or(test, clock)
    }

    /// A seed of the test's choosing, or the one in `VARVE_TEST_SEED`; printed.
    pub fn printed_or(test: &str, seed: u64) -> Self {
        let given = std::env::var("VARVE_TEST_SEED").ok();
        let seed = given.and_then(|given| given.parse().ok()).unwrap_or(seed);
        eprintln!("{test}: VARVE_TEST_SEED={seed}");
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 where `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.bits().checked_rem(end).unwrap_or(0)
    }

    /// A number in [0, 1).
    pub fn fraction(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True once in so many calls, on average.
    pub fn one_in(&mut self, calls: u64) -> bool {
        self.below(calls) == 0
    }

    /// One of several.
    pub fn choose<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}
