//! Several fields as one text.

/// Fields of a record as one text: `<name> <bytes>:<text>`, one behind the other.
#[derive(Debug, Clone, Copy)]
pub struct Bundle<'a>(pub &'a str);

impl<'a> Iterator for Bundle<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = self.0.split_once(' ')?;
        let (length, rest) = rest.split_once(':')?;
        let (text, rest) = rest.split_at_checked(length.parse().ok()?)?;
        self.0 = rest;
        Some((name, text))
    }
}

impl Bundle<'_> {
    /// Adds a field to a bundle's text. No name of a field has a blank in it.
    pub fn push(bundle: &mut String, name: &str, text: &str) {
        bundle.push_str(name);
        bundle.push(' ');
        bundle.push_str(&text.len().to_string());
        bundle.push(':');
        bundle.push_str(text);
    }
}
