//! RESP 2, the protocol of Redis: requests as arrays of bulk strings, replies of five kinds.
//! <https://redis.io/docs/latest/develop/reference/protocol-spec/>

use std::fmt::Display;
use std::io::Write as _;

use smol_str::SmolStr;

use crate::txn::Few;

/// The replies of a call: nearly always one.
pub type Values = Few<Value>;

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Nil,
    Int(i64),
    Status(SmolStr),
    /// A bulk string that is UTF-8, as nearly all are: its bytes are copied once, to where they stay.
    Text(SmolStr),
    /// One that is not.
    Bytes(Vec<u8>),
    Error(String),
    Array(Vec<Value>),
}

impl Value {
    /// A bulk string.
    #[must_use]
    pub fn bulk(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(SmolStr::new(text)),
            Err(_) => Self::Bytes(bytes.to_vec()),
        }
    }

    /// A bulk string's bytes.
    pub(super) fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text) => Some(text.as_bytes()),
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text of a bulk string that is one.
    pub(super) fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

/// Room for a part's length and line ends.
const ROOM_FOR_ENDS: usize = 26;

/// Replies nest one level for a list, two for `EXEC`, three for stream entries in it; more is not ours.
const MAX_DEPTH: u8 = 8;

/// Requests, ready to be sent.
#[derive(Debug, Default, Clone)]
pub struct Requests {
    pub bytes: Vec<u8>,
    /// How many replies they bring.
    pub replies: usize,
    /// Room for a part that is made up before its length is known.
    room: String,
}

impl Requests {
    /// Without any; the room stays.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.replies = 0;
    }

    /// Begins a request of `parts` parts: the command and its arguments, to be added next.
    pub fn begin(&mut self, parts: usize) -> &mut Self {
        self.replies += 1;
        self.line(b'*', parts);
        self
    }

    /// Adds a part.
    pub fn part(&mut self, part: impl AsRef<[u8]>) -> &mut Self {
        let part = part.as_ref();
        self.bytes.reserve(part.len() + ROOM_FOR_ENDS);
        self.line(b'$', part.len());
        self.bytes.extend_from_slice(part);
        self.bytes.extend_from_slice(b"\r\n");
        self
    }

    /// Adds a part that `write` makes up.
    pub fn made(&mut self, write: impl FnOnce(&mut String)) -> &mut Self {
        let mut text = std::mem::take(&mut self.room);
        text.clear();
        write(&mut text);
        self.part(&text);
        self.room = text;
        self
    }

    /// Adds a part that is several texts, one behind the other.
    pub fn joined(&mut self, parts: &[&str]) -> &mut Self {
        self.line(b'$', parts.iter().map(|part| part.len()).sum());
        for part in parts {
            self.bytes.extend_from_slice(part.as_bytes());
        }
        self.bytes.extend_from_slice(b"\r\n");
        self
    }

    /// Adds a whole number as a part.
    pub fn whole(&mut self, number: u64) -> &mut Self {
        self.part(itoa::Buffer::new().format(number))
    }

    /// Adds a number as a part.
    pub fn number(&mut self, number: impl Display) -> &mut Self {
        let mut digits = [0u8; 40];
        let mut rest = digits.as_mut_slice();
        // Forty bytes hold every number that is put here; a longer one would be cut and refused by the server.
        let _ = write!(rest, "{number}");
        let len = 40 - rest.len();
        self.part(digits.get(..len).unwrap_or_default())
    }

    /// A whole request.
    pub fn request(&mut self, parts: &[&[u8]]) -> &mut Self {
        self.begin(parts.len());
        for part in parts {
            self.part(part);
        }
        self
    }

    /// A length. Every part has one, so it is written by hand: formatting took a tenth of an encoding.
    fn line(&mut self, mark: u8, number: usize) {
        if number < 10 {
            self.bytes.extend_from_slice(&[mark, b'0' + number as u8, b'\r', b'\n']);
            return;
        }
        if number < 100 {
            let (tens, ones) = (b'0' + (number / 10) as u8, b'0' + (number % 10) as u8);
            self.bytes.extend_from_slice(&[mark, tens, ones, b'\r', b'\n']);
            return;
        }
        self.bytes.push(mark);
        self.bytes.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }
}

