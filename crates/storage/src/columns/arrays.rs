//! Columns as texts, ids and lists of numbers.

use std::borrow::Cow;
use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, LargeStringArray, RecordBatch, StringArray, StringViewArray,
};
use arrow_schema::DataType;
use arrow_select::take::take;

use super::{column, on_one_line};
use crate::error::Problem;
use crate::{Id, excerpt};

/// A column of text, in any of Arrow's forms.
pub(super) enum Texts {
    Utf8(StringArray),
    LargeUtf8(LargeStringArray),
    Utf8View(StringViewArray),
}

impl Texts {
    pub(super) fn of(batch: &RecordBatch, name: &str) -> Result<Texts, Problem> {
        let array = column(batch, name)?;
        Texts::of_array(array)?.ok_or_else(|| {
            let found = array.data_type();
            Problem::anywhere(format!(
                "column {} is {found}, expected text (Utf8, LargeUtf8, Utf8View, or a dictionary of such)",
                excerpt(name)
            ))
        })
    }

    /// `None` if it is something else.
    fn of_array(array: &dyn Array) -> Result<Option<Texts>, Problem> {
        Ok(match array.data_type() {
            DataType::Utf8 => Some(Texts::Utf8(array.as_string().clone())),
            DataType::LargeUtf8 => Some(Texts::LargeUtf8(array.as_string().clone())),
            DataType::Utf8View => Some(Texts::Utf8View(array.as_string_view().clone())),
            DataType::Dictionary(_, values) if values.is_string() => {
                let dictionary = array.as_any_dictionary();
                let texts: ArrayRef =
                    take(dictionary.values(), dictionary.keys(), None).map_err(|error| {
                        Problem::anywhere(format!("malformed dictionary: {}", on_one_line(error)))
                    })?;
                Texts::of_array(&texts)?
            }
            _ => None,
        })
    }

    /// Of the i-th row; `None` for a null.
    pub(super) fn get(&self, i: usize) -> Option<&str> {
        match self {
            Texts::Utf8(texts) => texts.is_valid(i).then(|| texts.value(i)),
            Texts::LargeUtf8(texts) => texts.is_valid(i).then(|| texts.value(i)),
            Texts::Utf8View(texts) => texts.is_valid(i).then(|| texts.value(i)),
        }
    }
}

/// A column of ids: text or integers.
pub(super) enum Ids {
    Text(Texts),
    /// `None` for a null.
    Integer(Vec<Option<i128>>),
}

impl Ids {
    pub(super) fn of(batch: &RecordBatch, name: &str) -> Result<Ids, Problem> {
        let array = column(batch, name)?;
        if let Some(texts) = Texts::of_array(array)? {
            return Ok(Ids::Text(texts));
        }
        let integers = match array.data_type() {
            DataType::Int8 => integers::<Int8Type>(array),
            DataType::Int16 => integers::<Int16Type>(array),
            DataType::Int32 => integers::<Int32Type>(array),
            DataType::Int64 => integers::<Int64Type>(array),
            DataType::UInt8 => integers::<UInt8Type>(array),
            DataType::UInt16 => integers::<UInt16Type>(array),
            DataType::UInt32 => integers::<UInt32Type>(array),
            DataType::UInt64 => integers::<UInt64Type>(array),
            found => {
                let name = excerpt(name);
                return Err(Problem::anywhere(format!(
                    "column {name} is {found}, expected text or integers"
                )));
            }
        };
        Ok(Ids::Integer(integers))
    }

    /// Of the i-th row.
    pub(super) fn get(&self, i: usize) -> Result<Id, String> {
        match self {
            Ids::Text(texts) => texts.get(i).map(Id::from).ok_or_else(|| "null, expected an id".to_owned()),
            Ids::Integer(integers) => match integers[i] {
                None => Err("null, expected an id".to_owned()),
                Some(integer) => i64::try_from(integer)
                    .map(Id::Integer)
                    .map_err(|_| format!("{integer} is not in the range of 64-bit integers with a sign")),
            },
        }
    }
}

fn integers<T: ArrowPrimitiveType<Native: Into<i128>>>(array: &dyn Array) -> Vec<Option<i128>> {
    array.as_primitive::<T>().iter().map(|integer| integer.map(Into::into)).collect()
}

/// A column of lists, of fixed or of varying size.
pub(super) struct Lists<'a> {
    pub(super) values: &'a ArrayRef,
    offsets: Offsets<'a>,
}

enum Offsets<'a> {
    Fixed(usize),
    Varying(&'a [i32]),
    Large(&'a [i64]),
}

impl Lists<'_> {
    /// `None` if it is something else.
    pub(super) fn of(array: &dyn Array) -> Option<Lists<'_>> {
        match array.data_type() {
            DataType::FixedSizeList(..) => {
                let lists = array.as_fixed_size_list();
                let offsets = Offsets::Fixed(usize::try_from(lists.value_length()).ok()?);
                Some(Lists { values: lists.values(), offsets })
            }
            DataType::List(_) => {
                let lists = array.as_list::<i32>();
                Some(Lists { values: lists.values(), offsets: Offsets::Varying(lists.value_offsets()) })
            }
            DataType::LargeList(_) => {
                let lists = array.as_list::<i64>();
                Some(Lists { values: lists.values(), offsets: Offsets::Large(lists.value_offsets()) })
            }
            _ => None,
        }
    }

    /// Which values the i-th row has. Arrow's offsets are checked to lie within the values.
    pub(super) fn range(&self, i: usize) -> Range<usize> {
        match self.offsets {
            Offsets::Fixed(length) => i * length..(i + 1) * length,
            Offsets::Varying(offsets) => offsets[i] as usize..offsets[i + 1] as usize,
            Offsets::Large(offsets) => offsets[i] as usize..offsets[i + 1] as usize,
        }
    }
}

/// Floats as f32, rounded to the nearest.
pub(crate) fn floats(array: &dyn Array) -> Option<Cow<'_, [f32]>> {
    match array.data_type() {
        DataType::Float32 => Some(Cow::Borrowed(array.as_primitive::<Float32Type>().values())),
        DataType::Float16 => {
            Some(array.as_primitive::<Float16Type>().values().iter().map(|x| x.to_f32()).collect())
        }
        DataType::Float64 => {
            Some(array.as_primitive::<Float64Type>().values().iter().map(|&x| x as f32).collect())
        }
        _ => None,
    }
}

/// Numbers of exactly that type.
pub(crate) fn numbers<T: ArrowPrimitiveType>(array: &dyn Array) -> Option<Cow<'_, [T::Native]>> {
    array.as_primitive_opt::<T>().map(|numbers| Cow::Borrowed(&numbers.values()[..]))
}
