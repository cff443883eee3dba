//! A cursor over JSON text: one value at a time, without a tree and without recursion.
//!
//! It reads two forms. Plain: JSON as `JSON.stringify` writes it. Tagged: what the face writes when a
//! value holds anything that JSON can't; there every array starts with a word that says what it is, so
//! that no caller's value can be taken for a tag:
//!
//! | text | stands for |
//! | --- | --- |
//! | `["[", a, b]` | the array of `a` and `b` |
//! | `["{", name, symbols, {...}]` | an object with symbol keys (`symbols` is 1), or one that shows as `name` |
//! | `["undefined"]` | `undefined` |
//! | `["number", "NaN"]` | a number that JSON can't write |
//! | `["date", ms, name]` | a `Date`, `null` for an invalid one |
//! | `["cycle", name]` | an object inside itself |
//! | `["deep", name]` | nested deeper than anything may be |
//! | `["big", name]` | more than the face is ready to write down |
//! | `["other", name]` | whatever else: a function, a `Map`, an instance of a class, ... |

/// The text is not JSON, or not tagged as promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// A value; of an array or object only its opening, the cursor then stands on its first part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node<'a> {
    Null,
    Bool,
    Number(&'a str),
    Text(Text<'a>),
    Array,
    Object(Wrap<'a>),
    Foreign(Foreign<'a>),
}

/// How an object was written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wrap<'a> {
    /// Whether a tag stands around it.
    pub tagged: bool,
    /// Whether it has symbol keys.
    pub symbols: bool,
    /// What it shows as in a message.
    pub name: Text<'a>,
}

/// What JSON has no word for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Foreign<'a> {
    Undefined,
    Number(Text<'a>),
    Date { ms: Option<i64>, name: Text<'a> },
    Cycle(Text<'a>),
    Deep(Text<'a>),
    Big(Text<'a>),
    Other(Text<'a>),
}

/// A string, as it stands between its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Text<'a> {
    pub raw: &'a str,
    pub escaped: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    pub at: usize,
    pub tagged: bool,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str, tagged: bool) -> Self {
        Self { text, at: 0, tagged }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is no space.
    pub(super) fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.byte() {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Steps over `mark` if it is next.
    pub(super) fn eat(&mut self, mark: u8) -> bool {
        let found = self.peek() == Some(mark);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, mark: u8) -> Result<(), Malformed> {
        self.eat(mark).then_some(()).ok_or(Malformed)
    }

    pub(super) fn slice(&self, from: usize) -> &'a str {
        self.text.get(from..self.at).unwrap_or_default()
    }

    pub(super) fn ended(&mut self) -> bool {
        self.peek().is_none()
    }

    /// Reads a scalar whole, or opens an array or object.
    pub(super) fn node(&mut self) -> Result<Node<'a>, Malformed> {
        match self.peek().ok_or(Malformed)? {
            b'"' => self.string().map(Node::Text),
            b'{' => {
                self.at += 1;
                Ok(Node::Object(Wrap { tagged: false, symbols: false, name: PLAIN_OBJECT }))
            }
            b'[' => {
                self.at += 1;
                if self.tagged { self.tag() } else { Ok(Node::Array) }
            }
            b'n' => self.word("null", Node::Null),
            b't' => self.word("true", Node::Bool),
            b'f' => self.word("false", Node::Bool),
            b'-' | b'0'..=b'9' => self.number().map(Node::Number),
            _ => Err(Malformed),
        }
    }

    /// Reads the key of an object's next field, and the colon.
    pub(super) fn key(&mut self) -> Result<Text<'a>, Malformed> {
        if self.peek() != Some(b'"') {
            return Err(Malformed);
        }
        let key = self.string()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// Closes an object that [`Node::Object`] opened.
    pub(super) fn close(&mut self, wrap: Wrap<'_>) -> Result<(), Malformed> {
        self.expect(b'}')?;
        if wrap.tagged { self.expect(b']') } else { Ok(()) }
    }

    /// Steps over a whole value.
    pub(super) fn skip(&mut self) -> Result<(), Malformed> {
        match self.node()? {
            Node::Array => self.skip_open(1),
            Node::Object(wrap) => self.skip_open(1 + usize::from(wrap.tagged)),
            _ => Ok(()),
        }
    }

    /// Steps out of `levels` brackets that are open.
    pub(super) fn skip_open(&mut self, mut levels: usize) -> Result<(), Malformed> {
        while levels > 0 {
            match self.peek().ok_or(Malformed)? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'[' | b'{' => levels += 1,
                b']' | b'}' => levels -= 1,
                _ => {}
            }
            self.at += 1;
        }
        Ok(())
    }

    fn word(&mut self, word: &str, node: Node<'a>) -> Result<Node<'a>, Malformed> {
        let end = self.at + word.len();
        if self.text.get(self.at..end) != Some(word) {
            return Err(Malformed);
        }
        self.at = end;
        Ok(node)
    }

    fn number(&mut self) -> Result<&'a str, Malformed> {
        let start = self.at;
        while matches!(self.byte(), Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')) {
            self.at += 1;
        }
        if self.at > start { Ok(self.slice(start)) } else { Err(Malformed) }
    }

    fn string(&mut self) -> Result<Text<'a>, Malformed> {
        let start = self.at + 1;
        let bytes = self.text.as_bytes();
        let (mut at, mut escaped) = (start, false);
        loop {
            at += plain_run(bytes.get(at..).ok_or(Malformed)?);
            match bytes.get(at).ok_or(Malformed)? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    at += 2;
                }
                0..0x20 => return Err(Malformed),
                _ => at += 1,
            }
        }
        self.at = at + 1;
        Ok(Text { raw: self.text.get(start..at).ok_or(Malformed)?, escaped })
    }

    /// What stands after the bracket that opens a tag.
    fn tag(&mut self) -> Result<Node<'a>, Malformed> {
        let word = self.tag_text()?.raw;
        if word == "[" {
            // The comma, if a first item follows: the array then goes on as any other.
            if self.peek() != Some(b']') {
                self.expect(b',')?;
            }
            return Ok(Node::Array);
        }
        if word == "{" {
            let name = self.tag_part()?;
            self.expect(b',')?;
            let Node::Number(symbols) = self.node()? else { return Err(Malformed) };
            self.expect(b',')?;
            self.expect(b'{')?;
            return Ok(Node::Object(Wrap { tagged: true, symbols: symbols != "0", name }));
        }
        let foreign = match word {
            "undefined" => Foreign::Undefined,
            "number" => Foreign::Number(self.tag_part()?),
            "date" => {
                self.expect(b',')?;
                let ms = match self.node()? {
                    Node::Number(ms) => Some(ms.parse().map_err(|_| Malformed)?),
                    Node::Null => None,
                    _ => return Err(Malformed),
                };
                Foreign::Date { ms, name: self.tag_part()? }
            }
            "cycle" => Foreign::Cycle(self.tag_part()?),
            "deep" => Foreign::Deep(self.tag_part()?),
            "big" => Foreign::Big(self.tag_part()?),
            "other" => Foreign::Other(self.tag_part()?),
            _ => return Err(Malformed),
        };
        self.expect(b']')?;
        Ok(Node::Foreign(foreign))
    }

    fn tag_part(&mut self) -> Result<Text<'a>, Malformed> {
        self.expect(b',')?;
        self.tag_text()
    }

    fn tag_text(&mut self) -> Result<Text<'a>, Malformed> {
        if self.peek() == Some(b'"') { self.string() } else { Err(Malformed) }
    }
}

