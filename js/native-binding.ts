// The one place that loads the platform's binary.
export { checkSchema, NativeSql, NativeStorage, operations } from '../native.js'
