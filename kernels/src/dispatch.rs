//! Which instruction set runs a kernel: detection and choice.

use std::fmt;

#[cfg(target_arch = "x86_64")]
use crate::dot::rows::Avx512Vpopcntdq;
use crate::dot::rows::{BinaryRows, ByteProducts, F32Rows, Int8Rows, Metric, RowDot, RowKernel, Uint8Rows};
#[cfg(target_arch = "x86_64")]
use crate::dot::{Avx2Int8, Avx512Bf16, Avx512Vnni, AvxVnni};
use crate::dot::{Bf16Fma, Dot, DotKernel, F32, ScalarInt8};
#[cfg(target_arch = "aarch64")]
use crate::dot::{NeonI8mm, NeonInt8, NeonSdot};
use crate::precision::Precision;
use crate::search::Bits;
#[cfg(target_arch = "aarch64")]
use crate::simd::Neon;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{Scalar, Simd};

/// The environment variable that forces an instruction set: `MINILM_ISA=scalar|avx2|avx512|neon`.
pub const ISA_VARIABLE: &str = "MINILM_ISA";

/// An instruction set that this machine has.
///
/// A value can only come from detection, so every kernel may take it at its word. All of them give the
/// same bits; they differ in speed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Isa(Detected);

/// Each variant holds the token that proves detection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Detected {
    Scalar(Scalar),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
}

/// An instruction set was asked for by name that this machine, or this build, does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnavailableIsa {
    /// The name asked for.
    pub name: String,
    /// The names that would have worked, fastest first.
    pub available: Vec<&'static str>,
}

impl fmt::Display for UnavailableIsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "instruction set \"{}\" is not available on this machine (available: {})",
            self.name,
            self.available.join(", ")
        )
    }
}

impl std::error::Error for UnavailableIsa {}

impl Isa {
    /// Plain Rust, on every machine.
    pub const SCALAR: Isa = Isa(Detected::Scalar(Scalar));

    /// The instruction sets of this machine, fastest first. The last is always [`Isa::SCALAR`].
    pub fn available() -> Vec<Isa> {
        let mut available = Vec::new();
        #[cfg(target_arch = "x86_64")]
        available.extend(Avx512::detect().map(|token| Isa(Detected::Avx512(token))));
        #[cfg(target_arch = "x86_64")]
        available.extend(Avx2::detect().map(|token| Isa(Detected::Avx2(token))));
        #[cfg(target_arch = "aarch64")]
        available.extend(Neon::detect().map(|token| Isa(Detected::Neon(token))));
        available.push(Isa::SCALAR);
        available
    }

    /// The fastest instruction set of this machine.
    pub fn best() -> Isa {
        Isa::available()[0]
    }

    /// The instruction set of that name: `scalar`, `avx2`, `avx512` or `neon`.
    ///
    /// # Errors
    ///
    /// [`UnavailableIsa`] if this machine does not have it, or nobody does.
    pub fn named(name: &str) -> Result<Isa, UnavailableIsa> {
        let available = Isa::available();
        available.iter().copied().find(|isa| isa.name() == name).ok_or_else(|| UnavailableIsa {
            name: name.to_owned(),
            available: available.iter().map(|isa| isa.name()).collect(),
        })
    }

    /// The instruction set that [`MINILM_ISA`](ISA_VARIABLE) names, or the fastest if it is unset or empty.
    ///
    /// # Errors
    ///
    /// [`UnavailableIsa`] if the variable names one that this machine does not have.
    pub fn from_env() -> Result<Isa, UnavailableIsa> {
        match std::env::var_os(ISA_VARIABLE) {
            Some(name) if !name.is_empty() => Isa::named(&name.to_string_lossy()),
            _ => Ok(Isa::best()),
        }
    }

    /// `"scalar"`, `"avx2"`, `"avx512"`, `"neon"`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Detected::Scalar(_) => "scalar",
            #[cfg(target_arch = "x86_64")]
            Detected::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Detected::Avx512(_) => "avx512",
            #[cfg(target_arch = "aarch64")]
            Detected::Neon(_) => "neon",
        }
    }

    /// Runs `kernel` compiled for this instruction set.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Detected::Scalar(token) => token.call(kernel),
            #[cfg(target_arch = "x86_64")]
            Detected::Avx2(token) => token.call(kernel),
            #[cfg(target_arch = "x86_64")]
            Detected::Avx512(token) => token.call(kernel),
            #[cfg(target_arch = "aarch64")]
            Detected::Neon(token) => token.call(kernel),
        }
    }
}

