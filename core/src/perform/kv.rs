//! Keys and values.

use crate::command::Server;
use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::schema::{self, Args, Issue, PathItem};
use crate::storage::{Request, Storage};
use crate::stores::{Pipeline, invalid};

impl Storage {
    /// The arguments of an operation on plain values: `kv.hset` -> those of `hset`.
    pub(super) fn args(&self, request: &Request, op: &str) -> Result<Args> {
        let data = request.data.as_ref().ok_or_else(|| Error::internal("a call without arguments"))?;
        schema::args(op, data.input(), self.stores.limits()).map_err(|issues| invalid(issues.0))
    }

    pub(crate) async fn perform_kv(&self, request: &Request) -> Result<String> {
        use Operation as Op;
        let name = request.operation.name();
        let op = name.split_once('.').map_or(name, |(_, op)| op);
        let args = self.args(request, op)?;
        let call = self.call_for(args.options.timeout_ms);
        match request.operation {
            Op::KvGetMany => self.stores.kv_get_many(call, &args).await,
            Op::KvCompareAndSet => self.stores.kv_compare_and_set(call, &args).await,
            Op::KvUpdateJson => self.stores.kv_update_json(call, &args).await,
            Op::KvKeys => self.stores.kv_keys(call, &args).await,
            Op::KvPing => self.stores.kv_server(call, Server::Ping).await,
            Op::KvInfo => self.stores.kv_server(call, Server::Info).await,
            Op::KvDbSize => self.stores.kv_server(call, Server::Size).await,
            Op::KvPipeline => {
                let Some(atomic) = args.options.atomic else {
                    let path = [PathItem::from("options"), PathItem::from("atomic")];
                    return Err(invalid(vec![Issue::invalid_type(&path, "boolean", "undefined")]));
                };
                let pipeline = Pipeline { commands: &args.commands, atomic, bytes: args.options.bytes };
                self.stores.kv_pipeline(call, pipeline).await
            }
            _ => self.stores.kv(call, op, &args).await,
        }
    }
}