/// The bytes are not RESP: the connection is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotResp;

/// Reads one reply from the beginning of `bytes`, and how many bytes it took; `None` while it is not whole.
pub fn read(bytes: &[u8]) -> Result<Option<(Value, usize)>, NotResp> {
    // A list in so many bytes is looked through before anything is built, so that one that comes in many pieces is not
    // built many times.
    if bytes.len() > FEW_PIECES && bytes.first() == Some(&b'*') && whole(bytes, 0)?.is_none() {
        return Ok(None);
    }
    let mut rest = bytes;
    Ok(build(&mut rest, 0)?.map(|value| (value, bytes.len() - rest.len())))
}

/// Bytes that come in a few pieces: a face reads 64 KB at a time.
const FEW_PIECES: usize = 256 * 1_024;

/// What a server says to each command of a `MULTI` that it takes.
pub const QUEUED: &[u8] = b"+QUEUED\r\n";

/// How a list of two begins.
const TWO: &[u8] = b"*2\r\n";

/// Two texts, each of which may be absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair<'a>(pub Option<&'a [u8]>, pub Option<&'a [u8]>);

/// Reads a list of two texts, and how many bytes it took; `None` while it is not whole, and for anything else, of which
/// [`read`] knows more.
pub fn pair(bytes: &[u8]) -> Option<(Pair<'_>, usize)> {
    let mut rest = bytes.strip_prefix(TWO)?;
    let mut bulk = || {
        let (head, len) = line(rest).filter(|_| rest.first() == Some(&b'$'))?;
        let behind = rest.get(len..)?;
        let Some(size) = size(head).ok()? else {
            rest = behind;
            return Some(None);
        };
        let text = behind.get(..size)?;
        rest = behind.get(size.checked_add(2)?..)?;
        Some(Some(text))
    };
    let pair = Pair(bulk()?, bulk()?);
    Some((pair, bytes.len() - rest.len()))
}

/// The first line without its mark, and what it takes with its end.
fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = bytes.iter().position(|byte| *byte == b'\r').filter(|end| bytes.get(end + 1) == Some(&b'\n'));
    // A carriage return inside of a line: rare enough to be looked for slowly.
    let end = end.or_else(|| bytes.windows(2).position(|pair| pair == b"\r\n"))?;
    Some((bytes.get(1..end)?, end + 2))
}

fn number(line: &[u8]) -> Result<i64, NotResp> {
    std::str::from_utf8(line).ok().and_then(|text| text.parse().ok()).ok_or(NotResp)
}

/// A length, which may also say that there is nothing.
fn size(line: &[u8]) -> Result<Option<usize>, NotResp> {
    number(line).map(|size| usize::try_from(size).ok())
}

/// The length of the reply at the beginning of `bytes`, if it is all there.
fn whole(bytes: &[u8], depth: u8) -> Result<Option<usize>, NotResp> {
    let Some(mark) = bytes.first() else { return Ok(None) };
    if depth > MAX_DEPTH || !b"+-:$*".contains(mark) {
        return Err(NotResp);
    }
    let Some((head, mut len)) = line(bytes) else { return Ok(None) };
    match mark {
        b'$' => {
            len = len.saturating_add(size(head)?.map_or(0, |size| size.saturating_add(2)));
            Ok((bytes.len() >= len).then_some(len))
        }
        b'*' => {
            for _ in 0..size(head)?.unwrap_or(0) {
                let Some(item) = whole(bytes.get(len..).unwrap_or_default(), depth + 1)? else {
                    return Ok(None);
                };
                len += item;
            }
            Ok(Some(len))
        }
        _ => Ok(Some(len)),
    }
}