/// Kernels that multiply.
impl Isa {
    /// Runs `kernel`, whose products are of that precision, compiled for this instruction set.
    #[inline]
    pub(crate) fn multiply<K: DotKernel>(self, precision: Precision, kernel: K) -> K::Output {
        match precision {
            Precision::F32 => self.multiply_f32(kernel),
            Precision::Bf16 => self.multiply_bf16(kernel),
            Precision::Int8 => self.multiply_int8(kernel),
        }
    }

    #[inline]
    fn multiply_f32<K: DotKernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Detected::Scalar(simd) => F32(simd).call(kernel),
            #[cfg(target_arch = "x86_64")]
            Detected::Avx2(simd) => F32(simd).call(kernel),
            #[cfg(target_arch = "x86_64")]
            Detected::Avx512(simd) => F32(simd).call(kernel),
            #[cfg(target_arch = "aarch64")]
            Detected::Neon(simd) => F32(simd).call(kernel),
        }
    }

    /// Runs `kernel`, whose products are of bf16: it is compiled for no other precision.
    #[inline]
    pub(crate) fn multiply_bf16<K: DotKernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Detected::Scalar(simd) => Bf16Fma(simd).call(kernel),
            #[cfg(target_arch = "x86_64")]
            Detected::Avx2(simd) => Bf16Fma(simd).call(kernel),
            // Not every processor with AVX-512 has its bf16.
            #[cfg(target_arch = "x86_64")]
            Detected::Avx512(simd) => match Avx512Bf16::detect(simd) {
                Some(dot) => dot.call(kernel),
                None => Bf16Fma(simd.avx2()).call(kernel),
            },
            #[cfg(target_arch = "aarch64")]
            Detected::Neon(simd) => Bf16Fma(simd).call(kernel),
        }
    }

    #[inline]
    fn multiply_int8<K: DotKernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Detected::Scalar(_) => ScalarInt8.call(kernel),
            #[cfg(target_arch = "x86_64")]
            Detected::Avx2(simd) => avx2_int8(simd, kernel),
            #[cfg(target_arch = "x86_64")]
            Detected::Avx512(simd) => match Avx512Vnni::detect(simd) {
                Some(dot) => dot.call(kernel),
                None => avx2_int8(simd.avx2(), kernel),
            },
            #[cfg(target_arch = "aarch64")]
            Detected::Neon(simd) => match (NeonI8mm::detect(simd), NeonSdot::detect(simd)) {
                (Some(dot), _) => dot.call(kernel),
                (None, Some(dot)) => dot.call(kernel),
                (None, None) => NeonInt8(simd).call(kernel),
            },
        }
    }
}

/// Also for processors with AVX-512 that lack its int8.
#[cfg(target_arch = "x86_64")]
#[inline]
fn avx2_int8<K: DotKernel>(simd: Avx2, kernel: K) -> K::Output {
    match AvxVnni::detect(simd) {
        Some(dot) => dot.call(kernel),
        None => Avx2Int8(simd).call(kernel),
    }
}

/// Kernels over vectors that lie side by side.
impl Isa {
    #[inline]
    pub(crate) fn run_f32_rows<M: Metric, K: RowKernel<f32>>(self, kernel: K) -> K::Output {
        match self.0 {
            Detected::Scalar(simd) => F32Rows::<_, M>::new(simd).call(kernel),
            #[cfg(target_arch = "x86_64")]
            Detected::Avx2(simd) => F32Rows::<_, M>::new(simd).call(kernel),
            #[cfg(target_arch = "x86_64")]
            Detected::Avx512(simd) => F32Rows::<_, M>::new(simd).call(kernel),
            #[cfg(target_arch = "aarch64")]
            Detected::Neon(simd) => F32Rows::<_, M>::new(simd).call(kernel),
        }
    }

    #[inline]
    pub(crate) fn run_int8_rows<K: RowKernel<i8>>(self, kernel: K) -> K::Output {
        self.with_byte_products(Int8(kernel))
    }

    #[inline]
    pub(crate) fn run_uint8_rows<K: RowKernel<u8>>(self, kernel: K) -> K::Output {
        self.with_byte_products(Uint8(kernel))
    }

