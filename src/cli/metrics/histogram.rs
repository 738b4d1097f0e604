//! Durations in buckets.

use std::time::Duration;

/// OpenTelemetry's bounds for the operations and sessions of MCP, and finer ones, because many tools take less than 10 ms.
pub(super) const OPERATION_SECONDS: &[f64] = &[
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0,
    300.0,
];
pub(super) const TURN_SECONDS: &[f64] =
    &[0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.1, 1.0, 10.0];

#[derive(Debug)]
pub(super) struct Histogram {
    bounds: &'static [f64],
    /// How many fell into each bucket; those above all bounds are counted in `total` alone.
    counts: Box<[u64]>,
    total: u64,
    sum: Duration,
}

impl Histogram {
    pub(super) fn new(bounds: &'static [f64]) -> Histogram {
        Histogram { bounds, counts: vec![0; bounds.len()].into(), total: 0, sum: Duration::ZERO }
    }

    pub(super) fn add(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        let at = self.bounds.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get_mut(at) {
            *count += 1;
        }
        self.total += 1;
        self.sum = self.sum.saturating_add(time);
    }

    /// Each bound, with how many were not above it.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        self.bounds.iter().zip(&self.counts).scan(0, |below, (bound, count)| {
            *below += count;
            Some((*bound, *below))
        })
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn sum_seconds(&self) -> f64 {
        self.sum.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let mut histogram = Histogram::new(&[0.5, 1.0]);
        for millis in [500, 501, 1000, 1001] {
            histogram.add(Duration::from_millis(millis));
        }
        assert_eq!(histogram.cumulative().collect::<Vec<_>>(), [(0.5, 1), (1.0, 3)]);
        assert_eq!((histogram.total(), histogram.sum_seconds()), (4, 3.002));
    }
}
