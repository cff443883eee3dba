//! The operations of a storage by name: the one list that engine and face share.

macro_rules! operations {
    ($($area:ident { $($variant:ident $name:literal $id:literal,)* })*) => {
        /// Operations that are performed in one place: `core/src/perform/<area>.rs`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Area {
            $($area,)*
        }

        /// What can be asked of a storage.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Operation {
            $($($variant,)*)*
        }

        impl Operation {
            /// All of them; a face calls one by its place here.
            pub const ALL: &'static [Self] = &[$($(Self::$variant,)*)*];

            /// Where it is performed.
            #[must_use]
            pub fn area(self) -> Area {
                match self {
                    $($(Self::$variant => Area::$area,)*)*
                }
            }

            /// Whether it may wait on any backend, memory included: those that wait for what others do.
            #[must_use]
            pub fn waits(self) -> bool {
const WAITING: &[&str] = &[
                    "subscribe",
                    "queue.take",
                    "streams.read",
                    "streams.readGroup",
                    "streams.take",
                    "requestLog.follow",
                    "pruneEvents",
                ];
                WAITING.contains(&self.name())
            }

            /// Its public name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $($(Self::$variant => $name,)*)*
                }
            }

            /// The public name of its first argument, where that is an id.
            #[must_use]
            pub fn id_name(self) -> &'static str {
                match self {
                    $($(Self::$variant => $id,)*)*
                }
            }
        }
    };
}

