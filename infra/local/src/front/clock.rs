//! The virtual clock: so many times as fast as the wall's.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// A virtual time that runs at a speed.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    base: Timestamp,
    since: Instant,
    speed: f64,
}

/// The slowest and the fastest that makes sense: nearly standing still, and a year in half a minute.
const SPEEDS: std::ops::RangeInclusive<f64> = 0.001..=1_000_000.0;

/// Checks a speed.
pub(super) fn check_speed(speed: f64) -> Result<(), String> {
    if SPEEDS.contains(&speed) {
        Ok(())
    } else {
        Err(format!(
            "a speed is between {} and {}, not {speed}",
            SPEEDS.start(),
            SPEEDS.end()
        ))
    }
}

impl Clock {
    /// A clock that shows `base` at `since`.
    pub(super) fn new(base: Timestamp, since: Instant, speed: f64) -> Self {
        let speed = check_speed(speed).map_or(1.0, |()| speed);
        Self { base, since, speed }
    }

    /// Virtual seconds in a wall second.
    pub(super) fn speed(&self) -> f64 {
        self.speed
    }

    /// The virtual time at a moment.
    pub(super) fn at(&self, moment: Instant) -> Timestamp {
        let elapsed = moment.saturating_duration_since(self.since).as_secs_f64() * self.speed;
        let elapsed = SignedDuration::try_from_secs_f64(elapsed).unwrap_or(SignedDuration::MAX);
        self.base.checked_add(elapsed).unwrap_or(Timestamp::MAX)
    }

    /// How long it takes, from a moment on, until the virtual time has come.
    pub(super) fn until(&self, time: Timestamp, moment: Instant) -> Duration {
        let wait = time.duration_since(self.at(moment)).as_secs_f64() / self.speed;
        if wait <= 0.0 {
            return Duration::ZERO;
        }
        // Rounded up: a sleep that ends a nanosecond early would find nothing to do and spin.
        Duration::try_from_secs_f64(wait)
            .unwrap_or(Duration::MAX)
            .saturating_add(Duration::from_micros(1))
    }

    /// Another speed from a moment on; the time goes on from where it stands.
    pub(super) fn set_speed(&mut self, speed: f64, moment: Instant) {
        *self = Self::new(self.at(moment), moment, speed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_time_runs_at_its_speed_and_never_jumps() {
        let start = Instant::now();
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let mut clock = Clock::new(time("2026-01-01T00:00:00Z"), start, 60.0);
        for (seconds, expected) in [
            (0.0, "2026-01-01T00:00:00Z"),
            (1.0, "2026-01-01T00:01:00Z"),
            (90.0, "2026-01-01T01:30:00Z"),
        ] {
            assert_eq!(clock.at(at(seconds)), time(expected));
        }
        clock.set_speed(1.0, at(60.0));
        assert_eq!(clock.at(at(60.0)), time("2026-01-01T01:00:00Z"));
        assert_eq!(clock.at(at(61.0)), time("2026-01-01T01:00:01Z"));
        assert_eq!(clock.at(at(59.0)), time("2026-01-01T01:00:00Z"), "never back");
    }

    #[test]
    fn a_wait_ends_when_the_time_has_come() {
        let start = Instant::now();
        for (speed, until, longest) in [
            (1.0, "2026-01-01T00:00:10Z", 10.001),
            (60.0, "2026-01-01T00:01:00Z", 1.001),
            (0.5, "2026-01-01T00:00:01Z", 2.001),
            (1.0, "2025-01-01T00:00:00Z", 0.0),
            (7.0, "2026-01-01T00:00:01.234567891Z", 0.177),
        ] {
            let clock = Clock::new(time("2026-01-01T00:00:00Z"), start, speed);
            let wait = clock.until(time(until), start);
            assert!(clock.at(start + wait) >= time(until), "{speed} {until}");
            assert!(wait.as_secs_f64() <= longest, "{speed} {until} {wait:?}");
        }
        let clock = Clock::new(time("2026-01-01T00:00:00Z"), start, 1_000_000.0);
        assert!(
            clock.until(Timestamp::MAX, start) > Duration::from_secs(1),
            "no overflow"
        );
    }

    #[test]
    fn speeds_are_checked() {
        for (speed, good) in [
            (1.0, true),
            (60.0, true),
            (0.0, false),
            (-1.0, false),
            (f64::NAN, false),
            (f64::INFINITY, false),
        ] {
            assert_eq!(check_speed(speed).is_ok(), good, "{speed}");
        }
    }
}
