//! One run of everything, as data.

use std::time::Duration;

use minilm_kernels::{Isa, Precision};
use serde::Serialize;

use crate::cases::{self, Case, Work};
use crate::forward::{self, Forward};
use crate::machine::Machine;
use crate::measure::{Samples, Timed, interleave};
use crate::peaks::{self, Peaks, Reference};
use crate::rivals::{self, Layout};

/// How much of the time to spend on it.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Samples of each kernel.
    pub rounds: usize,
    /// The length of a sample.
    pub sample: Duration,
}

/// What `roofline` finds out.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// Where and with what.
    pub machine: Machine,
    /// The ceilings.
    pub peaks: Peaks,
    /// Every kernel at every shape on every instruction set, products in every precision.
    pub kernels: Vec<Kernel>,
    /// The products beside `matrixmultiply`.
    pub rivals: Vec<Rival>,
    /// Shares of a forward pass.
    pub forward: Vec<Forward>,
}

/// A kernel at one shape on one instruction set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Kernel {
    /// As in [`Case`].
    pub operation: &'static str,
    /// As in [`Case`].
    pub shape: String,
    /// As in [`Case`].
    pub size: String,
    /// The instruction set's name.
    pub isa: &'static str,
    /// The median time of a call.
    pub seconds: f64,
    /// Operations a byte.
    pub intensity: Option<f64>,
    /// Operands and results in 10⁹ bytes a second, each counted once.
    pub gb_per_s: f64,
    /// What it was measured against.
    #[serde(flatten)]
    pub relative: Relative,
}

/// A rate in units of a peak that was taken before and after each sample: the median of the ratios.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Relative {
    /// Products, against the steps of products in the same precision on the same instruction set.
    Product {
        /// The precision's name.
        precision: &'static str,
        /// 10⁹ operations a second: the median.
        gops: f64,
        /// Of the peak of that precision.
        peak_fraction: f64,
    },
    /// Operations on rows, against a chain of known latency.
    Rows {
        /// Of the core's clock.
        cycles_per_element: f64,
        /// Operations a cycle, where they are counted.
        operations_per_cycle: Option<f64>,
    },
}

impl Kernel {
    /// The name of the precision that it is in; what is no product is f32.
    pub fn precision(&self) -> &'static str {
        match self.relative {
            Relative::Product { precision, .. } => precision,
            Relative::Rows { .. } => Precision::F32.name(),
        }
    }

    /// 10⁹ operations a second with the clock at which the peaks were taken, which is what can be drawn beside them.
    pub fn gops_beside(&self, peaks: &Peaks) -> Option<f64> {
        match self.relative {
            Relative::Product { precision, peak_fraction, .. } => {
                Some(peak_fraction * peaks.gops(self.isa, precision)?)
            }
            Relative::Rows { operations_per_cycle, .. } => Some(operations_per_cycle? * peaks.clock_ghz),
        }
    }
}

/// One product of the network in f32 beside `matrixmultiply`.
#[derive(Clone, Debug, Serialize)]
pub struct Rival {
    /// Inputs.
    pub k: usize,
    /// Outputs.
    pub n: usize,
    /// Rows.
    pub m: usize,
    /// The instruction set of ours; `matrixmultiply` chooses by itself.
    pub isa: &'static str,
    /// Ours: 10⁹ operations a second, with the bias.
    pub gflops: f64,
    /// The rival's, with the layout of the weight that is better for it.
    pub rival_gflops: f64,
    /// That layout.
    pub rival_layout: &'static str,
    /// How many times faster ours is: the median of the ratios.
    pub ratio: f64,
}

impl Record {
    /// Measures everything on these instruction sets, the fastest first, in these precisions. `progress` hears what comes
    /// next.
    pub fn measure(
        isas: &[Isa],
        precisions: &[Precision],
        effort: Effort,
        progress: &mut dyn FnMut(&str),
    ) -> Record {
        progress("peaks");
        let machine = Machine::detect();
        let peaks = Peaks::measure(&machine, isas, precisions, effort.sample);
        let mut kernels = Vec::new();
        for &isa in isas {
            for &precision in precisions {
                progress(&format!("products in {precision}, {isa}"));
                let mut peak = peaks::products(isa, precision, effort.sample);
                for layer in cases::linear::PRODUCTS.into_iter().chain(cases::linear::FUSED) {
                    for m in cases::linear::ROWS {
                        let case = cases::linear::case(precision, layer, m);
                        kernels.push(kernel(case, (isa, precision), effort, &mut peak));
                    }
                }
            }
            for precision in cases::attention::precisions(precisions) {
                progress(&format!("attention in {precision}, {isa}"));
                let mut peak = peaks::products(isa, precision, effort.sample);
                for s in cases::attention::TOKENS {
                    let case = cases::attention::case(precision, s);
                    kernels.push(kernel(case, (isa, precision), effort, &mut peak));
                }
            }
            progress(&format!("rows, {isa}"));
            let mut cycles = peaks::cycles(effort.sample);
            for case in cases::rows::cases(precisions) {
                kernels.push(row_kernel(case, isa, effort, &mut cycles));
            }
        }
        let in_f32 = isas.first().filter(|_| precisions.contains(&Precision::F32));
        let rivals = in_f32.map_or_else(Vec::new, |&isa| {
            progress("matrixmultiply");
            rivals(isa, effort)
        });
        let mut forward = Vec::new();
        for &isa in isas {
            for &precision in precisions {
                progress(&format!("forward passes in {precision}, {isa}"));
                let mut peak = peaks::products(isa, precision, effort.sample);
                forward.push(forward::measure(isa, precision, effort.rounds.div_ceil(2), &mut peak));
            }
        }
        Record { machine, peaks, kernels, rivals, forward }
    }
}

