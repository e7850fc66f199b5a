//! What tensors are made of.

use arbitrary::Arbitrary;

/// Bits alone would nearly always end in infinity or NaN, where every order of a sum is the same.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
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
    pub(crate) fn value(self) -> f32 {
        match self {
            Number::Bits(bits) => f32::from_bits(bits),
            Number::Thousandths(n) => f32::from(n) / 1000.0,
            Number::Denormal(bits) => f32::from_bits(u32::from(bits)),
            Number::Special(x) => x,
        }
    }
}
