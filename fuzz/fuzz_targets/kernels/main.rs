//! Any operation of `minilm-kernels`, of any shape, over any bits, on every instruction set of this machine:
//! the bits of `minilm_kernels::reference`, and nothing read or written outside the slices.
#![no_main]

mod number;
mod operation;
mod slice;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use minilm_kernels::{
    AttentionParameters, AttentionScratch, Epilogue, Isa, LayerNorm, NarrowRows, PackedLinear, PositionBias,
    Precision, RowsMut, TopK, activate, attention, attention_heads, cls_pool, dot, embedding_sum,
    euclidean_distance, euclidean_distance_matrix, l2_normalize, last_token_pool, layer_norm, linear,
    linear_columns, manhattan_distance, manhattan_distance_matrix, max_pool, mean_pool, mean_sqrt_len_pool,
    reference, similarity_matrix, softmax, weighted_mean_pool,
};

use number::Number;
use operation::{Bias, Operation, Size, Then, Weights};
use slice::{BEFORE, Slice};

#[derive(Arbitrary, Debug)]
struct Case {
    operation: Operation,
    /// How many elements every slice lies behind the beginning of its allocation.
    offset: u8,
    /// What the tensors are made of, see [`Case::numbers`].
    numbers: Vec<Number>,
}

impl Case {
    /// n numbers of the input's in an order without a pattern, so that a few bytes make a large tensor. Each
    /// `tensor` is another.
    fn numbers(&self, tensor: u64, n: usize) -> Vec<f32> {
        let mut state = tensor.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        (0..n)
            .map(|i| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                // As many of them in order as there are, so that the input has a say in what stands where.
                let at = if i < self.numbers.len() { i } else { (state >> 32) as usize };
                self.numbers.get(at % self.numbers.len().max(1)).map_or(0.0, |number| number.value())
            })
            .collect()
    }

    fn input(&self, tensor: u64, n: usize) -> Slice {
        Slice::new(&self.numbers(tensor, n), self.offset)
    }

    /// An output, full of what must not be left in it.
    fn output(&self, n: usize) -> Slice {
        Slice::new(&vec![BEFORE; n], self.offset.rotate_left(3))
    }

    /// An operation in place: what `run` makes of n numbers on every instruction set is `expected`.
    fn in_place(&self, n: usize, run: impl Fn(Isa, &mut [f32]), expected: impl FnOnce(&mut [f32])) {
        let mut by_reference = self.numbers(0, n);
        expected(&mut by_reference);
        for isa in Isa::available() {
            let mut x = self.input(0, n);
            run(isa, x.get_mut());
            x.check(isa, &by_reference);
        }
    }

    /// An operation from one slice to another of n elements.
    fn out_of_place(&self, expected: &[f32], run: impl Fn(Isa, &mut [f32])) {
        for isa in Isa::available() {
            let mut out = self.output(expected.len());
            run(isa, out.get_mut());
            out.check(isa, expected);
        }
    }

    /// One arm an operation.
    fn run(&self) {
        match self.operation {
            Operation::Linear { m: Size(m), n: Size(n), k: Size(k), split, then, precision } => {
                self.linear(precision, [m, n, k], usize::from(split) % (n + 1), then);
            }
            Operation::LongLinear { m: Size(m), n: Size(n), k: Size(k), then, precision } => {
                self.linear(precision, [m, n, k], n / 2, then);
            }
            Operation::Attention { precision, heads, head_size, s, longer, bias } => {
                self.attention(precision, [heads.0, head_size.0], [s.0, longer.0], bias);
            }
            Operation::LongAttention { precision, head_size, s, bias } => {
                self.attention(precision, [1, head_size.0], [s.0, 0], bias);
            }
            Operation::Softmax { rows: Size(rows), width: Size(width) } => self.in_place(
                rows * width,
                |isa, x| softmax(isa, x, width),
                |x| x.chunks_mut(width).for_each(reference::softmax),
            ),
            Operation::LayerNorm { rows: Size(rows), h: Size(h), eps } => {
                let eps = eps.value();
                let p = LayerNorm { gamma: self.numbers(1, h), beta: self.numbers(2, h), eps };
                self.in_place(
                    rows * h,
                    |isa, x| layer_norm(isa, x, &p),
                    |x| x.chunks_mut(h).for_each(|row| reference::layer_norm(row, &p.gamma, &p.beta, eps)),
                );
            }
            Operation::Activate { n: Size(n), function } => {
                let (activation, f) = function.both();
                self.in_place(
                    n,
                    |isa, x| activate(isa, x, activation),
                    |x| x.iter_mut().for_each(|x| *x = f(*x)),
                );
            }
            Operation::EmbeddingSum { s: Size(s), h: Size(h) } => {
                let (token_type, positions) = (self.input(1, h), self.input(2, s * h));
                self.in_place(
                    s * h,
                    |isa, x| embedding_sum(isa, x, token_type.get(), positions.get()),
                    |x| {
                        for (row, position) in x.chunks_mut(h).zip(positions.get().chunks(h)) {
                            row.copy_from_slice(&reference::embedding_sum(row, token_type.get(), position));
                        }
                    },
                );
            }
            Operation::MeanPool { s: Size(s), h: Size(h) } => {
                let x = self.input(0, s * h);
                self.out_of_place(&reference::mean_pool(x.get(), h), |isa, out| mean_pool(isa, x.get(), out));
            }
            Operation::MaxPool { s: Size(s), h: Size(h) } => {
                let x = self.input(0, s * h);
                self.out_of_place(&reference::max_pool(x.get(), h), |isa, out| max_pool(isa, x.get(), out));
            }
            Operation::MeanSqrtLenPool { s: Size(s), h: Size(h) } => {
                let x = self.input(0, s * h);
                let expected = reference::mean_sqrt_len_pool(x.get(), h);
                self.out_of_place(&expected, |isa, out| mean_sqrt_len_pool(isa, x.get(), out));
            }
            Operation::WeightedMeanPool { s: Size(s), h: Size(h), first_weight: Size(first) } => {
                let x = self.input(0, s * h);
                let expected = reference::weighted_mean_pool(x.get(), h, first);
                self.out_of_place(&expected, |isa, out| weighted_mean_pool(isa, x.get(), first, out));
            }
            Operation::LastTokenPool { s: Size(s), h: Size(h) } => {
                let x = self.input(0, s * h);
                self.out_of_place(&x.get()[(s - 1) * h..], |_, out| last_token_pool(x.get(), out));
            }
            Operation::ClsPool { s: Size(s), h: Size(h) } => {
                let x = self.input(0, s * h);
                self.out_of_place(&x.get()[..h], |_, out| cls_pool(x.get(), out));
            }
            Operation::L2Normalize { n: Size(n) } => {
                self.in_place(n, l2_normalize, reference::l2_normalize);
            }
            Operation::Dot { k } => self.pair(k.0, dot, reference::dot),
            Operation::SimilarityMatrix { m, n, k } => {
                self.matrix([m.0, n.0, k.0], similarity_matrix, reference::similarity_matrix);
            }
            Operation::EuclideanDistance { k } => {
                self.pair(k.0, euclidean_distance, reference::euclidean_distance);
            }
            Operation::EuclideanDistanceMatrix { m, n, k } => {
                let expected = reference::euclidean_distance_matrix;
                self.matrix([m.0, n.0, k.0], euclidean_distance_matrix, expected);
            }
            Operation::ManhattanDistance { k } => {
                self.pair(k.0, manhattan_distance, reference::manhattan_distance);
            }
            Operation::ManhattanDistanceMatrix { m, n, k } => {
                let expected = reference::manhattan_distance_matrix;
                self.matrix([m.0, n.0, k.0], manhattan_distance_matrix, expected);
            }
            Operation::TopK { n: Size(n), k: Size(k), split } => {
                self.top_k(n, k, usize::from(split) % (n + 1))
            }
        }
    }

    /// A weight, packed in two parts, one of which may have no outputs, or by its panels, with factors of its inputs; and
    /// what the product with x is.
    fn packed(
        &self,
        precision: Weights,
        x: &[f32],
        [m, n, k]: [usize; 3],
        split: usize,
    ) -> (PackedLinear, Vec<f32>) {
        let (weight, bias) = (self.numbers(1, n * k), self.numbers(2, n));
        let parts = [(&weight[..split * k], &bias[..split]), (&weight[split * k..], &bias[split..])];
        let pack = || PackedLinear::pack(precision.precision(), &parts, k);
        match precision {
            Weights::F32 => (pack(), reference::linear(x, &weight, &bias, m, n, k)),
            Weights::Bf16 => (pack(), reference::linear_bf16(x, &weight, &bias, m, n, k)),
            Weights::Int8 => (pack(), reference::linear_int8(x, &weight, &bias, &vec![1.0; k])),
            Weights::ScaledInt8 => {
                let factors = self.numbers(4, k);
                let packed = PackedLinear::pack_with_factors(&parts, &factors);
                (packed, reference::linear_int8(x, &weight, &bias, &factors))
            }
        }
    }

    /// Computed as a whole, and by columns in one to five parts.
    fn linear(&self, precision: Weights, [m, n, k]: [usize; 3], split: usize, then: Then) {
        let threads = 1 + split % 5;
        let (x, residual) = (self.input(0, m * k), self.input(3, m * n));
        let (packed, biased) = self.packed(precision, x.get(), [m, n, k], split);
        let (epilogue, expected) = match then {
            Then::Bias => (Epilogue::Bias, biased),
            Then::Activation(function) => {
                let (activation, f) = function.both();
                (Epilogue::Activation(activation), biased.into_iter().map(f).collect())
            }
            Then::Residual => {
                (Epilogue::Residual(residual.get()), reference::residual_sum(&biased, residual.get()))
            }
        };
        self.out_of_place(&expected, |isa, out| {
            let mut narrow = NarrowRows::default();
            linear(isa, narrow.narrow(isa, x.get(), &packed), &packed, epilogue, out);
        });
        self.out_of_place(&expected, |isa, out| {
            let mut narrow = NarrowRows::default();
            let x = narrow.narrow(isa, x.get(), &packed);
            let shares = RowsMut::new(out, n).share_columns(16, threads);
            for i in (0..threads).rev() {
                let then = packed.columns(shares.range(threads - 1 - i));
                let columns = packed.columns(shares.range(i));
                linear_columns(isa, x, columns, Some(then), epilogue, shares.take(i));
            }
        });
    }

    /// A number of two vectors.
    fn pair(
        &self,
        k: usize,
        run: impl Fn(Isa, &[f32], &[f32]) -> f32,
        specified: impl FnOnce(&[f32], &[f32]) -> f32,
    ) {
        let (a, b) = (self.input(0, k), self.input(1, k));
        let expected = [specified(a.get(), b.get())];
        self.out_of_place(&expected, |isa, out| out[0] = run(isa, a.get(), b.get()));
    }

    /// A number of every row of one set and every row of another.
    fn matrix(
        &self,
        [m, n, k]: [usize; 3],
        run: impl Fn(Isa, &[f32], &[f32], usize, &mut [f32]),
        specified: impl FnOnce(&[f32], &[f32], usize) -> Vec<f32>,
    ) {
        let (a, b) = (self.input(0, m * k), self.input(1, n * k));
        let expected = specified(a.get(), b.get(), k);
        self.out_of_place(&expected, |isa, out| run(isa, a.get(), b.get(), k, out));
    }

    /// The scores from `split` on first.
    fn top_k(&self, n: usize, k: usize, split: usize) {
        let scores = self.input(0, n);
        let expected = reference::top_k(scores.get(), k);
        for isa in Isa::available() {
            let mut top = TopK::new(k);
            top.push(isa, split, &scores.get()[split..]);
            top.push(isa, 0, &scores.get()[..split]);
            let hits = top.into_sorted();
            assert_eq!(hits.len(), expected.len(), "{isa}");
            for (found, expected) in hits.iter().zip(&expected) {
                let same = (found.index, found.score.to_bits()) == (expected.0, expected.1.to_bits());
                assert!(same, "{isa}: {found:?} is not {expected:?}");
            }
        }
    }

    /// `longer` more tokens first, whose keys and values stay behind in the scratch memory. Computed as a whole, and by
    /// heads in one to three parts.
    fn attention(
        &self,
        precision: Weights,
        [heads, head_size]: [usize; 2],
        [s, longer]: [usize; 2],
        bias: Bias,
    ) {
        let (h, precision) = (heads * head_size, precision.precision());
        let (first, qkv) = (self.input(1, (s + longer) * 3 * h), self.input(0, s * 3 * h));
        let more = if let Bias::Position(Size(more)) = bias { more } else { 0 };
        let max_tokens = (s + longer + more).max(1);
        let values = self.input(2, heads * (2 * max_tokens - 1));
        let position_bias = match bias {
            Bias::None => None,
            Bias::Position(_) => Some(PositionBias::new(values.get(), heads, max_tokens)),
        };
        let parameters = AttentionParameters { heads, head_size, precision, position_bias };
        let specified = match precision {
            Precision::F32 => reference::attention,
            _ => reference::attention_bf16,
        };
        let expected = specified(qkv.get(), s, heads, head_size, position_bias);
        self.out_of_place(&expected, |isa, out| {
            let mut scratch = AttentionScratch::default();
            attention(isa, first.get(), parameters, &mut scratch, &mut vec![0.0; (s + longer) * h]);
            attention(isa, qkv.get(), parameters, &mut scratch, out);
        });
        self.out_of_place(&expected, |isa, out| {
            let mut scratch = AttentionScratch::default();
            let shares = RowsMut::new(out, h).share_columns(head_size, 1 + longer % 3);
            for i in 0..shares.parts() {
                let first = shares.range(i).start / head_size;
                attention_heads(isa, qkv.get(), parameters, first, &mut scratch, shares.take(i));
            }
        });
    }
}

fuzz_target!(|case: Case| case.run());