/// A case to be timed on one instruction set.
fn timed(case: &mut Case, isa: Isa, effort: Effort) -> Timed<'_> {
    Timed::new(effort.sample, Box::new(move |calls| case.run(isa, calls)))
}

/// A product against the `peak` of the same instruction set in the same precision.
fn kernel(
    mut case: Case,
    (isa, precision): (Isa, Precision),
    effort: Effort,
    peak: &mut Reference,
) -> Kernel {
    let timed = timed(&mut case, isa, effort);
    let samples = interleave(effort.rounds, &mut peak.timed, &mut [timed]).remove(0);
    let operations = case.work.operations.expect("the operations of a product are counted") as f64;
    let relative = Relative::Product {
        precision: precision.name(),
        gops: operations / samples.seconds() * 1e-9,
        peak_fraction: fraction(operations, peak.per_call, &samples),
    };
    finished(case, isa, &samples, relative)
}

/// The subject's operations a second in units of the reference's.
fn fraction(work: f64, reference_work: f64, samples: &Samples) -> f64 {
    work / reference_work * samples.speed()
}

/// An operation on rows against a chain of known `cycles`.
fn row_kernel(mut case: Case, isa: Isa, effort: Effort, cycles: &mut Reference) -> Kernel {
    let timed = timed(&mut case, isa, effort);
    let samples = interleave(effort.rounds, &mut cycles.timed, &mut [timed]).remove(0);
    let Work { elements, operations, .. } = case.work;
    let cycles_per_call = cycles.per_call / samples.speed();
    let relative = Relative::Rows {
        cycles_per_element: cycles_per_call / elements as f64,
        operations_per_cycle: operations.map(|operations| operations as f64 / cycles_per_call),
    };
    finished(case, isa, &samples, relative)
}

fn finished(case: Case, isa: Isa, samples: &Samples, relative: Relative) -> Kernel {
    let seconds = samples.seconds();
    Kernel {
        operation: case.operation,
        isa: isa.name(),
        seconds,
        intensity: case.work.intensity(),
        gb_per_s: case.work.bytes as f64 / seconds * 1e-9,
        relative,
        shape: case.shape,
        size: case.size,
    }
}

/// Every product on that instruction set beside `matrixmultiply`, both layouts of the weight.
fn rivals(isa: Isa, effort: Effort) -> Vec<Rival> {
    let mut fma = peaks::products(isa, Precision::F32, effort.sample);
    let mut found = Vec::new();
    for layer in cases::linear::PRODUCTS {
        for m in cases::linear::ROWS {
            let mut case = cases::linear::case(Precision::F32, layer, m);
            let flops = case.work.operations.expect("the operations of a product are counted") as f64;
            let mut subjects = vec![timed(&mut case, isa, effort)];
            for layout in Layout::ALL {
                subjects.push(Timed::new(effort.sample, rivals::matrixmultiply(layer, m, layout)));
            }
            let samples = interleave(effort.rounds, &mut fma.timed, &mut subjects);
            let best = if samples[1].speed() > samples[2].speed() { 1 } else { 2 };
            let gflops = |samples: &Samples| flops / samples.seconds() * 1e-9;
            found.push(Rival {
                k: layer.k,
                n: layer.n,
                m,
                isa: isa.name(),
                gflops: gflops(&samples[0]),
                rival_gflops: gflops(&samples[best]),
                rival_layout: Layout::ALL[best - 1].name(),
                ratio: samples[0].speed_relative_to(&samples[best]),
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Sample;

    #[test]
    fn a_fraction_is_the_ratio_of_rates() {
        // 8 operations in 2 s beside 12 in 1 s: 4 of 12 a second.
        let samples = Samples(vec![Sample { seconds: 2.0, reference: 1.0 }]);
        assert!((fraction(8.0, 12.0, &samples) - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn kernels_are_measured_against_their_peaks() {
        let effort = Effort { rounds: 3, sample: Duration::from_micros(300) };
        let isa = Isa::best();
        for precision in Precision::ALL {
            let mut peak = peaks::products(isa, precision, effort.sample);
            let case = cases::linear::case(precision, cases::linear::PRODUCTS[0], 16);
            let found = kernel(case, (isa, precision), effort, &mut peak);
            let Relative::Product { gops, peak_fraction, .. } = found.relative else { panic!("{found:?}") };
            assert!(gops > 0.0 && peak_fraction > 0.0 && peak_fraction < 1.2, "{found:?}");
            assert_eq!(found.precision(), precision.name());
            assert_eq!((found.shape.as_str(), found.size.as_str()), ("384 → 1152", "m = 16"));
        }

        let mut cycles = peaks::cycles(effort.sample);
        let found = row_kernel(cases::rows::gelu_case(Precision::F32), isa, effort, &mut cycles);
        let Relative::Rows { cycles_per_element, operations_per_cycle } = found.relative else {
            panic!("{found:?}")
        };
        assert!(cycles_per_element > 0.05 && operations_per_cycle.is_none(), "{found:?}");
        assert_eq!(found.precision(), "f32");
    }
}
