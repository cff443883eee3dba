//! Collections.

use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::schema::{self, CollectionArgs, Issue, PathItem};
use crate::storage::{Request, Storage};
use crate::stores::{Write, collection_id, invalid};

impl Storage {
    pub(crate) async fn perform_collection(&self, request: &Request) -> Result<String> {
        use Operation as Op;
        let data = request.data.as_ref().ok_or_else(|| Error::internal("a call without arguments"))?;
        let args: CollectionArgs = schema::collection_args(data.input(), self.stores.limits())
            .map_err(|issues| invalid(issues.0))?;
        let call = self.call_for(args.options.timeout_ms);
        let CollectionArgs { definition, record, id, by, value, options } = &args;
        let needed =
            |name: &str, what| invalid(vec![Issue::invalid_type(&[PathItem::from(name)], what, "undefined")]);
        let stores = &self.stores;
        let write = async |how, id| {
            let record = record.as_ref().ok_or_else(|| needed("record", "object"))?;
            stores.collection_write(call, definition, how, id, record.text(), options.ttl_seconds).await
        };
        let found = || by.as_deref().zip(value.as_ref()).ok_or_else(|| needed("value", "json"));
        match request.operation {
            Op::CollectionCreate => write(Write::Create, None).await,
            Op::CollectionPut => write(Write::Put, None).await,
            Op::CollectionUpdate => {
                collection_id(id.as_ref())?;
                write(Write::Update, id.as_ref()).await
            }
            Op::CollectionGet => stores.collection_get(call, definition, &collection_id(id.as_ref())?).await,
            Op::CollectionGetBy => {
                let (by, value) = found()?;
                stores.collection_get_by(call, definition, by, value).await
            }
            Op::CollectionIn => {
                let (set, value) = found()?;
                stores.collection_in(call, definition, set, value, options).await
            }
            Op::CollectionDelete => {
                let id = collection_id(id.as_ref())?;
                stores.collection_take(call, definition, &id).await.map(|_| String::new())
            }
            Op::CollectionTake => {
                stores.collection_take(call, definition, &collection_id(id.as_ref())?).await
            }
            Op::CollectionList => stores.collection_list(call, definition, options).await,
            Op::CollectionCount => stores.collection_count(call, definition).await,
            Op::CollectionVerify => stores.collection_verify(call, definition, false).await,
            Op::CollectionRepair => stores.collection_verify(call, definition, true).await,
            _ => Err(Error::internal("no operation of collections")),
        }
    }
}
