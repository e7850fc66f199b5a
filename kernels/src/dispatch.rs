//! Which instruction set runs a kernel: detection, choice, and one trampoline an instruction set.
#![allow(unsafe_code, reason = "a trampoline calls a function whose features were detected")]

use std::fmt;

#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{Scalar, Simd};

/// The environment variable that forces an instruction set: `MINILM_ISA=scalar|avx2|avx512`.
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
        available.push(Isa::SCALAR);
        available
    }

    /// The fastest instruction set of this machine.
    pub fn best() -> Isa {
        Isa::available()[0]
    }

    /// The instruction set of that name: `scalar`, `avx2` or `avx512`.
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

    /// `"scalar"`, `"avx2"`, `"avx512"`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Detected::Scalar(_) => "scalar",
            #[cfg(target_arch = "x86_64")]
            Detected::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Detected::Avx512(_) => "avx512",
        }
    }

    /// Runs `kernel` compiled for this instruction set.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Detected::Scalar(token) => run_scalar(token, kernel),
            // SAFETY: the token proves that the machine has AVX2 and FMA.
            #[cfg(target_arch = "x86_64")]
            Detected::Avx2(token) => unsafe { run_avx2(token, kernel) },
            // SAFETY: the token proves that the machine has AVX-512F and what it implies.
            #[cfg(target_arch = "x86_64")]
            Detected::Avx512(token) => unsafe { run_avx512(token, kernel) },
        }
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

/// On x86-64 without the FMA feature `f32::mul_add` is a call into the C library. Where the machine has
/// the instruction, the same plain Rust is compiled with it: the same bits, about twenty times the speed.
fn run_scalar<K: Kernel>(token: Scalar, kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("fma") {
        // SAFETY: FMA has just been detected.
        return unsafe { run_scalar_fma(token, kernel) };
    }
    kernel.run(token)
}

/// # Safety
///
/// The machine must have FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "fma")]
unsafe fn run_scalar_fma<K: Kernel>(token: Scalar, kernel: K) -> K::Output {
    kernel.run(token)
}

/// # Safety
///
/// The machine must have AVX2 and FMA, which `token` proves.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn run_avx2<K: Kernel>(token: Avx2, kernel: K) -> K::Output {
    kernel.run(token)
}

/// # Safety
///
/// The machine must have AVX-512F, AVX2 and FMA, which `token` proves.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn run_avx512<K: Kernel>(token: Avx512, kernel: K) -> K::Output {
    kernel.run(token)
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
    fn names_lead_back_to_their_instruction_set() {
        for isa in Isa::available() {
            assert_eq!(Isa::named(isa.name()), Ok(isa));
        }
    }
}
