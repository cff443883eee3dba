//! Fields that an update may carry only as they are.

use crate::error::{Error, Result};
use crate::schema::{Issue, PathItem};

use super::invalid;

/// Gathers the fields of an update that would change what can't be changed.
#[derive(Default)]
pub(super) struct Unchanged(Vec<Issue>);

impl Unchanged {
    /// A field that is given must be as it is.
    pub fn field<T: PartialEq>(mut self, name: &'static str, given: Option<&T>, current: &T) -> Self {
        if given.is_some_and(|given| given != current) {
            self.0.push(Issue::custom(&[PathItem::from(name)], format!("{name} can't be changed")));
        }
        self
    }

    /// The same where it takes something to know what it is.
    pub fn derived<T: PartialEq>(
        self,
        name: &'static str,
        given: Option<&T>,
        current: impl FnOnce() -> T,
    ) -> Self {
        if given.is_none() { self } else { self.field(name, given, &current()) }
    }

    /// The same for a field that may be absent from the record.
    pub fn optional<T: PartialEq>(self, name: &'static str, given: Option<&T>, current: Option<&T>) -> Self {
        match (given, current) {
            (None, _) => self,
            (given, current) => self.field(name, Some(&given), &current),
        }
    }

    pub fn check(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err::<(), Error>(invalid(self.0)) }
    }
}
