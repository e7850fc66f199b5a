//! What the machine can do at best: the ceilings of the roofline.

use std::hint::black_box;
use std::time::Duration;

use minilm_kernels::{Isa, Precision, peak};
use serde::Serialize;

use crate::machine::Machine;
use crate::measure::{Timed, batch};
use crate::numbers;

/// Steps of a call of a peak: some microseconds.
const STEPS: u64 = 1 << 12;

/// Samples of each peak; the best one counts, since whatever disturbs only slows down.
const SAMPLES: usize = 40;

/// The ceilings, for one core.
#[derive(Clone, Debug, Serialize)]
pub struct Peaks {
    /// Cycles a second, in 10⁹, by [`peak::integer_chain`].
    pub clock_ghz: f64,
    /// Of the steps of products: of each instruction set in each precision.
    pub products: Vec<ProductPeak>,
    /// Reading, level by level, nearest first.
    pub bandwidth: Vec<Bandwidth>,
}

/// The peak of products in one precision on one instruction set: fused multiply-adds of f32, dot products of pairs of bf16 or
/// of four bytes, or what the instruction set has in their place.
#[derive(Clone, Debug, Serialize)]
pub struct ProductPeak {
    /// The instruction set's name.
    pub isa: &'static str,
    /// The precision's name.
    pub precision: &'static str,
    /// In 10⁹ operations a second, a multiply-add being two.
    pub gops: f64,
}

/// How fast one level of the memory can be read.
#[derive(Clone, Debug, Serialize)]
pub struct Bandwidth {
    /// `L1`, `L2`, `L3` or `DRAM`.
    pub level: String,
    /// How much was read again and again.
    pub working_set_bytes: usize,
    /// In 10⁹ bytes a second, by the fastest of the instruction sets.
    pub gb_per_s: f64,
}

/// A peak to be timed beside kernels, and what a call of it does.
pub struct Reference {
    /// The peak.
    pub timed: Timed<'static>,
    /// Operations or cycles of one call.
    pub per_call: f64,
}

/// The steps of products in that precision on that instruction set.
pub fn products(isa: Isa, precision: Precision, sample: Duration) -> Reference {
    let steps = move || peak::products(isa, precision, STEPS);
    let timed = Timed::new(sample, Box::new(move |calls| batch(calls, || _ = steps())));
    Reference { timed, per_call: steps() as f64 }
}

/// Cycles of the core.
pub fn cycles(sample: Duration) -> Reference {
    let timed = Timed::new(sample, Box::new(|calls| batch(calls, || _ = peak::integer_chain(STEPS))));
    Reference { timed, per_call: peak::integer_chain(STEPS) as f64 }
}

impl Reference {
    /// The best rate of some samples, in 10⁹ a second.
    fn best(mut self) -> f64 {
        let seconds = (0..SAMPLES).map(|_| self.timed.sample()).fold(f64::INFINITY, f64::min);
        self.per_call / seconds * 1e-9
    }
}

impl Peaks {
    /// Takes all of them, on that machine with these instruction sets, and with products in these precisions.
    pub fn measure(machine: &Machine, isas: &[Isa], precisions: &[Precision], sample: Duration) -> Peaks {
        let of_isa = |&isa: &Isa| {
            precisions.iter().map(move |&precision| ProductPeak {
                isa: isa.name(),
                precision: precision.name(),
                gops: products(isa, precision, sample).best(),
            })
        };
        Peaks {
            clock_ghz: cycles(sample).best(),
            products: isas.iter().flat_map(of_isa).collect(),
            bandwidth: working_sets(machine)
                .into_iter()
                .map(|(level, bytes)| bandwidth(level, bytes, isas, sample))
                .collect(),
        }
    }

    /// That instruction set's peak in that precision, in 10⁹ operations a second.
    pub fn gops(&self, isa: &str, precision: &str) -> Option<f64> {
        let found = self.products.iter().find(|peak| peak.isa == isa && peak.precision == precision);
        found.map(|peak| peak.gops)
    }
}

