//! Tables of a service: JSON values by key, each with a life of its own.

use super::drawer::{Drawer, LISTED, Sheet, joined};
use super::plain::json;
use super::{Call, Stores};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::key::Name;
use crate::schema::Json;
use crate::txn::Until;

/// The spaces of a table's texts, names and ends.
const SPACES: [&str; 3] = ["rt", "rn", "re"];

/// Which table.
#[derive(Debug, Clone, Copy)]
pub struct TableName<'a> {
    pub service: &'a str,
    pub table: &'a str,
}

impl TableName<'_> {
    fn drawer(self) -> Drawer {
        Drawer::new(SPACES, &joined(self.service, self.table))
    }
}

/// A value with its key and its end, as JSON.
#[derive(Debug)]
pub struct TableEntry {
    pub key: String,
    pub value: String,
    pub expires_at: Option<Timestamp>,
}

fn name_of(key: &str) -> Name {
    Name::from(format!("{LISTED}{key}"))
}

impl Stores {
    /// Sets a value. *Round trips*: one, and one more when something was over.
    pub async fn table_set(
        &self,
        call: Call,
        table: TableName<'_>,
        key: &str,
        value: &Json,
        ttl_ms: Option<u64>,
    ) -> Result<()> {
        let until = ttl_ms.map_or(Until::Never, |ms| Until::At(self.clock.now().plus_ms(ms)));
        let sheet = Sheet { name: name_of(key), text: value.text().to_owned(), until, listed: true };
        self.drawer_put(call, &table.drawer(), vec![sheet], None).await.map(|_| ())
    }

    /// A value's JSON. *Round trips*: one.
    ///
    /// # Errors
    /// `STORAGE_CORRUPT` for what is no JSON.
    pub async fn table_get(&self, call: Call, table: TableName<'_>, key: &str) -> Result<Option<String>> {
        let found = self.drawer_get(call, &table.drawer(), vec![name_of(key)]).await?;
        found.into_iter().flatten().next().map(|found| read(key, found.text())).transpose()
    }

    /// Removes a value; false when there was none. *Round trips*: two.
    pub async fn table_delete(&self, call: Call, table: TableName<'_>, key: &str) -> Result<bool> {
        self.drawer_take(call, &table.drawer(), name_of(key)).await
    }

    /// Removes all values. *Round trips*: one.
    pub async fn table_clear(&self, call: Call, table: TableName<'_>) -> Result<()> {
        self.drawer_clear(call, &table.drawer()).await
    }

    /// The values whose keys come behind one, by the bytes of their keys, and whether there may be more.
    /// *Round trips*: two for each 500 of them.
    ///
    /// # Errors
    /// `STORAGE_CORRUPT` for what is no JSON, unless the policy skips it.
    pub async fn table_page(
        &self,
        call: Call,
        table: TableName<'_>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<TableEntry>, bool)> {
        let after = after.map_or_else(|| LISTED.to_string().into(), name_of);
        let (found, more) = self.drawer_page(call, &table.drawer(), &after, limit).await?;
        let mut entries = Vec::with_capacity(found.len());
        for found in found {
            let key = found.name.strip_prefix(LISTED).unwrap_or_default().to_owned();
            let expires_at = match found.until {
                Until::Never => None,
                Until::At(at) => Some(at),
            };
            let value = self.unless_corrupt(read(&key, found.text()))?;
            entries.extend(value.map(|value| TableEntry { key, value, expires_at }));
        }
        Ok((entries, more))
    }
}

fn read(key: &str, text: &str) -> Result<String> {
    json(text.as_bytes()).map(str::to_owned).ok_or_else(|| Error::corrupt(key, "it is no JSON"))
}

#[cfg(test)]
mod tests {
    use super::{joined, name_of};

    #[test]
    fn a_million_adversarial_pairs_share_no_stored_key() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let parts = ["a", "b", "/", "%", ":", "{", "}", "2F", "25", "n", "é"];
        let mut text = || (0..rng.usize(1..4)).map(|_| parts[rng.usize(0..parts.len())]).collect::<String>();
        let mut equal = 0;
        for _ in 0..1_000_000 {
            let (one, other) = ([text(), text(), text()], [text(), text(), text()]);
            let stored = |[service, table, key]: &[String; 3]| (joined(service, table), name_of(key));
            equal += u32::from(one == other);
            assert_eq!(stored(&one) == stored(&other), one == other, "seed {seed}: {one:?} {other:?}");
            // The hard ones: the same characters, cut in other places.
            let all = one.concat();
            let cuts: Vec<usize> = all.char_indices().map(|(at, _)| at).skip(1).collect();
            if let [first, .., last] = cuts.as_slice() {
                let moved = [&all[..*first], &all[*first..*last], &all[*last..]].map(str::to_owned);
                assert_eq!(stored(&one) == stored(&moved), one == moved, "seed {seed}: {one:?} {moved:?}");
            }
        }
        assert!(equal < 1_000_000);
    }

    #[test]
    fn no_two_pairs_make_one_name() {
        let parts = ["a", "b", "a/b", "a%2Fb", "a%", "/", "%", "", "a/", "/b", "%2F", "%252F", "a:b", "{a}"];
        let mut seen = std::collections::HashMap::new();
        for first in parts {
            for second in parts {
                assert_eq!(seen.insert(joined(first, second), (first, second)), None);
            }
        }
    }
}
