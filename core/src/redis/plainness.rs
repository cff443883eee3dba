//! Which effects need no script.

use super::commands::plain_command;
use crate::key::Key;
use crate::txn::Effect;

/// Whether an effect can be told by commands alone; the others need a look first, which only the script takes.
pub(super) fn is_plain(effects: &[Effect], place: usize) -> bool {
    let (before, from) = effects.split_at_checked(place).unwrap_or_default();
    match from.first() {
        Some(Effect::Slide { .. } | Effect::Hold { .. } | Effect::Move { .. } | Effect::Trim { .. }) => false,
        Some(Effect::Append { key, keep, .. }) => {
            let opened =
                before.iter().any(|other| matches!(other, Effect::Open { key: opened, .. } if opened == key));
            opened && appended(key, before) < *keep
        }
        // Its reply is wanted, and only commands alone are told apart in what EXEC gives back.
        Some(Effect::Do { command, .. }) => {
            let alone = effects.iter().all(|effect| matches!(effect, Effect::Do { .. }));
            alone && plain_command(command).is_some()
        }
        _ => true,
    }
}

/// How many entries these effects append to a log.
pub(super) fn appended(log: &Key, effects: &[Effect]) -> u64 {
    effects.iter().filter(|effect| matches!(effect, Effect::Append { key, .. } if key == log)).count() as u64
}
