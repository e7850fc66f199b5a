//! Search: the scores of rows of bytes and of bits, and the dot product that candidates are ordered by again.

use super::dot;

/// Σ a·b of vectors of one length, an exact integer: of at most [`Component::MAX_LEN`](crate::Component::MAX_LEN)
/// components, beyond which it may not fit.
pub fn dot_int8(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum()
}

/// As [`dot_int8`], of unsigned bytes.
pub fn dot_uint8(a: &[u8], b: &[u8]) -> i32 {
    a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum()
}

/// How many bits of two binary vectors of one length, packed, differ. A row's score is this negated.
pub fn hamming_distance(a: &[u8], b: &[u8]) -> i32 {
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones() as i32).sum()
}

/// The bits of a binary vector as numbers 0 and 1: of each byte the highest bit first, as numpy's `unpackbits` does.
pub fn bits_as_numbers(bytes: &[u8]) -> Vec<f32> {
    bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| f32::from(byte >> bit & 1))).collect()
}

/// The [`dot`] product of a query with a row whose components, bytes or bits, have become numbers, which is exact. Of bits
/// there may be more than the query has numbers; these are left over.
pub fn dot_of_numbers(query: &[f32], row: &[f32]) -> f32 {
    dot(query, &row[..query.len()])
}

/// [`top_k`](super::top_k) of integers.
pub fn top_k_integers(scores: &[i32], k: usize) -> Vec<(usize, i32)> {
    let mut sorted: Vec<(usize, i32)> = scores.iter().copied().enumerate().collect();
    // Stable: equal scores keep their order.
    sorted.sort_by_key(|&(_, score)| std::cmp::Reverse(score));
    sorted.truncate(k);
    sorted
}
