//! Reads of one record as nearly all of them are: it is there, and it proves itself. Such a read is a glance, answered where the
//! reply lies. All others are asked for once more as [`Stores::get_session`] and its like do, which is harmless and rare.

use std::sync::Arc;
use std::task::Waker;

use super::get::tag_of;
use super::record::{Head, Record};
use super::told::{Seen, Tag, UNCHANGED, push_tagged};
use super::tree::{SESSION, chain_field, step_field, tree_key};
use super::{Call, Stores};
use crate::backend::{Glance, Sight};
use crate::clock::Timestamp;
use crate::id::Id;
use crate::key::Name;
use crate::schema::{Chain, Session, Step};
use crate::txn::Until;

/// A read that is under way as a glance.
#[derive(Debug, Clone, Copy)]
pub struct Glancing {
    pub id: Id,
    /// When the caller stops waiting.
    pub deadline: Timestamp,
    ticket: u32,
    known: Option<Tag>,
}

impl Glancing {
    /// The tag of the record that the caller holds.
    #[must_use]
    pub fn known(&self) -> Option<&str> {
        self.known.as_ref().map(Tag::as_str)
    }
}

/// What a glance came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Glimpse {
    /// Nothing yet.
    Waits,
    /// It is to be asked for as usual.
    Missed,
    /// The answer is there.
    Told,
}

/// Where a record lies in its tree.
fn field_of(id: Id) -> Option<Name> {
    match id {
        Id::Session(_) => Some(SESSION.into()),
        Id::Chain(_, chain) => Some(chain_field(chain)),
        Id::Step(_, chain, step) => Some(step_field(chain, step)),
        Id::Event(..) => None,
    }
}

impl Stores {
    /// Begins a read of a record, if that can be a glance now. `waker` is woken when [`Stores::glimpse`] has something to tell.
    pub fn glance(
        &self,
        call: Call,
        id: Id,
        known: Option<&str>,
        (ticket, waker): (u32, &Waker),
    ) -> Option<Glancing> {
        if self.backend.info().immediate {
            return None;
        }
        let (tree, field, deadline) = (id.tree(), field_of(id)?, call.deadline);
        let (partition, key) = (tree.partition(), tree_key(tree));
        let glance = Glance { partition, key: &key, field: &field, deadline, ticket, waker };
        let glancing = Glancing { id, deadline, ticket, known: known.map(Tag::told) };
        self.backend.glance(&glance).then_some(glancing)
    }

    /// What a glance came to; its answer, as a call would give it, is put behind what is in `out`.
    pub fn glimpse(&self, glancing: &Glancing, out: &mut String) -> Glimpse {
        let mut glimpse = Glimpse::Missed;
        self.backend.look(glancing.ticket, &mut |sight| {
            let (until, text) = match sight {
                Sight::Waits => return glimpse = Glimpse::Waits,
                Sight::Field { until, text: Some(text) } => (until, text),
                Sight::Missed | Sight::Field { text: None, .. } => return,
            };
            let told = match glancing.id {
                Id::Session(_) => self.told::<Session>(glancing, text, until, out),
                Id::Chain(..) => self.told::<Chain>(glancing, text, until, out),
                Id::Step(..) | Id::Event(..) => self.told::<Step>(glancing, text, until, out),
            };
            if told.is_some() {
                glimpse = Glimpse::Told;
            }
        });
        glimpse
    }

    /// Nothing for a text that does not prove itself.
    fn told<R: Record>(&self, glancing: &Glancing, text: &str, until: Until, out: &mut String) -> Option<()> {
        let Glancing { id, known, .. } = *glancing;
        let head = Head::read(&id, text).ok()?;
        let tag = tag_of::<R>(&head, until);
        if known.is_some_and(|known| known.same_as(&tag)) {
            out.push_str(UNCHANGED);
            return Some(());
        }
        if !head.is_whole::<R>() {
            return None;
        }
        let aside = head.aside(&id).ok()?;
        let seen = Seen { id, version: head.version, body: head.body, aside: &aside, until };
        let again = self.seen(id.tree(), &field_of(id)?, &Arc::from(text), until);
        push_tagged::<R>(out, &if again { tag.of_more() } else { tag }, &seen);
        Some(())
    }
}
