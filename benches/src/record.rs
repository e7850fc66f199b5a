//! One run of everything, as data.

use std::time::Duration;

use minilm_kernels::Isa;
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
    /// Every kernel at every shape on every instruction set.
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
    /// FLOP/byte.
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
    /// Products, against the multiply-adds of the same instruction set.
    Product {
        /// 10⁹ operations a second: the median.
        gflops: f64,
        /// Of the peak of f32.
        peak_fraction: f64,
    },
    /// Operations on rows, against a chain of known latency.
    Rows {
        /// Of the core's clock.
        cycles_per_element: f64,
        /// Operations a cycle, where they are counted.
        flops_per_cycle: Option<f64>,
    },
}

impl Kernel {
    /// GFLOP/s with the clock at which the peaks were taken, which is what can be drawn beside them.
    pub fn gflops_beside(&self, peaks: &Peaks) -> Option<f64> {
        match self.relative {
            Relative::Product { peak_fraction, .. } => Some(peak_fraction * peaks.f32_gflops(self.isa)?),
            Relative::Rows { flops_per_cycle, .. } => Some(flops_per_cycle? * peaks.clock_ghz),
        }
    }
}

/// One product of the network beside `matrixmultiply`.
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
    /// Measures everything on these instruction sets, the fastest first. `progress` hears what comes next.
    pub fn measure(isas: &[Isa], effort: Effort, progress: &mut dyn FnMut(&str)) -> Record {
        progress("peaks");
        let machine = Machine::detect();
        let peaks = Peaks::measure(&machine, isas, effort.sample);
        let mut kernels = Vec::new();
        for &isa in isas {
            progress(&format!("kernels, {isa}"));
            let mut fma = peaks::f32_fma(isa, effort.sample);
            let mut cycles = peaks::cycles(effort.sample);
            for layer in cases::linear::PRODUCTS.into_iter().chain(cases::linear::FUSED) {
                for m in cases::linear::ROWS {
                    kernels.push(kernel(cases::linear::case(layer, m), isa, effort, &mut fma));
                }
            }
            for s in cases::attention::TOKENS {
                kernels.push(kernel(cases::attention::case(s), isa, effort, &mut fma));
            }
            for case in cases::rows::cases() {
                kernels.push(row_kernel(case, isa, effort, &mut cycles));
            }
        }
        progress("matrixmultiply");
        let rivals = isas.first().map_or_else(Vec::new, |&isa| rivals(isa, effort));
        progress("forward passes");
        let forward = isas.iter().map(|&isa| forward::measure(isa, effort.rounds.div_ceil(2))).collect();
        Record { machine, peaks, kernels, rivals, forward }
    }
}

/// A case to be timed on one instruction set.
fn timed(case: &mut Case, isa: Isa, effort: Effort) -> Timed<'_> {
    Timed::new(effort.sample, Box::new(move |calls| case.run(isa, calls)))
}

/// A product against the multiply-adds `fma` of the same instruction set.
fn kernel(mut case: Case, isa: Isa, effort: Effort, fma: &mut Reference) -> Kernel {
    let timed = timed(&mut case, isa, effort);
    let samples = interleave(effort.rounds, &mut fma.timed, &mut [timed]).remove(0);
    let flops = case.work.flops.expect("the operations of a product are counted") as f64;
    let relative = Relative::Product {
        gflops: flops / samples.seconds() * 1e-9,
        peak_fraction: fraction(flops, fma.per_call, &samples),
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
    let Work { elements, flops, .. } = case.work;
    let cycles_per_call = cycles.per_call / samples.speed();
    let relative = Relative::Rows {
        cycles_per_element: cycles_per_call / elements as f64,
        flops_per_cycle: flops.map(|flops| flops as f64 / cycles_per_call),
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
    let mut fma = peaks::f32_fma(isa, effort.sample);
    let mut found = Vec::new();
    for layer in cases::linear::PRODUCTS {
        for m in cases::linear::ROWS {
            let mut case = cases::linear::case(layer, m);
            let flops = case.work.flops.expect("the operations of a product are counted") as f64;
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
        let mut fma = peaks::f32_fma(isa, effort.sample);
        let found = kernel(cases::linear::case(cases::linear::PRODUCTS[0], 16), isa, effort, &mut fma);
        let Relative::Product { gflops, peak_fraction } = found.relative else { panic!("{found:?}") };
        assert!(gflops > 0.0 && peak_fraction > 0.0 && peak_fraction < 1.2, "{found:?}");
        assert_eq!((found.shape.as_str(), found.size.as_str()), ("384 → 1152", "m = 16"));

        let mut cycles = peaks::cycles(effort.sample);
        let found = row_kernel(cases::rows::gelu_case(), isa, effort, &mut cycles);
        let Relative::Rows { cycles_per_element, flops_per_cycle } = found.relative else {
            panic!("{found:?}")
        };
        assert!(cycles_per_element > 0.05 && flops_per_cycle.is_none(), "{found:?}");
    }
}
