//! Which breaker.

/// A breaker's name, and where several have one name: of what (`boundary`), for whom (`context`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BreakerId {
    pub name: String,
    pub boundary: Option<String>,
    pub context: Option<String>,
}

impl BreakerId {
    /// One text for all of it. No two ids have the same one.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = escaped(&self.name);
        for (mark, part) in [('b', &self.boundary), ('c', &self.context)] {
            if let Some(part) = part {
                text.push('/');
                text.push(mark);
                text.push_str(&escaped(part));
            }
        }
        text
    }

    /// Reads what [`BreakerId::text`] writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let mut id = Self { name: plain(parts.next()?)?, ..Self::default() };
        for part in parts {
            let place = match part.chars().next()? {
                'b' => &mut id.boundary,
                'c' => &mut id.context,
                _ => return None,
            };
            *place = Some(plain(part.get(1..)?)?);
        }
        (id.text() == text).then_some(id)
    }
}

fn escaped(text: &str) -> String {
    text.replace('~', "~0").replace('/', "~1")
}

fn plain(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        plain.push(match char {
            '~' => match chars.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            char => char,
        });
    }
    Some(plain)
}
