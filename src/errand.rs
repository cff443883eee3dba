//! What JavaScript is to do with its sockets.

use flowkeep_core::redis::{self, Access};
use napi_derive::napi;

/// Dial a place, or, without one, destroy the socket of this connection.
#[napi(object)]
pub struct Errand {
    pub connection: u32,
    pub place: Option<Place>,
}

/// Where a server listens: a host and a port, or a socket's path.
#[napi(object)]
pub struct Place {
    pub host: String,
    pub port: u32,
    pub path: Option<String>,
    pub tls: bool,
}

impl From<redis::Errand> for Errand {
    fn from(errand: redis::Errand) -> Self {
        match errand {
            redis::Errand::Dial { number, access } => {
                let Access { host, port, path, tls, .. } = access;
                Self { connection: number, place: Some(Place { host, port: port.into(), path, tls }) }
            }
            redis::Errand::Drop { number } => Self { connection: number, place: None },
        }
    }
}