/// How many whole words of eight bytes go by before one that holds a quote, a backslash or a control
/// character, and how many bytes of that one. The tests on a word are Alan Mycroft's: of the bytes that
/// they mark, the lowest is right.
fn plain_run(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    let below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word & HIGHS;
    let mut run = 0;
    while let Some(chunk) = bytes.get(run..).and_then(<[u8]>::first_chunk) {
        let word = u64::from_le_bytes(*chunk);
        let quote = below(word ^ (ONES * u64::from(b'"')), 1);
        let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
        let marked = quote | backslash | below(word, 0x20);
        if marked != 0 {
            return run + (marked.trailing_zeros() / 8) as usize;
        }
        run += 8;
    }
    run
}

const PLAIN_OBJECT: Text<'static> = Text { raw: "object", escaped: false };

impl Text<'_> {
    /// Whether every surrogate has its other half.
    pub(super) fn well_formed(self) -> bool {
        !self.escaped || self.units().all(|unit| unit.is_ok())
    }

    /// How many code points; half a surrogate pair counts as one.
    pub(super) fn code_points(self) -> usize {
        if self.escaped { self.units().count() } else { self.raw.chars().count() }
    }

    /// The string itself; what is no code point becomes U+FFFD.
    pub(super) fn decoded(self) -> String {
        if !self.escaped {
            return self.raw.to_owned();
        }
        self.units().map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    }

    /// Whether it is the string `plain`, which has nothing to escape.
    pub(super) fn is(self, plain: &str) -> bool {
        if self.escaped { self.units().eq(plain.chars().map(Ok)) } else { self.raw == plain }
    }

    /// The code points; an error for half a pair, or an escape that JSON does not know.
    fn units(&self) -> impl Iterator<Item = Result<char, ()>> + '_ {
        let mut rest = self.raw.chars();
        std::iter::from_fn(move || {
            let first = rest.next()?;
            if first != '\\' {
                return Some(Ok(first));
            }
            Some(match rest.next()? {
                'u' => {
                    let unit = hex(&mut rest);
                    surrogate_pair(unit, &mut rest)
                }
                'b' => Ok('\u{8}'),
                'f' => Ok('\u{c}'),
                'n' => Ok('\n'),
                'r' => Ok('\r'),
                't' => Ok('\t'),
                same @ ('"' | '\\' | '/') => Ok(same),
                _ => Err(()),
            })
        })
    }
}

fn hex(rest: &mut std::str::Chars<'_>) -> Option<u32> {
    (0..4).try_fold(0, |sum, _| Some(sum * 16 + rest.next()?.to_digit(16)?))
}

/// The code point of one `\u` escape, or of two that are a pair.
fn surrogate_pair(unit: Option<u32>, rest: &mut std::str::Chars<'_>) -> Result<char, ()> {
    let unit = unit.ok_or(())?;
    if !(0xd800..0xdc00).contains(&unit) {
        return char::from_u32(unit).ok_or(());
    }
    let mut ahead = rest.clone();
    if ahead.next() != Some('\\') || ahead.next() != Some('u') {
        return Err(());
    }
    let low = hex(&mut ahead).filter(|low| (0xdc00..0xe000).contains(low)).ok_or(())?;
    *rest = ahead;
    char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00)).ok_or(())
}
