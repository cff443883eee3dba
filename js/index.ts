export { Breaker } from './breaker.js'
export type * from './breaker-types.js'
export { Breakers } from './breakers.js'
export type { Cache, CacheSetOptions, GetOrSetOptions } from './cache.js'
export type {
  Collection,
  CollectionShape,
  KeyValue,
  OrderedPageOptions,
  PageOptions,
  RecordOptions,
  RecordPage,
  Verified,
} from './collection.js'
export {
  CapacityError,
  CircuitOpenError,
  ClosedError,
  ConfigError,
  ConflictError,
  CorruptError,
  type ErrorFacts,
  type ErrorOutcome,
  type Issue,
  NotFoundError,
  StorageError,
  TimeoutError,
  UnavailableError,
  UnsupportedError,
  ValidationError,
} from './errors.js'
export type * from './feed-types.js'
export type * from './generated/records.js'
export { escapePattern, type KeyValues } from './kv.js'
export type * from './kv-types.js'
export type * from './life-types.js'
export type { Conflict, Logger, Notice, NoticeType } from './notices.js'
export {
  type Limits,
  MemoryStorage,
  type OpenOptions,
  type OwnSchemas,
  openStorage,
  RedisAdapter,
  ResilientStorage,
  type Storage,
  type StorageOptions,
  type TlsOptions,
} from './open.js'
export {
  type BreakerStoreOptions,
  BreakerStores,
  copyBreakers,
  type OpenBreakersOptions,
  openBreakers,
} from './open-breakers.js'
export type { Queue } from './queue.js'
export type * from './queue-types.js'
export { type RecordedCommand, recordChain } from './recorder.js'
export type { RequestLog } from './request-log.js'
export type * from './request-log-types.js'
export type { Resilience } from './resilience.js'
export { schemas } from './schemas.js'
export type { History, ServiceView, Table } from './service.js'
export type * from './service-types.js'
export { SqlBreakers, type SqlOptions } from './sql-breakers.js'
export type * from './stream-types.js'
export type { Streams } from './streams.js'
export { Subscription } from './subscription.js'
export type * from './types.js'
export type { Value } from './values.js'
