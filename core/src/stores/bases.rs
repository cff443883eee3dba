//! Stored texts that were seen, kept for the next update: it then merges without reading first.
//!
//! A text here may be old, or written but not yet acknowledged. That is harmless: the check on its stamp,
//! which no two writes share, refuses a merge on anything but what is stored.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::id::Tree;

/// Bytes of texts that are kept.
const CAPACITY_BYTES: u64 = 16 << 20;
/// Entries that the cache is laid out for: a typical text has half a KiB.
const TYPICAL_ENTRIES: usize = 32_768;

type Place = (Tree, Box<str>);

#[derive(Clone)]
struct ByBytes;

impl Weighter<Place, Arc<str>> for ByBytes {
    fn weight(&self, place: &Place, text: &Arc<str>) -> u64 {
        (text.len() + place.1.len() + 96) as u64
    }
}

/// A bounded cache of stored texts.
pub(super) struct Bases(Cache<Place, Arc<str>, ByBytes>);

impl Bases {
    pub fn new() -> Self {
        Self(Cache::with_weighter(TYPICAL_ENTRIES, CAPACITY_BYTES, ByBytes))
    }

    pub fn get(&self, tree: Tree, field: &str) -> Option<Arc<str>> {
        self.0.get(&(tree, field.into()))
    }

    pub fn put(&self, tree: Tree, field: &str, text: &str) {
        self.0.insert((tree, field.into()), text.into());
    }

    pub fn forget(&self, tree: Tree, field: &str) {
        self.0.remove(&(tree, field.into()));
    }
}
