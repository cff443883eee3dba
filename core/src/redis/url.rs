//! The grammar of `REDIS_URL`: which servers, as whom.
//!
//! | URL | stands for |
//! | --- | --- |
//! | `redis://[[user]:password@]host[:port][/database]`, `valkey://` | one server |
//! | `rediss://`, `valkeys://` | the same by TLS |
//! | `unix://[[user]:password@]/path/to/socket` | one server on this machine |
//! | `redis+sentinel://[[user]:password@]host[:port],.../service[/database]`, `redis-sentinel://` | the master that the sentinels name |
//! | `redis-cluster://[[user]:password@]host[:port],...`, or a list of `redis://` URLs | a Cluster |
//!
//! `rediss` in place of `redis` is TLS everywhere. Parameters: `db` (a number, but for a Cluster), and for
//! sentinels `sentinelUser` and `sentinelPassword`. An IPv6 address stands in brackets. Everything is percent-decoded; what
//! is wrong is told without quoting the URL, which may hold a secret.

use super::mux::Access;
use crate::error::{Code, Error};

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26_379;

/// What a URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The server, or the first one of a Cluster; with Sentinel, the login at whatever server is named.
    pub access: Access,
    pub topology: Topology,
}

/// How its servers hang together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    Single,
    /// These know where the master of a service is.
    Sentinel {
        sentinels: Vec<Access>,
        service: String,
    },
    /// These know who has which slots.
    Cluster {
        seeds: Vec<Access>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Single,
    Unix,
    Sentinel,
    Cluster,
}

/// What is wrong, in words that follow "can't be used: ".
type Result<T> = std::result::Result<T, String>;

impl Target {
    /// Reads a URL; `named` is what it was given as, for people: `url` or `REDIS_URL`.
    ///
    /// # Errors
    /// `STORAGE_CONFIG`, which never quotes the URL.
    pub fn parse(url: &str, named: &str) -> crate::error::Result<Self> {
        let target = match list(url) {
            Some(urls) => cluster_of(&urls),
            None => one(url),
        };
        target.map_err(|why| Error::new(Code::Config, format!("{named} can't be used: {why}")))
    }
}

/// The members of a list of URLs; `None` for a single one. A comma alone may be part of anything else.
fn list(url: &str) -> Option<Vec<&str>> {
    let mut members = Vec::new();
    let mut from = 0;
    for (at, _) in url.match_indices(',') {
        let next = url.get(at + 1..).unwrap_or_default();
        let scheme = next.split_once("://").map_or("", |(scheme, _)| scheme);
        if !scheme.is_empty()
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-".contains(&byte))
        {
            members.push(url.get(from..at).unwrap_or_default());
            from = at + 1;
        }
    }
    members.push(url.get(from..).unwrap_or_default());
    (members.len() > 1).then_some(members)
}

fn cluster_of(urls: &[&str]) -> Result<Target> {
    let mut seeds: Vec<Access> = Vec::new();
    for url in urls {
        let Target { access, topology } = one(url)?;
        if topology != Topology::Single || access.path.is_some() {
            return Err("only redis:// and rediss:// URLs make a list".to_owned());
        }
        if seeds.first().is_some_and(|first| first.at(&access.host, access.port) != access) {
            return Err("the URLs of its list differ in more than their servers".to_owned());
        }
        seeds.push(access);
    }
    let access = seeds.first().cloned().ok_or("it is empty")?;
    in_cluster(access, seeds)
}

fn in_cluster(access: Access, seeds: Vec<Access>) -> Result<Target> {
    if access.database > 0 {
        return Err("a Cluster has no database but 0".to_owned());
    }
    Ok(Target { access, topology: Topology::Cluster { seeds } })
}

fn scheme(text: &str) -> Option<(Kind, bool)> {
    Some(match text {
        "redis" | "valkey" => (Kind::Single, false),
        "rediss" | "valkeys" => (Kind::Single, true),
        "unix" => (Kind::Unix, false),
        "redis+sentinel" | "redis-sentinel" | "valkey+sentinel" | "valkey-sentinel" => {
            (Kind::Sentinel, false)
        }
        "rediss+sentinel" | "rediss-sentinel" | "valkeys+sentinel" | "valkeys-sentinel" => {
            (Kind::Sentinel, true)
        }
        "redis-cluster" | "redis+cluster" | "valkey-cluster" | "valkey+cluster" => (Kind::Cluster, false),
        "rediss-cluster" | "rediss+cluster" | "valkeys-cluster" | "valkeys+cluster" => (Kind::Cluster, true),
        _ => return None,
    })
}

/// The parts of one URL, still as they were written.
struct Parts<'a> {
    login: Option<&'a str>,
    hosts: &'a str,
    path: &'a str,
    query: &'a str,
}

fn parts(rest: &str) -> Parts<'_> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let (login, hosts) =
        authority.rsplit_once('@').map_or((None, authority), |(login, hosts)| (Some(login), hosts));
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    Parts { login, hosts, path, query }
}

