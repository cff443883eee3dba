//! One server, as whom.

use crate::error::Result;
use crate::redis::resp::{Requests, Value};
use crate::redis::url::Target;

/// A server and the credentials for it. Its debug text hides them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Access {
    pub host: String,
    pub port: u16,
    /// A socket's path, for `unix://`; host and port are then empty.
    pub path: Option<String>,
    /// Whether the connection is to be encrypted, and the server to prove who it is.
    pub tls: bool,
    pub(in crate::redis) user: Option<String>,
    pub(in crate::redis) password: Option<String>,
    pub(in crate::redis) database: u32,
    pub(in crate::redis) role: Role,
}

/// What a server must be.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::redis) enum Role {
    #[default]
    Any,
    /// The master of this service.
    Master(String),
    Sentinel,
}

impl Access {
    /// The server that a URL names, or the first of them.
    ///
    /// # Errors
    /// `STORAGE_CONFIG`, which never quotes the URL.
    pub fn parse(url: &str) -> Result<Self> {
        Target::parse(url, "url").map(|target| target.access)
    }

    /// The same credentials at another server.
    #[must_use]
    pub fn at(&self, host: &str, port: u16) -> Self {
        Self { host: host.to_owned(), port, path: None, ..self.clone() }
    }

    /// The same for whichever server is the master of a service.
    pub(in crate::redis) fn of_master(self, service: &str) -> Self {
        Self { role: Role::Master(service.to_owned()), ..self }
    }

    /// The same for a sentinel.
    pub(in crate::redis) fn of_sentinel(self) -> Self {
        Self { role: Role::Sentinel, ..self }
    }

    pub(in crate::redis) fn is_sentinel(&self) -> bool {
        self.role == Role::Sentinel
    }

    /// The server's name for people: no credentials.
    #[must_use]
    pub fn name(&self) -> String {
        match (&self.path, &self.role) {
            (Some(path), _) => format!("unix://{path}"),
            (None, Role::Master(service)) => format!("the master of {service}"),
            (None, _) if self.host.contains(':') => format!("[{}]:{}", self.host, self.port),
            (None, _) => format!("{}:{}", self.host, self.port),
        }
    }

    /// Who we are, where the server wants to know.
    pub(in crate::redis) fn login(&self) -> Requests {
        let mut requests = Requests::default();
        if let Some(password) = &self.password {
            let login = self.user.iter().chain([password]).map(String::as_bytes);
            requests.request(&std::iter::once(&b"AUTH"[..]).chain(login).collect::<Vec<_>>());
        }
        requests
    }

    /// What is said first on a connection.
    pub(super) fn greeting(&self, scripts: &[&str]) -> Requests {
        let mut requests = self.login();
        if self.is_sentinel() {
            requests.request(&[b"PING"]);
            return requests;
        }
        if let Role::Master(_) = self.role {
            requests.request(&[b"ROLE"]);
        }
        if self.database > 0 {
            requests.request(&[b"SELECT", self.database.to_string().as_bytes()]);
        }
        // Who may not ask this is not told when a replica took over.
        requests.request(&[b"INFO", b"replication"]);
        // All are courtesies: the first tells operators who is there, the others save a round trip later.
        requests.request(&[b"CLIENT", b"SETNAME", b"flowkeep"]);
        for script in scripts {
            requests.request(&[b"SCRIPT", b"LOAD", script.as_bytes()]);
        }
        requests
    }

    /// Whether this answer to a greeting is one of a server that is no master, and should be.
    pub(super) fn is_no_master(&self, answer: &Value) -> bool {
        match answer {
            Value::Array(items) if matches!(self.role, Role::Master(_)) => {
                items.first().and_then(Value::as_text) != Some("master")
            }
            _ => false,
        }
    }

    /// Whether this answer to a greeting means that the server does not serve us now. What a user may not do is no
    /// matter, but for going to the right database.
    pub(super) fn is_refused_by(&self, error: &str) -> bool {
        !error.starts_with("NOPERM") || error.to_ascii_lowercase().contains("'select")
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Access({}{})", self.name(), if self.tls { ", TLS" } else { "" })
    }
}
