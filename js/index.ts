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
export type * from './generated/records.js'
export {
  type Limits,
  type Logger,
  MemoryStorage,
  type OpenOptions,
  type OwnSchemas,
  openStorage,
  RedisAdapter,
  type Storage,
  type StorageOptions,
} from './open.js'
export { type RecordedCommand, recordChain } from './recorder.js'
export { schemas } from './schemas.js'
export type * from './types.js'
