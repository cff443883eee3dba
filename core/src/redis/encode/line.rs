//! What is done with a line, as a step of the script.

use super::super::commands::{LINE_COMPANIONS, line_command};
use super::super::operand::{Operand, lend, number};
use super::{Named, Program};
use crate::command::{Bytes, Command, Line};
use crate::key::Key;
use crate::txn::Effect;

/// Texts that one step puts at the most: they are operands of one command of the script.
const PUTS: usize = 1_000;

/// A text that is put into a line without a bound.
fn put(effect: &Effect) -> Option<(&Key, &Bytes)> {
    match effect {
        Effect::Do { key, command: Command::Line(Line::Put { text, most: None }) } => Some((key, text)),
        _ => None,
    }
}

impl<'a> Program<'a> {
    /// Adds the first of these effects when it is about a line; how many of them were added: texts that are put into the same
    /// line one behind the other are one step.
    pub(super) fn line(&mut self, effects: &'a [Effect]) -> usize {
        let Some(Effect::Do { key, command: Command::Line(line) }) = effects.first() else { return 0 };
        let puts = effects.iter().map_while(put).take_while(|(other, _)| *other == key).map(|(_, text)| text);
        let texts: Vec<_> = puts.take(PUTS).map(|text| Operand::Lent(text)).collect();
        if texts.len() > 1 {
            let count = texts.len();
            self.program_of(key, "puts", texts);
            return count;
        }
        let (name, operands) = line_command(line);
        self.program_of(key, name, operands);
        1
    }

    fn program_of(&mut self, key: &'a Key, name: &'static str, operands: Vec<Operand<'a>>) {
        let beside = LINE_COMPANIONS.map(|companion| Named::Beside(key, companion));
        self.args.extend([lend("L"), number(operands.len() as u64), lend(name)]);
        for key in [Named::Key(key)].into_iter().chain(beside) {
            let index = self.named(key);
            self.args.push(index);
        }
        self.args.extend(operands);
    }
}
