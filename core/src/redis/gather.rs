//! The commands that append to feeds.

use super::operand::{Operand, lend, number};
use crate::key::Key;
use crate::txn::Feed;

/// Puts an entry into a feed, and into the second one if there is one.
pub(super) fn gather<'a>(
    feed: &'a Feed,
    origin: &'a str,
    position: u64,
    text: &'a str,
    mut put: impl FnMut(&'static str, &'a Key, &[Operand<'a>]),
) {
    for key in std::iter::once(&feed.key).chain(&feed.also) {
        let entry = [
            lend("MAXLEN"),
            lend("~"),
            number(feed.keep),
            lend("*"),
            lend("o"),
            lend(origin),
            lend("n"),
            number(position),
            lend("e"),
            lend(text),
        ];
        put("XADD", key, &entry);
        put("PEXPIREAT", key, &[number(feed.until.0)]);
    }
}