/// Builds the reply at the beginning of `rest`, and moves on behind it; `None` while it is not whole.
fn build(rest: &mut &[u8], depth: u8) -> Result<Option<Value>, NotResp> {
    let Some(mark) = rest.first() else { return Ok(None) };
    if depth > MAX_DEPTH || !b"+-:$*".contains(mark) {
        return Err(NotResp);
    }
    let Some((head, len)) = line(rest) else { return Ok(None) };
    let behind = rest.get(len..).unwrap_or_default();
    let value = match mark {
        b'+' => Value::Status(SmolStr::new(std::str::from_utf8(head).unwrap_or_default())),
        b'-' => Value::Error(String::from_utf8_lossy(head).into_owned()),
        b':' => Value::Int(number(head)?),
        b'$' => {
            let Some(size) = size(head)? else {
                *rest = behind;
                return Ok(Some(Value::Nil));
            };
            let (Some(bulk), Some(behind)) = (behind.get(..size), behind.get(size.saturating_add(2)..))
            else {
                return Ok(None);
            };
            *rest = behind;
            return Ok(Some(Value::bulk(bulk)));
        }
        _ => {
            *rest = behind;
            let Some(size) = size(head)? else { return Ok(Some(Value::Nil)) };
            let mut items = Vec::with_capacity(size.min(MOST_ROOM));
            for _ in 0..size {
                let Some(item) = build(rest, depth + 1)? else { return Ok(None) };
                items.push(item);
            }
            return Ok(Some(Value::Array(items)));
        }
    };
    *rest = behind;
    Ok(Some(value))
}

/// Items of a list that room is made for at once.
const MOST_ROOM: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::{FEW_PIECES, NotResp, Requests, Value, read};

    #[test]
    fn a_reply_is_read_only_when_it_is_whole() {
        let bytes = b"*4\r\n$5\r\nab\r\nc\r\n:-7\r\n*1\r\n$-1\r\n+OK\r\nrest";
        let whole = bytes.len() - 4;
        for cut in 0..whole {
            assert_eq!(read(&bytes[..cut]), Ok(None), "cut at {cut}");
        }
        let value = Value::Array(vec![
            Value::bulk(b"ab\r\nc"),
            Value::Int(-7),
            Value::Array(vec![Value::Nil]),
            Value::Status("OK".into()),
        ]);
        assert_eq!(read(bytes), Ok(Some((value, whole))));
        assert_eq!(read(b"*-1\r\n"), Ok(Some((Value::Nil, 5))));
        assert_eq!(read(b"-ERR x\r\n"), Ok(Some((Value::Error("ERR x".into()), 8))));
    }

    #[test]
    fn a_list_in_many_pieces_is_read_when_it_is_whole() {
        let items = FEW_PIECES / 8;
        let bytes = [format!("*{items}\r\n").into_bytes(), b"$3\r\nabc\r\n".repeat(items)].concat();
        for cut in [bytes.len() - 1, FEW_PIECES + 1, FEW_PIECES, FEW_PIECES - 1, 7] {
            assert_eq!(read(&bytes[..cut]), Ok(None), "cut at {cut}");
        }
        let value = Value::Array(vec![Value::bulk(b"abc"); items]);
        assert_eq!(read(&bytes), Ok(Some((value, bytes.len()))));
    }

    #[test]
    fn what_is_not_resp_is_refused() {
        for bytes in [&b"HTTP/1.1 400\r\n"[..], b"$x\r\n", b":1.5\r\n", b"*1\r\n!\r\n"] {
            assert_eq!(read(bytes), Err(NotResp));
        }
        for depth in [100, FEW_PIECES] {
            assert_eq!(read(&b"*1\r\n".repeat(depth)), Err(NotResp));
        }
    }

    #[test]
    fn requests_are_arrays_of_bulk_strings() {
        let mut requests = Requests::default();
        requests.request(&[b"GET", b"a\r\nb"]).begin(2).part("INCR").number(u64::MAX);
        let expected =
            "*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n*2\r\n$4\r\nINCR\r\n$20\r\n18446744073709551615\r\n";
        assert_eq!((String::from_utf8_lossy(&requests.bytes).as_ref(), requests.replies), (expected, 2));
    }
}
