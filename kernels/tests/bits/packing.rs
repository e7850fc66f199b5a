//! Packed weights: where each element lies, and that it does not matter whose memory they lie in.

use std::sync::Arc;

use minilm_kernels::{Epilogue, Isa, PackedLinear, Precision, linear, reference};

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

/// Element by element as the layout is defined: panels, then bias, then scales and sums of int8. Elements of 32 bits,
/// whatever they are.
fn packed_naively(precision: Precision, weight: &[f32], bias: &[f32], k: usize) -> Vec<f32> {
    let panels = bias.len().div_ceil(16);
    let steps = match precision {
        Precision::Bf16 => 2,
        Precision::Int8 => 4,
        Precision::F32 => 1,
    };
    let lines = k.div_ceil(steps);
    let mut words = vec![0u32; panels * lines * 16];
    let groups = k.div_ceil(reference::INT8_GROUP);
    let (mut scales, mut sums) = (vec![0.0; groups * panels * 16], vec![0.0; groups * panels * 16]);
    for (column, row) in weight.chunks_exact(k).enumerate() {
        let mut bytes = Vec::new();
        for (group, row) in row.chunks(reference::INT8_GROUP).enumerate() {
            let (of_group, scale) = reference::quantize_weights(row);
            let sum: i32 = of_group.iter().map(|&byte| i32::from(byte)).sum();
            scales[group * panels * 16 + column] = scale;
            sums[group * panels * 16 + column] = sum as f32;
            bytes.extend(of_group);
        }
        for step in 0..k {
            let bits = match precision {
                Precision::Bf16 => u32::from(reference::bf16_bits(row[step])),
                Precision::Int8 => u32::from(bytes[step] as u8),
                Precision::F32 => row[step].to_bits(),
            };
            words[(column / 16 * lines + step / steps) * 16 + column % 16] |=
                bits << (32 / steps * (step % steps));
        }
    }
    let mut packed: Vec<f32> = words.into_iter().map(f32::from_bits).collect();
    packed.extend(bias);
    packed.resize((panels * lines + panels) * 16, 0.0);
    if precision == Precision::Int8 {
        packed.extend(scales);
        packed.extend(sums);
        packed.extend(vec![1.0; k.next_multiple_of(16)]);
    }
    packed
}

const SHAPES: [[usize; 2]; 12] = [
    [1, 1],
    [15, 3],
    [16, 16],
    [17, 33],
    [1, 40],
    [31, 129],
    [32, 15],
    [50, 128],
    [48, 384],
    [33, 385],
    [20, 1200],
    [0, 5],
];

fn assert_packed(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found.to_bits(), expected.to_bits(), "{what}: element {i}");
    }
}

/// Packed over what was there before.
fn packed_by_panels(precision: Precision, weight: &[f32], bias: &[f32], k: usize) -> Vec<f32> {
    let len = PackedLinear::packed_len(precision, bias.len(), k).unwrap();
    let mut packed = vec![f32::NAN; len];
    let rows: Vec<&[f32]> = weight.chunks_exact(k).collect();
    let panels = PackedLinear::panels_mut(precision, [bias.len(), k], None, &mut packed);
    for ((panel, rows), bias) in panels.zip(rows.chunks(16)).zip(bias.chunks(16)) {
        panel.pack(rows, bias);
    }
    packed
}

#[test]
fn every_element_lies_where_the_layout_says() {
    let every = (0..=17).flat_map(|n| (1..=50).map(move |k| [n, k]));
    for [n, k] in SHAPES.into_iter().chain(every) {
        let (weight, bias) = (numbers(n * k, 21), numbers(n, 22));
        for precision in Precision::ALL {
            let found = packed_by_panels(precision, &weight, &bias, k);
            let expected = packed_naively(precision, &weight, &bias, k);
            assert_packed(&format!("{precision}, n = {n}, k = {k}"), &found, &expected);
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
            elements.extend(packed_naively(Precision::F32, &weight, &bias, k));
            elements.push(f32::NAN);
            let shared =
                PackedLinear::from_region(Precision::F32, Arc::new(Aligned::of(&elements)), 32, n, k);
            let owned = PackedLinear::pack(Precision::F32, &[(&weight, &bias)], k);
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
    PackedLinear::from_region(Precision::F32, Arc::new(Aligned::of(&vec![0.0; elements])), offset, n, k)
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

/// A panel of two inputs.
fn pack_one_panel(rows: &[&[f32]], biases: &[f32]) {
    let mut room = [0.0; 48];
    let mut panels = PackedLinear::panels_mut(Precision::F32, [16, 2], None, &mut room);
    panels.next().expect("a panel").pack(rows, biases);
}

#[test]
#[should_panic(expected = "pack: 17 rows")]
fn a_panel_of_too_many_rows_is_refused() {
    pack_one_panel(&[&[0.0, 0.0][..]; 17], &[0.0; 17]);
}

#[test]
#[should_panic(expected = "pack: the length of a row")]
fn a_row_of_another_length_is_refused() {
    pack_one_panel(&[&[0.0, 0.0], &[0.0]], &[0.0; 2]);
}

#[test]
#[should_panic(expected = "pack: biases for 2 rows")]
fn a_missing_bias_is_refused() {
    pack_one_panel(&[&[0.0, 0.0], &[0.0, 0.0]], &[0.0]);
}

#[test]
#[should_panic(expected = "panels: n = 16, k = 2")]
fn room_of_another_size_is_refused() {
    let _ = PackedLinear::panels_mut(Precision::Int8, [16, 2], None, &mut [0.0; 63]).count();
}
