//! Any operation of `minilm-kernels`, of any shape, over any bits, on every instruction set of this machine:
//! the bits of `minilm_kernels::reference`, and nothing read or written outside the slices.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use minilm_kernels::{
    Activation, AttentionScratch, AttentionShape, Epilogue, Isa, LayerNorm, NarrowRows, PackedLinear,
    Precision, RowsMut, TopK, activate, attention, attention_heads, cls_pool, dot, embedding_sum,
    euclidean_distance, euclidean_distance_matrix, l2_normalize, layer_norm, linear, linear_columns,
    manhattan_distance, manhattan_distance_matrix, max_pool, mean_pool, reference, similarity_matrix,
    softmax,
};

#[derive(Arbitrary, Debug)]
struct Case {
    operation: Operation,
    /// How many elements every slice lies behind the beginning of its allocation.
    offset: u8,
    /// What the tensors are made of, see [`Case::numbers`].
    numbers: Vec<Number>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Operation {
    Linear {
        m: Size<0, 20>,
        n: Size<1, 70>,
        k: Size<1, 270>,
        split: u8,
        then: Then,
        precision: Weights,
    },
    /// So long that int8 has several groups of INT8_GROUP inputs.
    LongLinear {
        m: Size<1, 9>,
        n: Size<1, 40>,
        k: Size<300, 900>,
        then: Then,
        precision: Weights,
    },
    Attention {
        precision: Weights,
        heads: Size<1, 4>,
        head_size: Size<1, 40>,
        s: Size<0, 40>,
        longer: Size<0, 40>,
    },
    /// So long that p · v has more than one block of K_BLOCK.
    LongAttention {
        precision: Weights,
        head_size: Size<1, 20>,
        s: Size<100, 170>,
    },
    Softmax {
        rows: Size<0, 5>,
        width: Size<1, 270>,
    },
    LayerNorm {
        rows: Size<0, 9>,
        h: Size<1, 270>,
        eps: Number,
    },
    Activate {
        n: Size<0, 100>,
        function: Function,
    },
    EmbeddingSum {
        s: Size<0, 5>,
        h: Size<1, 100>,
    },
    MeanPool {
        s: Size<1, 40>,
        h: Size<1, 100>,
    },
    MaxPool {
        s: Size<1, 40>,
        h: Size<1, 100>,
    },
    ClsPool {
        s: Size<1, 5>,
        h: Size<1, 100>,
    },
    L2Normalize {
        n: Size<0, 270>,
    },
    Dot {
        k: Size<0, 270>,
    },
    SimilarityMatrix {
        m: Size<0, 10>,
        n: Size<0, 10>,
        k: Size<1, 100>,
    },
    EuclideanDistance {
        k: Size<0, 270>,
    },
    EuclideanDistanceMatrix {
        m: Size<0, 10>,
        n: Size<0, 10>,
        k: Size<1, 100>,
    },
    ManhattanDistance {
        k: Size<0, 270>,
    },
    ManhattanDistanceMatrix {
        m: Size<0, 10>,
        n: Size<0, 10>,
        k: Size<1, 100>,
    },
    /// In two blocks.
    TopK {
        n: Size<0, 400>,
        k: Size<0, 20>,
        split: u8,
    },
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Weights {
    F32,
    Bf16,
    Int8,
    /// Of inputs that have factors.
    ScaledInt8,
}

impl Weights {
    fn precision(self) -> Precision {
        match self {
            Weights::F32 => Precision::F32,
            Weights::Bf16 => Precision::Bf16,
            Weights::Int8 | Weights::ScaledInt8 => Precision::Int8,
        }
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Function {
    Gelu,
    GeluTanh,
    GeluPolynomial,
    Relu,
    Tanh,
}

impl Function {
    /// The kernel's name for it, and its specification.
    fn both(self) -> (Activation, fn(f32) -> f32) {
        match self {
            Function::Gelu => (Activation::Gelu, reference::gelu),
            Function::GeluTanh => (Activation::GeluTanh, reference::gelu_tanh),
            Function::GeluPolynomial => (Activation::GeluPolynomial, reference::gelu_polynomial),
            Function::Relu => (Activation::Relu, reference::relu),
            Function::Tanh => (Activation::Tanh, reference::tanh),
        }
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Then {
    Bias,
    Activation(Function),
    Residual,
}

/// LEAST … MOST.
#[derive(Clone, Copy, Debug)]
struct Size<const LEAST: usize, const MOST: usize>(usize);

impl<'a, const LEAST: usize, const MOST: usize> Arbitrary<'a> for Size<LEAST, MOST> {
    fn arbitrary(u: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Size(u.int_in_range(LEAST..=MOST)?))
    }

    fn size_hint(_: usize) -> (usize, Option<usize>) {
        (0, Some(2))
    }
}

/// Bits alone would nearly always end in infinity or NaN, where every order of a sum is the same.
#[derive(Clone, Copy, Debug)]
enum Number {
    Bits(u32),
    Thousandths(i16),
    Denormal(u16),
    Special(f32),
}

/// One byte says which, and two or four are the number: a fuzzer that grows its inputs slowly then has more of
/// them than with the four bytes that derived code takes for a variant.
impl<'a> Arbitrary<'a> for Number {
    fn arbitrary(u: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        const SPECIAL: [f32; 7] =
            [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, f32::MIN_POSITIVE];
        Ok(match u8::arbitrary(u)? {
            0..160 => Number::Thousandths(u.arbitrary()?),
            160..192 => Number::Denormal(u.arbitrary()?),
            192..248 => Number::Bits(u.arbitrary()?),
            kind => Number::Special(SPECIAL[usize::from(kind) % SPECIAL.len()]),
        })
    }

    fn size_hint(_: usize) -> (usize, Option<usize>) {
        (1, Some(5))
    }
}

impl Number {
    fn value(self) -> f32 {
        match self {
            Number::Bits(bits) => f32::from_bits(bits),
            Number::Thousandths(n) => f32::from(n) / 1000.0,
            Number::Denormal(bits) => f32::from_bits(u32::from(bits)),
            Number::Special(x) => x,
        }
    }
}

/// A slice at some distance from the beginning of its allocation, and up to its end: AddressSanitizer sees
/// whatever is read or written behind it, [`Slice::check`] what is written before it.
struct Slice {
    elements: Vec<f32>,
    offset: usize,
}

/// What stands before a slice.
const BEFORE: f32 = 1234.5;

impl Slice {
    fn new(values: &[f32], offset: u8) -> Slice {
        let offset = usize::from(offset % 16);
        let mut elements = Vec::with_capacity(offset + values.len());
        elements.resize(offset, BEFORE);
        elements.extend_from_slice(values);
        Slice { elements, offset }
    }

    fn get(&self) -> &[f32] {
        &self.elements[self.offset..]
    }

    fn get_mut(&mut self) -> &mut [f32] {
        &mut self.elements[self.offset..]
    }

    /// The bits of what was found are those expected; one NaN is as good as another.
    fn check(&self, isa: Isa, expected: &[f32]) {
        assert!(self.elements[..self.offset].iter().all(|&x| x == BEFORE), "{isa}: written before the slice");
        assert_eq!(self.get().len(), expected.len());
        for (i, (found, expected)) in self.get().iter().zip(expected).enumerate() {
            assert!(
                found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan(),
                "{isa}: element {i} is {found:e}, the reference says {expected:e}"
            );
        }
    }
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
            Operation::Attention { precision, heads: Size(heads), head_size: Size(head_size), s, longer } => {
                let shape = AttentionShape { heads, head_size, precision: precision.precision() };
                self.attention(shape, s.0, longer.0);
            }
            Operation::LongAttention { precision, head_size: Size(head_size), s } => {
                let shape = AttentionShape { heads: 1, head_size, precision: precision.precision() };
                self.attention(shape, s.0, 0);
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
    fn attention(&self, shape: AttentionShape, s: usize, longer: usize) {
        let h = shape.hidden_size();
        let (first, qkv) = (self.input(1, (s + longer) * 3 * h), self.input(0, s * 3 * h));
        let specified = match shape.precision {
            Precision::F32 => reference::attention,
            _ => reference::attention_bf16,
        };
        let expected = specified(qkv.get(), s, shape.heads, shape.head_size);
        self.out_of_place(&expected, |isa, out| {
            let mut scratch = AttentionScratch::default();
            attention(isa, first.get(), shape, &mut scratch, &mut vec![0.0; (s + longer) * h]);
            attention(isa, qkv.get(), shape, &mut scratch, out);
        });
        self.out_of_place(&expected, |isa, out| {
            let mut scratch = AttentionScratch::default();
            let shares = RowsMut::new(out, h).share_columns(shape.head_size, 1 + longer % 3);
            for i in 0..shares.parts() {
                let first = shares.range(i).start / shape.head_size;
                attention_heads(isa, qkv.get(), shape, first, &mut scratch, shares.take(i));
            }
        });
    }
}

fuzz_target!(|case: Case| case.run());
