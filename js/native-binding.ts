// The one place that loads the platform's binary.
export { checkSchema, NativeStorage, operations } from '../native.js'