operations! {
    Records {
        CreateSession "createSession" "userId",
        GetSession "getSession" "sessionId",
        UpdateSession "updateSession" "sessionId",
        DeleteSession "deleteSession" "sessionId",
        ListSessions "listSessions" "userId",
        TouchSession "touchSession" "sessionId",
        CreateChain "createChain" "sessionId",
        GetChain "getChain" "chainId",
        UpdateChain "updateChain" "chainId",
        DeleteChain "deleteChain" "chainId",
        ListChains "listChains" "sessionId",
        CreateStep "createStep" "chainId",
        GetStep "getStep" "stepId",
        UpdateStep "updateStep" "stepId",
        HeartbeatStep "heartbeatStep" "stepId",
        DeleteStep "deleteStep" "stepId",
        ListSteps "listSteps" "chainId",
        AppendEvent "appendEvent" "sessionId",
        Events "events" "",
    }
    Breakers {
        BreakerSync "breakers.sync" "",
        BreakerAcquire "breaker.call" "",
        BreakerState "breaker.state" "",
        BreakerMetrics "breaker.metrics" "",
        BreakerOpen "breaker.open" "",
        BreakerClose "breaker.close" "",
        BreakerIsolate "breaker.isolate" "",
        BreakerDisable "breaker.disable" "",
        BreakerReset "breaker.reset" "",
        BreakerHistory "breaker.history" "",
        BreakerList "breakers.list" "",
        BreakerExport "breakers.export" "",
        BreakerImport "breakers.import" "",
        BreakerQuery "breakers.query" "",
        BreakerEvents "breakers.events" "",
        BreakerCount "breakers.countTransitions" "",
        BreakerPrune "breakers.prune" "",
        BreakerRecord "breakers.record" "",
    }
    Life {
        EraseUser "eraseUser" "userId",
        SessionCounts "sessionCounts" "userId",
        Sweep "sweep" "",
        PruneEvents "pruneEvents" "",
        QuerySessions "querySessions" "",
        QueryChains "queryChains" "",
        QuerySteps "querySteps" "",
    }
    Feed {
        Subscribe "subscribe" "",
        WatchSession "watchSession" "sessionId",
        Replay "replay" "sessionId",
    }
    Queues {
        QueuePush "queue.push" "",
        QueueTake "queue.take" "",
        QueueSettle "queue.ack" "",
        QueueSettleAll "queue.settle" "",
        QueueGiveBack "queue.nack" "",
        QueueExtend "queue.extend" "",
        QueueCount "queue.length" "",
        QueueClose "queue.close" "",
        QueueDead "queue.deadLetters" "",
        QueueRequeue "queue.requeue" "",
        QueueStrays "queue.strays" "",
    }
    Caches {
        CacheSet "cache.set" "",
        CacheGet "cache.get" "",
        CacheDelete "cache.delete" "",
        CacheExists "cache.exists" "",
        CacheFlight "cache.getOrSet" "",
        CacheLand "cache.land" "",
        CacheGiveUp "cache.giveUp" "",
    }
    Resilience {
        Conflicts "conflicts" "",
    }
    Kv {
        KvGet "kv.get" "",
        KvGetMany "kv.getMany" "",
        KvSet "kv.set" "",
        KvSetIfNotExists "kv.setIfNotExists" "",
        KvCompareAndSet "kv.compareAndSet" "",
        KvUpdateJson "kv.updateJson" "",
        KvIncrement "kv.increment" "",
        KvDelete "kv.delete" "",
        KvExists "kv.exists" "",
        KvExpire "kv.expire" "",
        KvTtlSeconds "kv.ttlSeconds" "",
        KvHget "kv.hget" "",
        KvHset "kv.hset" "",
        KvHgetall "kv.hgetall" "",
        KvHdel "kv.hdel" "",
        KvHincrement "kv.hincrement" "",
        KvSadd "kv.sadd" "",
        KvSrem "kv.srem" "",
        KvSismember "kv.sismember" "",
        KvSmembers "kv.smembers" "",
        KvScard "kv.scard" "",
        KvZadd "kv.zadd" "",
        KvZrem "kv.zrem" "",
        KvZscore "kv.zscore" "",
        KvZincrement "kv.zincrement" "",
        KvZcard "kv.zcard" "",
        KvZrange "kv.zrange" "",
        KvZrangeByScore "kv.zrangeByScore" "",
        KvKeys "kv.keys" "",
        KvPipeline "kv.pipeline" "",
        KvPing "kv.ping" "",
        KvInfo "kv.info" "",
        KvDbSize "kv.dbSize" "",
    }
    Streams {
        StreamAdd "streams.add" "",
        StreamRead "streams.read" "",
        StreamLength "streams.length" "",
        StreamDelete "streams.delete" "",
        StreamCreateGroup "streams.createGroup" "",
        StreamDeleteGroup "streams.deleteGroup" "",
        StreamGroups "streams.groups" "",
        StreamReadGroup "streams.readGroup" "",
        StreamAck "streams.ack" "",
        StreamPending "streams.pending" "",
        StreamClaim "streams.claim" "",
        StreamTake "streams.take" "",
        StreamLeave "streams.leave" "",
        StreamDeadLetters "streams.deadLetters" "",
    }
    RequestLog {
        LogRecord "requestLog.record" "",
        LogSearch "requestLog.search" "",
        LogHourly "requestLog.hourly" "",
        LogPercentiles "requestLog.percentiles" "",
        LogFollow "requestLog.follow" "",
        LogRebuild "requestLog.rebuild" "",
    }
    Services {
        TableSet "table.set" "",
        TableGet "table.get" "",
        TableHas "table.has" "",
        TableDelete "table.delete" "",
        TableEntries "table.entries" "",
        TableData "table.data" "",
        TableClear "table.clear" "",
        HistoryRecord "history.record" "",
        HistoryGet "history.get" "",
        HistoryById "history.getById" "",
        HistorySetResponse "history.setResponse" "",
        HistoryEntries "history.entries" "",
        HistoryData "history.data" "",
        HistoryLength "history.length" "",
        HistoryClear "history.clear" "",
    }
    Collections {
        CollectionCreate "collection.create" "",
        CollectionPut "collection.put" "",
        CollectionUpdate "collection.update" "",
        CollectionGet "collection.get" "",
        CollectionGetBy "collection.getBy" "",
        CollectionIn "collection.in" "",
        CollectionDelete "collection.delete" "",
        CollectionTake "collection.take" "",
        CollectionList "collection.list" "",
        CollectionCount "collection.count" "",
        CollectionVerify "collection.verify" "",
        CollectionRepair "collection.repair" "",
    }
}
