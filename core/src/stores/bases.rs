//! Stored texts that were seen or are being written, kept for the next write: it then plans without
//! reading first.
//!
//! A text here may be old, or on its way and not yet acknowledged. That is harmless: the check on its
//! stamp, which no two writes share, refuses a write that stands on anything but what is stored. Texts on
//! their way belong to the epoch of their tree. When a write is refused, those that were planned on top of
//! it will be as well: so the epoch ends, and with it all that was on its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::generations::Generations;
use crate::clock::Timestamp;
use crate::id::Tree;
use crate::key::{Key, Name};
use crate::near::{Known, Near};
use crate::txn::Until;

use super::tree::tree_of;

/// Bytes of texts that are kept.
const CAPACITY_BYTES: usize = 16 << 20;
/// Trees whose epoch is kept.
const EPOCHS: usize = 32_768;
/// What an entry takes beside its text and its field's name.
const ENTRY_BYTES: usize = 96;

type Place = (Tree, Name);
/// A field's text; `None` is a field known to be absent.
pub(super) type Text = Option<Arc<str>>;

#[derive(Clone)]
struct Base {
    text: Text,
    /// The epoch of a text on its way.
    on_its_way: Option<u64>,
    /// When it was seen, or earlier.
    at: u64,
    /// When its tree goes, where that was seen with it.
    until: Option<Until>,
}

impl Base {
    /// Bytes that it takes with its field's name.
    fn weight(&self, field: &Name) -> usize {
        self.text.as_ref().map_or(0, |text| text.len()) + field.len() + ENTRY_BYTES
    }
}

/// A bounded cache of stored texts.
pub(super) struct Bases {
    texts: Generations<Place, Base>,
    epochs: Generations<Tree, u64>,
    /// About now: when the latest call began.
    now: AtomicU64,
}

impl Bases {
    pub fn new() -> Self {
        let (texts, epochs) = (Generations::new(CAPACITY_BYTES), Generations::new(EPOCHS));
        Self { texts, epochs, now: AtomicU64::new(0) }
    }

    /// A call begins now.
    pub fn begin(&self, now: Timestamp) {
        self.now.store(now.0, Ordering::Relaxed);
    }

    fn base(&self, text: Text, on_its_way: Option<u64>, until: Option<Until>) -> Base {
        Base { text, on_its_way, at: self.now.load(Ordering::Relaxed), until }
    }

    /// The present epoch of a tree.
    pub fn epoch(&self, tree: Tree) -> u64 {
        self.epochs.get(&tree).unwrap_or_default()
    }

    /// Ends an epoch, if it is still the present one: true if so.
    pub fn end(&self, tree: Tree, epoch: u64) -> bool {
        let present = self.epoch(tree) == epoch;
        if present {
            self.epochs.insert(tree, epoch + 1, 1);
        }
        present
    }

    /// What is known of a field.
    pub fn get(&self, tree: Tree, field: &Name) -> Option<Text> {
        let base = self.texts.get(&(tree, field.clone()))?;
        let alive = base.on_its_way.is_none_or(|epoch| epoch == self.epoch(tree));
        alive.then_some(base.text)
    }

    /// Keeps what was read, unless something newer is on its way. Whether just this was known already.
    pub fn seen(&self, tree: Tree, field: &Name, text: Text, until: Option<Until>) -> bool {
        let base = self.base(text, None, until);
        self.texts.change((tree, field.clone()), |known| {
            let again = known.is_some_and(|known| known.text == base.text);
            let is_newer = |known: &Base| known.on_its_way.is_some_and(|epoch| epoch == self.epoch(tree));
            let next = (!known.is_some_and(is_newer)).then(|| {
                let weight = base.weight(field);
                (base, weight)
            });
            (again, next)
        })
    }

    /// Keeps a field of a tree that was just made: nothing else can be known of it.
    pub fn made(&self, tree: Tree, field: &Name, text: Text, until: Option<Until>) {
        self.keep((tree, field.clone()), self.base(text, None, until));
    }

    fn keep(&self, place: Place, base: Base) {
        let weight = base.weight(&place.1);
        self.texts.insert(place, base, weight);
    }

    /// Keeps what is being written in this epoch.
    pub fn writing(&self, tree: Tree, field: &Name, text: Text) {
        let base = self.base(text, Some(self.epoch(tree)), None);
        self.keep((tree, field.clone()), base);
    }

    /// The write of this text was acknowledged.
    pub fn written(&self, tree: Tree, field: &Name, text: Option<&str>, until: Until) {
        let place = (tree, field.clone());
        if self.texts.get(&place).is_some_and(|base| base.text.as_deref() == text) {
            self.keep(place, self.base(text.map(Arc::from), None, Some(until)));
        }
    }
}

impl Near for Bases {
    fn known(&self, key: &Key, field: &Name) -> Option<Known> {
        // What is on its way may never arrive.
        let base =
            self.texts.get(&(tree_of(key)?, field.clone())).filter(|base| base.on_its_way.is_none())?;
        Some(Known { text: base.text, until: base.until, as_of: Timestamp(base.at) })
    }

    /// Ends the tree's epoch: what was on its way is gone with it. What was seen is looked at anew by whoever stands on it.
    fn forget(&self, key: &Key) {
        let Some(tree) = tree_of(key) else { return };
        self.end(tree, self.epoch(tree));
        self.texts.retain(|(of, _)| *of != tree);
    }
}

#[cfg(test)]
mod tests {
    use super::{Bases, Until};
    use crate::clock::Timestamp;
    use crate::id::{Ids, RandomIds};
    use crate::key::Partition;

    #[test]
    fn what_was_on_its_way_ends_with_its_epoch() {
        let (bases, tree) =
            (Bases::new(), RandomIds::default().tree(Timestamp(1), Partition::from_number(1)));
        let text = |field: &str| bases.get(tree, &field.into()).map(|text| text.map(|text| text.to_string()));
        bases.seen(tree, &"a".into(), Some("1".into()), None);
        bases.seen(tree, &"b".into(), None, None);
        assert_eq!((text("a"), text("b"), text("c")), (Some(Some("1".into())), Some(None), None));
        bases.writing(tree, &"a".into(), Some("2".into()));
        bases.seen(tree, &"a".into(), Some("1".into()), None);
        assert_eq!(text("a"), Some(Some("2".into())), "what is on its way is newer than what was read");
        bases.writing(tree, &"b".into(), Some("3".into()));
        bases.written(tree, &"b".into(), Some("3"), Until::Never);
        assert!(bases.end(tree, 0) && !bases.end(tree, 0));
        assert_eq!((text("a"), text("b")), (None, Some(Some("3".into()))));
        bases.seen(tree, &"a".into(), Some("4".into()), None);
        assert_eq!(text("a"), Some(Some("4".into())));
    }
}
