//! Packed weights: where each element lies, and that it does not matter whose memory they lie in.

use std::sync::Arc;

use minilm_kernels::{Epilogue, Isa, PackedLinear, linear, pack_panel, reference};

use crate::numbers::{assert_bits, numbers};

/// Elements that begin at a multiple of 64 bytes, behind `offset` others.
struct Aligned {
    data: Vec<f32>,
    start: usize,
}

impl Aligned {
    fn of(elements: &[f32]) -> Aligned {
        let mut data = vec![f32::NAN; elements.len() + 16];
        let start = data.as_ptr().align_offset(64);
        data[start..][..elements.len()].copy_from_slice(elements);
        data.truncate(start + elements.len());
        Aligned { data, start }
    }
}

impl AsRef<[f32]> for Aligned {
    fn as_ref(&self) -> &[f32] {
        &self.data[self.start..]
    }
}

/// `[⌈n / 16⌉][k][16]`, then the bias, element by element as the layout is defined.
fn packed_naively(weight: &[f32], bias: &[f32], k: usize) -> Vec<f32> {
    let n = bias.len();
    let panels = n.div_ceil(16);
    let mut packed = vec![0.0; panels * k * 16 + panels * 16];
    for column in 0..n {
        for step in 0..k {
            packed[(column / 16 * k + step) * 16 + column % 16] = weight[column * k + step];
        }
        packed[panels * k * 16 + column] = bias[column];
    }
    packed
}

const SHAPES: [[usize; 2]; 10] =
    [[1, 1], [15, 3], [16, 16], [17, 33], [1, 40], [31, 129], [32, 15], [50, 128], [48, 384], [0, 5]];

#[test]
fn every_element_lies_where_the_layout_says() {
    for [n, k] in SHAPES {
        let (weight, bias) = (numbers(n * k, 21), numbers(n, 22));
        let expected = packed_naively(&weight, &bias, k);
        assert_eq!(PackedLinear::packed_len(n, k), Some(expected.len()));
        let rows: Vec<&[f32]> = weight.chunks_exact(k).collect();
        for (columns, expected) in rows.chunks(16).zip(expected.chunks_exact(16 * k)) {
            let mut panel = vec![f32::NAN; 16 * k];
            pack_panel(columns, &mut panel);
            for (i, (found, expected)) in panel.iter().zip(expected).enumerate() {
                assert_eq!(found.to_bits(), expected.to_bits(), "n = {n}, k = {k}, element {i} of a panel");
            }
        }
    }
}

#[test]
fn panels_of_every_number_of_columns_and_steps() {
    for columns in 0..=16 {
        for steps in 0..=50 {
            let weight = numbers(columns * steps, 23);
            let rows: Vec<&[f32]> = (0..columns).map(|c| &weight[c * steps..][..steps]).collect();
            let mut panel = vec![f32::NAN; steps * 16];
            pack_panel(&rows, &mut panel);
            for (i, found) in panel.iter().enumerate() {
                let (step, column) = (i / 16, i % 16);
                let expected = rows.get(column).map_or(0.0, |row| row[step]);
                assert_eq!(
                    found.to_bits(),
                    expected.to_bits(),
                    "{columns} columns, {steps} steps, element {i}"
                );
            }
        }
    }
}

#[test]
fn weights_in_a_region_have_the_bits_of_owned_ones() {
    for isa in Isa::available() {
        for [n, k] in SHAPES {
            let (weight, bias) = (numbers(n * k, 24), numbers(n, 25));
            // Behind something else, as in a model.
            let mut elements = numbers(32, 26);
            elements.extend(packed_naively(&weight, &bias, k));
            elements.push(f32::NAN);
            let shared = PackedLinear::from_region(Arc::new(Aligned::of(&elements)), 32, n, k);
            let owned = PackedLinear::pack(&[(&weight, &bias)], k);
            assert_eq!((shared.n(), shared.k()), (n, k));
            for m in [1, 5, 9] {
                let x = numbers(m * k, 27);
                let expected = reference::linear(&x, &weight, &bias, m, n, k);
                for (whose, packed) in [("shared", &shared), ("owned", &owned)] {
                    let mut y = vec![f32::NAN; m * n];
                    linear(isa, &x, packed, Epilogue::Bias, &mut y);
                    assert_bits(&format!("{whose} {m}×{n}×{k}"), isa, &y, &expected);
                }
            }
        }
    }
}

fn from_region(elements: usize, offset: usize, n: usize, k: usize) -> PackedLinear {
    PackedLinear::from_region(Arc::new(Aligned::of(&vec![0.0; elements])), offset, n, k)
}

#[test]
fn a_region_may_end_with_the_bias() {
    // One panel of 2 steps and its bias.
    assert_eq!(from_region(48, 0, 16, 2).n(), 16);
    assert_eq!(from_region(64, 16, 16, 2).n(), 16);
}

#[test]
#[should_panic(expected = "n = 16, k = 2 at 16 is outside the region (63 elements)")]
fn a_region_that_is_too_short_is_refused() {
    from_region(63, 16, 16, 2);
}

#[test]
#[should_panic(expected = "not aligned to 64 bytes")]
fn a_region_that_is_not_aligned_is_refused() {
    from_region(64, 8, 16, 2);
}

#[test]
#[should_panic(expected = "is outside the region (64 elements)")]
fn sizes_that_overflow_are_refused() {
    from_region(64, 0, usize::MAX, usize::MAX);
}

#[test]
#[should_panic(expected = "is outside the region (64 elements)")]
fn an_offset_that_overflows_is_refused() {
    from_region(64, usize::MAX, 16, 2);
}

#[test]
#[should_panic(expected = "from_region: k is 0")]
fn a_region_of_no_inputs_is_refused() {
    from_region(64, 0, 16, 0);
}

#[test]
#[should_panic(expected = "pack_panel: 17 rows")]
fn a_panel_of_too_many_rows_is_refused() {
    pack_panel(&[&[0.0][..]; 17], &mut [0.0; 16]);
}

#[test]
#[should_panic(expected = "pack_panel: rows of 2, a panel of 16")]
fn a_row_of_another_length_is_refused() {
    pack_panel(&[&[0.0], &[0.0, 0.0]], &mut [0.0; 16]);
}

#[test]
#[should_panic(expected = "pack_panel: the panel ends with 1 of 16 columns")]
fn a_panel_that_is_cut_is_refused() {
    pack_panel(&[], &mut [0.0; 17]);
}
