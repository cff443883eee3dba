// `npm run test:faults`: the fault suite at its full length. `npm test` tries the same faults for a moment each.
process.env.FLOWKEEP_FAULTS = 'full'
process.argv.push('faults')
await import('./test.mjs')
