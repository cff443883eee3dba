// The one place that loads the platform's binary.
export { call, checkSchema, NativeSql, NativeStorage, operations } from '../native.js'
