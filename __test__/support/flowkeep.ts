/** The package as it is built. Tests import it from here, so that its place is named once. */
export * from '../../dist/index.js'
