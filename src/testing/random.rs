//! Chance that is the same on every machine and in every run.
//!
//! *Scope:* [`Random`]. *Not in scope:* anything that must be unpredictable.

/// Pseudo-random numbers from a seed (SplitMix64): the same seed gives the same numbers on every machine.
///
/// ```
/// use mcp_rill::testing::Random;
/// let (mut first, mut second) = (Random::new(7), Random::new(7));
/// assert_eq!(first.next(), second.next());
/// assert!(first.below(10) < 10);
/// assert_eq!(first.pieces(b"cut me", 3).concat(), b"cut me");
/// ```
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// Returns any number.
    #[allow(clippy::should_implement_trait, reason = "it never ends, so it is no iterator to loop over")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// Returns a number below `bound`.
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "no number is below 0");
        (self.next() % bound as u64) as usize
    }

    /// Returns one of `from`, which must not be empty.
    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    /// Cuts `bytes` into pieces of 1 to `most` bytes.
    pub fn pieces<'a>(&mut self, mut bytes: &'a [u8], most: usize) -> Vec<&'a [u8]> {
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at((1 + self.below(most)).min(bytes.len()));
            pieces.push(piece);
            bytes = rest;
        }
        pieces
    }
}
