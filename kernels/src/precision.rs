//! What products are computed in.

use std::fmt;
use std::str::FromStr;

/// Bytes of a word of activations.
const WORD: usize = 4;

/// The number format that products with packed weights are computed in. Beside bf16 and int8, attention's own products are
/// bf16 and GELU is a shorter polynomial; all else is f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// f32: as accurate as PyTorch.
    #[default]
    F32,
    /// Weights and activations rounded to bf16, sums in f32. Twice the arithmetic of f32 a cycle where the processor has an
    /// instruction for it (AVX-512 BF16); elsewhere the same bits, and slower than f32.
    Bf16,
    /// Weights and activations as 8-bit integers, with a scale for each
    /// [384](crate::reference::INT8_GROUP) numbers of a row or a column, sums exact. Four times the arithmetic of f32 a cycle
    /// with VNNI.
    Int8,
}

impl Precision {
    /// All of them, the most accurate first.
    pub const ALL: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];

    /// `"f32"`, `"bf16"`, `"int8"`.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
            Precision::Int8 => "int8",
        }
    }

    /// What attention's own products, q · k and p · v, are computed in beside dense layers of this precision: with int8 in
    /// bf16, for a probability has no smallest step, and heads are too small for integers to gain.
    pub fn of_attention(self) -> Precision {
        match self {
            Precision::F32 => Precision::F32,
            Precision::Bf16 | Precision::Int8 => Precision::Bf16,
        }
    }

    /// How many bytes a weight has, or an activation that it is multiplied with.
    pub fn bytes(self) -> usize {
        WORD / self.steps_a_word()
    }

    /// How many steps of k a word of activations has, four bytes: 1, 2 or 4.
    pub(crate) fn steps_a_word(self) -> usize {
        match self {
            Precision::F32 => 1,
            Precision::Bf16 => 2,
            Precision::Int8 => 4,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is none of a [`Precision`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownPrecision {
    /// The name.
    pub name: String,
}

impl fmt::Display for UnknownPrecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Precision::ALL.map(Precision::name).join(", ");
        write!(f, "precision \"{}\" is unknown (known: {known})", self.name)
    }
}

impl std::error::Error for UnknownPrecision {}

impl FromStr for Precision {
    type Err = UnknownPrecision;

    fn from_str(name: &str) -> Result<Precision, UnknownPrecision> {
        let found = Precision::ALL.into_iter().find(|precision| precision.name() == name);
        found.ok_or_else(|| UnknownPrecision { name: name.to_owned() })
    }
}
