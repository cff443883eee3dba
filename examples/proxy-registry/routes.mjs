// Which target a path leads to: the first route that fits, in the order of their priorities.

/**
 * @typedef {object} Route
 * @property {string} id
 * @property {string} path a prefix
 * @property {number} priority the highest is asked first; no two routes share path and priority
 * @property {string} target
 * @property {string[]} [methods] absent: all
 */

export class Routes {
  /** @type {import('flowkeep').Collection<Route>} */
  all

  /** @param {import('flowkeep').IStorage} storage */
  constructor(storage) {
    this.all = storage.collection('routes', {
      id: 'id',
      unique: [['path', 'priority']],
      orderBy: 'priority',
    })
  }

  /** The route of a request; `null` where none fits. @param {string} method @param {string} path */
  async find(method, path) {
    for (let cursor = ''; ; ) {
      const page = await this.all.list({ descending: true, ...(cursor ? { cursor } : {}) })
      const found = page.items.find(
        (route) => path.startsWith(route.path) && (route.methods?.includes(method) ?? true),
      )
      if (found) return found
      if (page.cursor === null) return null
      cursor = page.cursor
    }
  }
}
