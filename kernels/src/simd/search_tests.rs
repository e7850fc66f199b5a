//! Methods that search needs of an instruction set besides products.

use std::cmp::Ordering;

use super::{LANES, Simd};
use crate::dispatch::{Isa, Kernel};

struct Methods {
    floats: [[f32; LANES]; LANES],
    integers: [[i32; LANES]; LANES],
}

struct Results {
    sums: [u32; LANES],
    integer_sums: [i32; LANES],
    added: [i32; LANES],
    /// What is found and what is right.
    not_less: Vec<(bool, bool)>,
}

impl Kernel for Methods {
    type Output = Results;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Results {
        let Methods { floats, integers } = self;
        let (mut sums, mut integer_sums, mut added) = ([0.0; LANES], [0; LANES], [0; LANES]);
        let mut rows = [simd.splat(0.0); LANES];
        let mut integer_rows = [simd.splat_i32(0); LANES];
        for i in 0..LANES {
            rows[i] = simd.load(&floats[i]);
            integer_rows[i] = simd.load_i32(&integers[i]);
        }
        simd.store(simd.reduce_add_rows(rows), &mut sums);
        simd.store_i32(simd.reduce_add_rows_i32(integer_rows), &mut integer_sums);
        simd.store_i32(simd.add_i32(integer_rows[0], integer_rows[1]), &mut added);
        let mut not_less = Vec::new();
        for i in 0..LANES {
            for x in [f32::NEG_INFINITY, -0.0, 0.0, 1.0, f32::INFINITY, f32::NAN] {
                // All lanes but one are less.
                for at in 0..LANES {
                    let (mut a, mut b) = ([-1.0; LANES], [2.0; LANES]);
                    (a[at], b[at]) = (floats[i][at], x);
                    not_less.push((
                        simd.any_not_less(simd.load(&a), simd.load(&b)),
                        a.iter().zip(&b).any(|(a, b)| a.partial_cmp(b) != Some(Ordering::Less)),
                    ));
                    let (mut a, mut b) = ([-1; LANES], [2; LANES]);
                    (a[at], b[at]) = (integers[i][at], integers[0][at]);
                    not_less.push((
                        simd.any_not_less_i32(simd.load_i32(&a), simd.load_i32(&b)),
                        a.iter().zip(&b).any(|(a, b)| a >= b),
                    ));
                }
            }
        }
        Results { sums: sums.map(f32::to_bits), integer_sums, added, not_less }
    }
}

#[test]
fn trees_of_sixteen_rows_are_those_of_one() {
    let integers = std::array::from_fn(|i| {
        std::array::from_fn(|j| match (i + j) % 5 {
            0 => i32::MAX,
            1 => i32::MIN,
            _ => (i * 1000 + j * 7) as i32 - 5000,
        })
    });
    // Sums that another order would round otherwise; and zeros of both signs.
    let thirds: [[f32; LANES]; LANES] =
        std::array::from_fn(|i| std::array::from_fn(|j| 1.0 / (3 * (j * 5 + i) + 1) as f32));
    let zeros =
        std::array::from_fn(|i| std::array::from_fn(|j| if (j + 1) % (i + 1) == 0 { -0.0 } else { 0.0 }));
    let negative = [[-0.0; LANES]; LANES];
    for floats in [thirds, zeros, negative] {
        for isa in Isa::available() {
            let found = isa.run(Methods { floats, integers });
            assert!(found.not_less.iter().all(|(found, right)| found == right), "{isa}");
            let added: [i32; LANES] = std::array::from_fn(|j| integers[0][j].wrapping_add(integers[1][j]));
            assert_eq!(found.added, added, "{isa}");
            for (sum, row) in found.sums.iter().zip(floats) {
                assert_eq!(*sum, crate::reference::tree(row, |a, b| a + b).to_bits(), "{isa}");
            }
            for (sum, row) in found.integer_sums.iter().zip(integers) {
                assert_eq!(*sum, row.iter().fold(0, |sum: i32, &x| sum.wrapping_add(x)), "{isa}");
            }
        }
    }
}