    fn with_byte_products<K: ByteKernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Detected::Scalar(simd) => kernel.run(simd),
            #[cfg(target_arch = "x86_64")]
            Detected::Avx2(simd) => avx2_byte_products(simd, kernel),
            #[cfg(target_arch = "x86_64")]
            Detected::Avx512(simd) => match Avx512Vnni::detect(simd) {
                Some(products) => kernel.run(products),
                None => avx2_byte_products(simd.avx2(), kernel),
            },
            #[cfg(target_arch = "aarch64")]
            Detected::Neon(simd) => match NeonSdot::detect(simd) {
                Some(products) => kernel.run(products),
                None => kernel.run(NeonInt8(simd)),
            },
        }
    }

    #[inline]
    pub(crate) fn run_binary_rows<K: RowKernel<Bits>>(self, kernel: K) -> K::Output {
        match self.0 {
            Detected::Scalar(simd) => BinaryRows(simd).call(kernel),
            #[cfg(target_arch = "x86_64")]
            Detected::Avx2(simd) => BinaryRows(simd).call(kernel),
            #[cfg(target_arch = "x86_64")]
            Detected::Avx512(simd) => match Avx512Vpopcntdq::detect(simd) {
                Some(counts) => BinaryRows(counts).call(kernel),
                None => BinaryRows(simd.avx2()).call(kernel),
            },
            #[cfg(target_arch = "aarch64")]
            Detected::Neon(simd) => BinaryRows(simd).call(kernel),
        }
    }
}

/// Also for processors with AVX-512 that lack its int8.
#[cfg(target_arch = "x86_64")]
#[inline]
fn avx2_byte_products<K: ByteKernel>(simd: Avx2, kernel: K) -> K::Output {
    match AvxVnni::detect(simd) {
        Some(products) => kernel.run(products),
        None => kernel.run(simd),
    }
}

/// A kernel over rows of int8 or of uint8.
trait ByteKernel {
    type Output;

    fn run<B: ByteProducts>(self, products: B) -> Self::Output;
}

struct Int8<K>(K);

impl<K: RowKernel<i8>> ByteKernel for Int8<K> {
    type Output = K::Output;

    #[inline]
    fn run<B: ByteProducts>(self, products: B) -> K::Output {
        Int8Rows(products).call(self.0)
    }
}

struct Uint8<K>(K);

impl<K: RowKernel<u8>> ByteKernel for Uint8<K> {
    type Output = K::Output;

    #[inline]
    fn run<B: ByteProducts>(self, products: B) -> K::Output {
        Uint8Rows(products).call(self.0)
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Isa({})", self.name())
    }
}

/// A kernel with its arguments, ready to run on any instruction set.
///
/// `run` must be `#[inline(always)]`, as must everything generic that it calls.
pub(crate) trait Kernel {
    type Output;

    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// The features of this processor that kernels for this kind of network can use, by the names that Rust has for them:
/// vectors of f32, products of bf16 and int8, and counts of bits.
pub fn cpu_features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    let features = [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avxvnni", is_x86_feature_detected!("avxvnni")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
        ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
        ("avx512vpopcntdq", is_x86_feature_detected!("avx512vpopcntdq")),
    ];
    #[cfg(target_arch = "aarch64")]
    let features = [
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        ("bf16", std::arch::is_aarch64_feature_detected!("bf16")),
        ("dotprod", std::arch::is_aarch64_feature_detected!("dotprod")),
        ("i8mm", std::arch::is_aarch64_feature_detected!("i8mm")),
    ];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let features: [(&str, bool); 0] = [];
    features.into_iter().filter(|(_, detected)| *detected).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalar_is_always_there_and_last() {
        assert_eq!(Isa::available().last(), Some(&Isa::SCALAR));
        assert_eq!(Isa::named("scalar"), Ok(Isa::SCALAR));
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_what_there_is() {
        let error = Isa::named("avx1024").expect_err("no such instruction set");
        assert_eq!(error.name, "avx1024");
        assert!(error.to_string().contains("avx1024") && error.to_string().contains("scalar"), "{error}");
    }

    #[test]
    fn an_instruction_set_needs_its_features() {
        let features = cpu_features();
        for (isa, needed) in
            [("avx2", &["avx2", "fma"][..]), ("avx512", &["avx512f", "avx2", "fma"]), ("neon", &["neon"])]
        {
            let detected = needed.iter().all(|feature| features.contains(feature));
            assert_eq!(Isa::named(isa).is_ok(), detected, "{isa} with {features:?}");
        }
    }

    #[test]
    fn names_lead_back_to_their_instruction_set() {
        for isa in Isa::available() {
            assert_eq!(Isa::named(isa.name()), Ok(isa));
        }
    }
}
