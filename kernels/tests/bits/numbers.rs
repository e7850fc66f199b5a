//! What the tests compute with, and how they compare.

use minilm_kernels::Isa;

/// Numbers of mixed magnitude in about ±4, a few zeros of both signs, denormals and large ones among them,
/// the same in every run (xorshift).
pub(crate) fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let unit = (state >> 40) as f32 / (1u64 << 24) as f32;
            match state % 97 {
                0 => 0.0,
                1 => -0.0,
                2 => unit * 1e-39,
                3 => unit * 300.0,
                _ => (unit - 0.5) * 8.0,
            }
        })
        .collect()
}

#[track_caller]
pub(crate) fn assert_bits(what: &str, isa: Isa, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what} on {isa}");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert_eq!(
            f.to_bits(),
            e.to_bits(),
            "{what} on {isa}: element {i} is {f:e}, the reference says {e:e}"
        );
    }
}

/// 0 … 33 crosses two vectors and their tails; then the real sizes, of other models too, and odd ones.
pub(crate) fn lengths() -> impl Iterator<Item = usize> {
    (0..=33).chain([40, 100, 128, 256, 312, 384, 500, 768, 1000, 1024, 1536])
}
