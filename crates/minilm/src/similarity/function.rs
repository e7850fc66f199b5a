use std::fmt;
use std::str::FromStr;

/// How the similarity of two vectors is computed: larger is more similar, for each of them.
///
/// ```
/// use minilm::SimilarityFunction;
///
/// let function: SimilarityFunction = "dot".parse()?;
/// assert_eq!(function, SimilarityFunction::DotProduct);
/// assert_eq!(function.similarity(&vec![1.0, 2.0], &vec![3.0, 4.0])?.row(0), [11.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SimilarityFunction {
    /// The cosine of the angle between them, −1 … 1: [`cos_sim`](crate::cos_sim).
    #[default]
    Cosine,
    /// The dot product: [`dot_score`](crate::dot_score).
    DotProduct,
    /// The negative Euclidean distance: [`euclidean_sim`](crate::euclidean_sim).
    Euclidean,
    /// The negative Manhattan distance: [`manhattan_sim`](crate::manhattan_sim).
    Manhattan,
}

impl SimilarityFunction {
    /// All of them.
    pub const ALL: &'static [SimilarityFunction] = &[
        SimilarityFunction::Cosine,
        SimilarityFunction::DotProduct,
        SimilarityFunction::Euclidean,
        SimilarityFunction::Manhattan,
    ];

    /// `"cosine"`, `"dot"`, `"euclidean"`, `"manhattan"`: as sentence-transformers has it in a model's
    /// `config_sentence_transformers.json`.
    pub fn name(self) -> &'static str {
        match self {
            SimilarityFunction::Cosine => "cosine",
            SimilarityFunction::DotProduct => "dot",
            SimilarityFunction::Euclidean => "euclidean",
            SimilarityFunction::Manhattan => "manhattan",
        }
    }
}

impl fmt::Display for SimilarityFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is none of a [`SimilarityFunction`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownSimilarityFunction {
    /// The name.
    pub name: String,
}

impl fmt::Display for UnknownSimilarityFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<&str> = SimilarityFunction::ALL.iter().map(|function| function.name()).collect();
        let known = known.join(", ");
        write!(f, "similarity function \"{}\" is unknown (known: {known})", self.name)
    }
}

impl std::error::Error for UnknownSimilarityFunction {}

impl FromStr for SimilarityFunction {
    type Err = UnknownSimilarityFunction;

    /// By its [`name`](SimilarityFunction::name); `"dot_product"` is another one of the dot product.
    fn from_str(name: &str) -> Result<SimilarityFunction, UnknownSimilarityFunction> {
        let wanted = if name == "dot_product" { "dot" } else { name };
        let found = SimilarityFunction::ALL.iter().copied().find(|function| function.name() == wanted);
        found.ok_or_else(|| UnknownSimilarityFunction { name: name.to_owned() })
    }
}
