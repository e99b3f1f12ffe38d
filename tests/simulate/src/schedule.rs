//! What a seed decides, by name.
//!
//! Every choice has a name (`call sync-approval sagemaker:ListModelPackages 4`), and what is chosen follows from the seed and the name
//! alone. So a run can be repeated with some of its deviations left out, and all the others fall as before: that is how a long
//! schedule that fails is made a short one.

use std::collections::BTreeSet;

/// Random numbers that follow from a seed and a name: `SplitMix64`, begun with a hash of both.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The dice of that name.
    #[must_use]
    pub fn of(seed: u64, name: &str) -> Self {
        // FNV-1a; SplitMix64 scatters what it leaves close together.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for byte in name.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Self(hash)
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below 1.
    pub fn share(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
        let share = (self.roll() >> 11) as f64 / (1_u64 << 53) as f64;
        share
    }

    /// Whether what has that probability happens.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.share() < probability
    }

    /// From `low` to below `high`; `low` where there is nothing between.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.roll() % high.saturating_sub(low).max(1)
    }

    /// One of them.
    pub fn of_these<T: Copy>(&mut self, first: T, others: &[T]) -> T {
        let chosen = self.between(0, others.len() as u64 + 1);
        let other = usize::try_from(chosen).ok().and_then(|chosen| chosen.checked_sub(1));
        other.and_then(|other| others.get(other).copied()).unwrap_or(first)
    }
}

/// The seed, and which of its deviations happen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schedule {
    /// The seed.
    pub seed: u64,
    /// The deviations that happen; all of them where this is nothing.
    pub only: Option<BTreeSet<String>>,
}

impl Schedule {
    /// All that the seed has.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self { seed, only: None }
    }

    /// The dice of that name.
    #[must_use]
    pub fn dice(&self, name: &str) -> Dice {
        Dice::of(self.seed, name)
    }

    /// Whether the deviation of that name is left in.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dice_follow_from_seed_and_name_alone() {
        let numbers = |seed, name| {
            let mut dice = Dice::of(seed, name);
            [dice.roll(), dice.roll()]
        };
        assert_eq!(numbers(7, "push 1"), numbers(7, "push 1"));
        let others = [numbers(7, "push 2"), numbers(8, "push 1"), numbers(7, "push 11")];
        assert!(others.iter().all(|other| *other != numbers(7, "push 1")), "{others:?}");
    }

    #[test]
    fn chances_come_as_often_as_they_should() {
        let mut dice = Dice::of(1, "chances");
        let happened = (0..10_000).filter(|_| dice.chance(0.3)).count();
        assert!((2_850..3_150).contains(&happened), "{happened}");
        let drawn: BTreeSet<_> = (0..100).map(|_| dice.of_these('a', &['b', 'c'])).collect();
        assert_eq!(drawn.into_iter().collect::<String>(), "abc");
        assert!((0..100).all(|_| (3..5).contains(&dice.between(3, 5))));
    }
}
