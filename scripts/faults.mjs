// `npm run test:faults`: the fault suite at its full length. `npm test` tries the same faults for a moment each.
process.env.FLOWKEEP_FAULTS = 'full'
process.env.FLOWKEEP_ROUNDS = '10'
process.argv.push('faults', 'failover', 'connections')
await import('./test.mjs')
