import { testStorage } from './behavior/suite.js'
import { MemoryStorage, openStorage } from './support/flowkeep.js'

testStorage({
  name: 'memory, as openStorage gives it',
  open: (options = {}) => openStorage({ ...options, backend: 'memory' }),
})

testStorage({
  name: 'MemoryStorage',
  open: (options) => Promise.resolve(new MemoryStorage(options)),
})
