//! Which server, as whom: the standalone part of the `REDIS_URL` grammar.

use crate::error::{Code, Error, Result};
use crate::redis::resp::Requests;

/// The port of Redis where none is given.
const DEFAULT_PORT: u16 = 6379;

/// A server and the credentials for it. Its debug text hides them.
#[derive(Clone, PartialEq, Eq)]
pub struct Access {
    pub host: String,
    pub port: u16,
    /// A socket's path, for `unix://`; host and port are then empty.
    pub path: Option<String>,
    user: Option<String>,
    password: Option<String>,
    database: u32,
}

impl Access {
    /// Reads `redis://[user[:password]@]host[:port][/database]`, the same with `valkey://`, or
    /// `unix://[user[:password]@]/path/to/socket[?db=n]`. Credentials are percent-decoded.
    ///
    /// # Errors
    /// `STORAGE_CONFIG`, which never quotes the URL.
    pub fn parse(url: &str) -> Result<Self> {
        let (scheme, rest) =
            url.split_once("://").ok_or_else(|| config("it has no scheme such as redis://"))?;
        let unix = match scheme.to_ascii_lowercase().as_str() {
            "redis" | "valkey" => false,
            "unix" => true,
            "rediss" | "valkeys" => return Err(unsupported("TLS (rediss://, valkeys://)")),
            "redis+sentinel" | "redis-sentinel" => return Err(unsupported("Sentinel")),
            "redis-cluster" => return Err(unsupported("Cluster")),
            _ => return Err(config("its scheme is none of redis, valkey, unix")),
        };
        if rest.contains(',') {
            return Err(unsupported("Cluster (a list of servers)"));
        }
        let (login, place) =
            rest.rsplit_once('@').map_or((None, rest), |(login, place)| (Some(login), place));
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
            None => (None, None),
            Some((user, password)) => (decoded(user)?, decoded(password)?),
        };
        let (place, query) = place.split_once('?').unwrap_or((place, ""));
        let access = Self { host: String::new(), port: 0, path: None, user, password, database: 0 };
        if unix {
            let database = query.strip_prefix("db=").map_or(Ok(0), number)?;
            let path = decoded(place)?.ok_or_else(|| config("it names no socket"))?;
            return Ok(Self { path: Some(path), database, ..access });
        }
        let (address, database) = place.split_once('/').unwrap_or((place, ""));
        let database = if database.is_empty() { 0 } else { number(database)? };
        let (host, port) = host_and_port(address)?;
        Ok(Self { host, port, database, ..access })
    }

    /// The server's name for people: no credentials.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.path {
            Some(path) => format!("unix://{path}"),
            None => format!("{}:{}", self.host, self.port),
        }
    }

    /// What is said first on a connection.
    pub(super) fn greeting(&self, script: &str) -> Requests {
        let mut requests = Requests::default();
        if let Some(password) = &self.password {
            let login = self.user.iter().chain([password]).map(String::as_bytes);
            requests.request(&std::iter::once(&b"AUTH"[..]).chain(login).collect::<Vec<_>>());
        }
        if self.database > 0 {
            requests.request(&[b"SELECT", self.database.to_string().as_bytes()]);
        }
        // Both are courtesies: the first tells operators who is there, the second saves a round trip later.
        requests.request(&[b"CLIENT", b"SETNAME", b"flowkeep"]);
        requests.request(&[b"SCRIPT", b"LOAD", script.as_bytes()]);
        requests
    }

    /// Whether this answer to a greeting means that the server does not serve us now.
    pub(super) fn is_refused_by(&self, error: &str) -> bool {
        !error.starts_with("NOPERM") || self.database > 0
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Access({})", self.name())
    }
}

fn config(what: &str) -> Error {
    Error::new(Code::Config, format!("REDIS_URL can't be used: {what}"))
}

fn unsupported(what: &str) -> Error {
    Error::new(Code::Unsupported, format!("REDIS_URL asks for what this version does not have: {what}"))
}

fn number(text: &str) -> Result<u32> {
    text.parse().map_err(|_| config("its database is not a number"))
}

fn host_and_port(address: &str) -> Result<(String, u16)> {
    let port = |text: &str| match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(config("its port is not a number from 1 to 65535")),
    };
    let (host, port) = if let Some(rest) = address.strip_prefix('[') {
        let (host, tail) = rest.split_once(']').ok_or_else(|| config("its IPv6 address has no end"))?;
        let port = tail.strip_prefix(':').map_or(Ok(DEFAULT_PORT), port)?;
        (host, port)
    } else {
        let (host, tail) = address.split_once(':').map_or((address, None), |(host, tail)| (host, Some(tail)));
        (host, tail.map_or(Ok(DEFAULT_PORT), port)?)
    };
    let host = if host.is_empty() { "localhost" } else { host };
    Ok((host.to_owned(), port))
}

/// Percent-decoded; `None` when empty.
fn decoded(text: &str) -> Result<Option<String>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        match (digit(), digit()) {
            (Some(high), Some(low)) => bytes.push((high * 16 + low) as u8),
            _ => return Err(config("a % in it is not followed by two hexadecimal digits")),
        }
    }
    let text = String::from_utf8(bytes).map_err(|_| config("its credentials are not UTF-8"))?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::Access;
    use crate::error::Code;

    #[test]
    fn the_grammar() {
        for (url, name, database, login) in [
            ("redis://localhost", "localhost:6379", 0, (None, None)),
            ("redis://h:7000/3", "h:7000", 3, (None, None)),
            ("valkey://:p%40ss%3A@h", "h:6379", 0, (None, Some("p@ss:"))),
            ("REDIS://me:p@[::1]:1", "::1:1", 0, (Some("me"), Some("p"))),
            ("redis://me:a@b@h/0", "h:6379", 0, (Some("me"), Some("a@b"))),
            ("unix:///run/redis.sock?db=2", "unix:///run/redis.sock", 2, (None, None)),
        ] {
            let access = Access::parse(url).unwrap();
            assert_eq!((access.name().as_str(), access.database), (name, database), "{url}");
            assert_eq!((access.user.as_deref(), access.password.as_deref()), login, "{url}");
        }
    }

    #[test]
    fn what_can_not_be_used_is_told_without_its_secrets() {
        for (url, code) in [
            ("localhost", Code::Config),
            ("http://secret@h", Code::Config),
            ("redis://h:0", Code::Config),
            ("redis://h:secret", Code::Config),
            ("redis://h/secret", Code::Config),
            ("redis://a:%zzsecret@h", Code::Config),
            ("redis://:secret@a,redis://b", Code::Unsupported),
            ("rediss://:secret@h", Code::Unsupported),
            ("redis+sentinel://:secret@h/x", Code::Unsupported),
        ] {
            let error = Access::parse(url).unwrap_err();
            assert_eq!(error.code, code, "{url}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        assert!(!format!("{:?}", Access::parse("redis://me:secret@h").unwrap()).contains("secret"));
    }
}
