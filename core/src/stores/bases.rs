//! Stored texts that were seen or are being written, kept for the next write: it then plans without
//! reading first.
//!
//! A text here may be old, or on its way and not yet acknowledged. That is harmless: the check on its
//! stamp, which no two writes share, refuses a write that stands on anything but what is stored. Texts on
//! their way belong to the epoch of their tree. When a write is refused, those that were planned on top of
//! it will be as well: so the epoch ends, and with it all that was on its way.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::id::Tree;
use crate::key::Name;

/// Bytes of texts that are kept.
const CAPACITY_BYTES: u64 = 16 << 20;
/// Entries that the cache is laid out for: a typical text has half a KiB.
const TYPICAL_ENTRIES: usize = 32_768;

type Place = (Tree, Name);
/// A field's text; `None` is a field known to be absent.
pub(super) type Text = Option<Arc<str>>;

#[derive(Clone)]
struct Base {
    text: Text,
    /// The epoch of a text on its way.
    on_its_way: Option<u64>,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Place, Base> for ByBytes {
    fn weight(&self, place: &Place, base: &Base) -> u64 {
        (base.text.as_ref().map_or(0, |text| text.len()) + place.1.len() + 96) as u64
    }
}

/// A bounded cache of stored texts.
pub(super) struct Bases {
    texts: Cache<Place, Base, ByBytes>,
    epochs: Cache<Tree, u64>,
}

impl Bases {
    pub fn new() -> Self {
        Self {
            texts: Cache::with_weighter(TYPICAL_ENTRIES, CAPACITY_BYTES, ByBytes),
            epochs: Cache::new(TYPICAL_ENTRIES),
        }
    }

    /// The present epoch of a tree.
    pub fn epoch(&self, tree: Tree) -> u64 {
        self.epochs.get(&tree).unwrap_or_default()
    }

    /// Ends an epoch, if it is still the present one: true if so.
    pub fn end(&self, tree: Tree, epoch: u64) -> bool {
        let present = self.epoch(tree) == epoch;
        if present {
            self.epochs.insert(tree, epoch + 1);
        }
        present
    }

    /// What is known of a field.
    pub fn get(&self, tree: Tree, field: &Name) -> Option<Text> {
        let base = self.texts.get(&(tree, field.clone()))?;
        let alive = base.on_its_way.is_none_or(|epoch| epoch == self.epoch(tree));
        alive.then_some(base.text)
    }

    /// Keeps what was read, unless something newer is on its way.
    pub fn seen(&self, tree: Tree, field: &Name, text: Text) {
        let place = (tree, field.clone());
        let newer = self.texts.get(&place).is_some_and(|base| base.on_its_way == Some(self.epoch(tree)));
        if !newer {
            self.texts.insert(place, Base { text, on_its_way: None });
        }
    }

    /// Keeps what is being written in this epoch.
    pub fn writing(&self, tree: Tree, field: &Name, text: Text) {
        let on_its_way = Some(self.epoch(tree));
        self.texts.insert((tree, field.clone()), Base { text, on_its_way });
    }

    /// The write of this text was acknowledged.
    pub fn written(&self, tree: Tree, field: &Name, text: Option<&str>) {
        let place = (tree, field.clone());
        if self.texts.get(&place).is_some_and(|base| base.text.as_deref() == text) {
            self.texts.insert(place, Base { text: text.map(Arc::from), on_its_way: None });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Bases;
    use crate::clock::Timestamp;
    use crate::id::{Ids, RandomIds};
    use crate::key::Partition;

    #[test]
    fn what_was_on_its_way_ends_with_its_epoch() {
        let (bases, tree) =
            (Bases::new(), RandomIds::default().tree(Timestamp(1), Partition::from_number(1)));
        let text = |field: &str| bases.get(tree, &field.into()).map(|text| text.map(|text| text.to_string()));
        bases.seen(tree, &"a".into(), Some("1".into()));
        bases.seen(tree, &"b".into(), None);
        assert_eq!((text("a"), text("b"), text("c")), (Some(Some("1".into())), Some(None), None));
        bases.writing(tree, &"a".into(), Some("2".into()));
        bases.seen(tree, &"a".into(), Some("1".into()));
        assert_eq!(text("a"), Some(Some("2".into())), "what is on its way is newer than what was read");
        bases.writing(tree, &"b".into(), Some("3".into()));
        bases.written(tree, &"b".into(), Some("3"));
        assert!(bases.end(tree, 0) && !bases.end(tree, 0));
        assert_eq!((text("a"), text("b")), (None, Some(Some("3".into()))));
        bases.seen(tree, &"a".into(), Some("4".into()));
        assert_eq!(text("a"), Some(Some("4".into())));
    }
}
