//! Parts of commands.

use std::fmt::Display;

use smol_str::SmolStr;

use crate::txn::Until;

/// A part of a command behind its name and key: borrowed from the transaction where it stands in it, a
/// short text held in place, or bytes that were made for it.
#[derive(Debug, Clone)]
pub(super) enum Operand<'a> {
    Lent(&'a [u8]),
    Own(SmolStr),
    Made(Vec<u8>),
}

impl AsRef<[u8]> for Operand<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Lent(bytes) => bytes,
            Self::Own(text) => text.as_bytes(),
            Self::Made(bytes) => bytes,
        }
    }
}

pub(super) type Operands<'a> = Vec<Operand<'a>>;

pub(super) fn own<'a>(value: impl Display) -> Operand<'a> {
    Operand::Own(smol_str::format_smolstr!("{value}"))
}

pub(super) fn number<'a>(value: u64) -> Operand<'a> {
    Operand::Own(SmolStr::new(itoa::Buffer::new().format(value)))
}

pub(super) fn lend(text: &str) -> Operand<'_> {
    Operand::Lent(text.as_bytes())
}

/// A deadline as the script takes it.
pub(super) fn deadline<'a>(until: Until) -> Operand<'a> {
    match until {
        Until::Never => lend(""),
        Until::At(at) => number(at.0),
    }
}

/// A log's entry: the field of its position.
pub(super) fn entry<'a>(position: u64) -> Operand<'a> {
    let mut field = [b'e'; 21];
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(position).as_bytes();
    if let Some(room) = field.get_mut(1..=digits.len()) {
        room.copy_from_slice(digits);
    }
    let field = field.get(..=digits.len()).unwrap_or_default();
    Operand::Own(SmolStr::new(std::str::from_utf8(field).unwrap_or_default()))
}