fn bandwidth(level: String, working_set_bytes: usize, isas: &[Isa], sample: Duration) -> Bandwidth {
    let data = numbers(working_set_bytes / size_of::<f32>(), 1);
    let rates = isas.iter().map(|&isa| {
        let data = &data;
        let read = move |calls| batch(calls, || _ = black_box(peak::read(isa, black_box(data))));
        let mut timed = Timed::new(sample, Box::new(read));
        let seconds = (0..SAMPLES / 2).map(|_| timed.sample()).fold(f64::INFINITY, f64::min);
        working_set_bytes as f64 / seconds * 1e-9
    });
    Bandwidth { level, working_set_bytes, gb_per_s: rates.fold(0.0, f64::max) }
}

/// A level's name and how much to read so that this level answers: half of L1 and L2; of L3, which cores share,
/// an eighth, but more than L2 holds; four times the largest for the memory behind them.
fn working_sets(machine: &Machine) -> Vec<(String, usize)> {
    let size = |level| machine.caches.iter().find(|cache| cache.level == level).map(|cache| cache.bytes);
    // Where the system does not tell: what most cores of the last ten years have at least.
    let (l1, l2) = (size(1).unwrap_or(32 << 10), size(2).unwrap_or(512 << 10));
    let mut sets = vec![("L1".to_owned(), l1 / 2), ("L2".to_owned(), l2 / 2)];
    if let Some(l3) = size(3) {
        sets.push(("L3".to_owned(), (l3 / 8).max(2 * l2)));
    }
    sets.push(("DRAM".to_owned(), (4 * size(3).unwrap_or(l2)).max(128 << 20)));
    sets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Cache;

    #[test]
    fn working_sets_lie_between_the_caches() {
        let mut machine = Machine::detect();
        let cache = |level, bytes| Cache { level, bytes };
        machine.caches = vec![cache(1, 32 << 10), cache(2, 1 << 20), cache(3, 64 << 20)];
        let sets: Vec<usize> = working_sets(&machine).into_iter().map(|set| set.1).collect();
        assert_eq!(sets, [16 << 10, 512 << 10, 8 << 20, 256 << 20]);
        machine.caches = vec![cache(1, 48 << 10), cache(2, 2 << 20)];
        let levels: Vec<String> = working_sets(&machine).into_iter().map(|set| set.0).collect();
        assert_eq!(levels, ["L1", "L2", "DRAM"]);
    }

    #[test]
    fn peaks_are_positive_and_narrow_types_are_faster_where_the_machine_has_them() {
        let mut machine = Machine::detect();
        // No more than what a test can afford to allocate and read.
        machine.caches.clear();
        let isas = Isa::available();
        let peaks = Peaks::measure(&machine, &isas, &Precision::ALL, Duration::from_micros(200));
        assert_eq!(peaks.products.len(), 3 * isas.len());
        let gops = |isa: Isa, precision: Precision| {
            peaks.gops(isa.name(), precision.name()).expect("every one was measured")
        };
        for isa in isas {
            assert!(Precision::ALL.iter().all(|&precision| gops(isa, precision) > 0.0), "{isa}: {peaks:?}");
        }
        // By factors of two and four; tests run beside each other and are no measurement.
        let best = Isa::best();
        for (feature, precision, times) in
            [("avx512bf16", Precision::Bf16, 1.3), ("avx512vnni", Precision::Int8, 2.0)]
        {
            if machine.features.contains(&feature) {
                assert!(gops(best, precision) > times * gops(best, Precision::F32), "{peaks:?}");
            }
        }
        assert!(peaks.clock_ghz > 0.1 && peaks.clock_ghz < 10.0, "{}", peaks.clock_ghz);
        assert!(peaks.bandwidth.iter().all(|bandwidth| bandwidth.gb_per_s > 0.0));
    }
}