fn one(url: &str) -> Result<Target> {
    let (name, rest) = url.split_once("://").ok_or("it has no scheme such as redis://")?;
    let (kind, tls) = scheme(&name.to_ascii_lowercase())
        .ok_or("its scheme is none of redis, rediss, valkey, valkeys, unix, redis+sentinel, redis-cluster")?;
    let Parts { login, hosts, path, query } = parts(rest);
    if path.contains('#') || query.contains('#') || rest.contains('#') {
        return Err("a # in it is to be written %23".to_owned());
    }
    let parameters = parameters(query, kind)?;
    let (user, password) = credentials(login)?;
    let base = Access { user, password, tls, ..Access::default() };
    if kind == Kind::Unix {
        let path = decoded(path)?;
        if !hosts.is_empty() || path.len() < 2 {
            return Err("it names no socket: unix:///path/to/socket".to_owned());
        }
        let database = parameters.database.unwrap_or(0);
        return Ok(Target {
            access: Access { path: Some(path), database, ..base },
            topology: Topology::Single,
        });
    }
    let mut segments = path.split('/').skip(1);
    let service = if kind == Kind::Sentinel { segments.next().unwrap_or_default() } else { "" };
    let database = match (segments.next().unwrap_or_default(), parameters.database) {
        ("", given) => given.unwrap_or(0),
        (text, None) => number(text)?,
        (text, Some(given)) if number(text)? == given => given,
        _ => return Err("it names two databases".to_owned()),
    };
    if segments.any(|segment| !segment.is_empty()) {
        return Err("its path has too many parts".to_owned());
    }
    let port = if kind == Kind::Sentinel { SENTINEL_PORT } else { REDIS_PORT };
    let places = hosts.split(',').map(|host| host_and_port(host, port)).collect::<Result<Vec<_>>>()?;
    let access = Access { database, ..base };
    topology(kind, access, places, service, parameters)
}

fn topology(
    kind: Kind,
    access: Access,
    places: Vec<(String, u16)>,
    service: &str,
    parameters: Parameters,
) -> Result<Target> {
    let several = places.len() > 1;
    let first = places.first().cloned().unwrap_or_default();
    match kind {
        Kind::Sentinel => {
            let service = decoded(service)?;
            if service.is_empty() {
                return Err("it names no service: redis+sentinel://host:port/service".to_owned());
            }
            let Parameters { user, password, .. } = parameters;
            let login = Access { user, password, tls: access.tls, ..Access::default() };
            let sentinels = places.iter().map(|(host, port)| login.at(host, *port)).collect();
            Ok(Target { access, topology: Topology::Sentinel { sentinels, service } })
        }
        Kind::Cluster => {
            let seeds: Vec<_> = places.iter().map(|(host, port)| access.at(host, *port)).collect();
            in_cluster(access.at(&first.0, first.1), seeds)
        }
        _ if several => Err("several servers are a Cluster (redis-cluster://a,b) or sentinels \
                             (redis+sentinel://a,b/service)"
            .to_owned()),
        _ => Ok(Target { access: access.at(&first.0, first.1), topology: Topology::Single }),
    }
}

#[derive(Default)]
struct Parameters {
    database: Option<u32>,
    user: Option<String>,
    password: Option<String>,
}

fn parameters(query: &str, kind: Kind) -> Result<Parameters> {
    let mut known = Parameters::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "db" if kind != Kind::Cluster => known.database = Some(number(value)?),
            "sentinelUser" if kind == Kind::Sentinel => known.user = Some(decoded(value)?),
            "sentinelPassword" if kind == Kind::Sentinel => known.password = Some(decoded(value)?),
            _ if name.len() <= 32
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') =>
            {
                return Err(format!("its parameter {name} is none that it may have"));
            }
            _ => return Err("it has a parameter that is none".to_owned()),
        }
    }
    if known.user.is_some() && known.password.is_none() {
        return Err("sentinelUser comes with sentinelPassword".to_owned());
    }
    Ok(known)
}

fn credentials(login: Option<&str>) -> Result<(Option<String>, Option<String>)> {
    let Some(login) = login else { return Ok((None, None)) };
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    let (user, password) = (given(decoded(user)?), given(decoded(password)?));
    if user.is_some() && password.is_none() {
        return Err("it names a user without a password; a password alone is written :password@".to_owned());
    }
    Ok((user, password))
}

fn number(text: &str) -> Result<u32> {
    match text.parse() {
        // A sign is a number's elsewhere.
        Ok(number) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(number),
        _ => Err("its database is not a number".to_owned()),
    }
}

fn host_and_port(address: &str, usual: u16) -> Result<(String, u16)> {
    let port = |text: &str| match text.parse::<u16>() {
        Ok(port) if port > 0 && text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
        _ => Err("its port is not a number from 1 to 65535".to_owned()),
    };
    let (host, tail) = if let Some(rest) = address.strip_prefix('[') {
        let (host, tail) = rest.split_once(']').ok_or("its IPv6 address has no end")?;
        if host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err("what is in brackets is no IPv6 address".to_owned());
        }
        match tail.strip_prefix(':') {
            None if !tail.is_empty() => return Err("something follows its IPv6 address".to_owned()),
            port => (host.to_owned(), port),
        }
    } else {
        let (host, tail) = address.split_once(':').map_or((address, None), |(host, tail)| (host, Some(tail)));
        (decoded(host)?, tail)
    };
    if host.chars().any(|char| char.is_whitespace() || char.is_control()) {
        return Err("its host has characters that no host has".to_owned());
    }
    let host = if host.is_empty() { "localhost".to_owned() } else { host };
    Ok((host, tail.map_or(Ok(usual), port)?))
}

/// Percent-decoded.
fn decoded(text: &str) -> Result<String> {
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
            _ => return Err("a % in it is not followed by two hexadecimal digits".to_owned()),
        }
    }
    String::from_utf8(bytes).map_err(|_| "what it encodes is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests;
