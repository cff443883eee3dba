// An authorization server's memory: clients, logins under way, codes that are used once, and the tokens of each user.

/** A login that is not finished by then begins anew; a code is redeemed at once or never. */
const STATE_SECONDS = 600
const CODE_SECONDS = 60

/** @typedef {{ id: string, name: string, secretHash: string, redirectUris: string[] }} OAuthClient */
/** @typedef {{ state: string, clientId: string, redirectUri: string, challenge?: string }} Login */
/** @typedef {{ code: string, clientId: string, user: string, redirectUri: string }} Code */
/** @typedef {{ jti: string, user: string, clientId: string, scopes: string[] }} AccessToken */
/** @typedef {{ hash: string, jti: string, user: string, clientId: string }} RefreshToken */

export class OAuth {
  /** @type {import('flowkeep').Collection<OAuthClient>} */
  clients
  /** @type {import('flowkeep').Collection<Login>} */
  #logins
  /** @type {import('flowkeep').Collection<Code>} */
  #codes
  /** @type {import('flowkeep').Collection<AccessToken>} */
  #tokens
  /** @type {import('flowkeep').Collection<RefreshToken>} */
  #refresh

  /** @param {import('flowkeep').IStorage} storage */
  constructor(storage) {
    this.clients = storage.collection('oauth-clients', { id: 'id', sets: ['redirectUris'] })
    this.#logins = storage.collection('oauth-states', { id: 'state', ttlSeconds: STATE_SECONDS })
    this.#codes = storage.collection('oauth-codes', { id: 'code', ttlSeconds: CODE_SECONDS })
    this.#tokens = storage.collection('oauth-tokens', { id: 'jti', sets: ['user'] })
    this.#refresh = storage.collection('oauth-refresh', { id: 'hash', lookup: ['jti'], sets: ['user'] })
  }

  /** @param {Login} login */
  begin(login) {
    return this.#logins.create(login)
  }

  /** The login that a browser comes back with: once, and within ten minutes. @param {string} state */
  finish(state) {
    return this.#logins.take(state)
  }

  /** @param {Code} code */
  grant(code) {
    return this.#codes.create(code)
  }

  /** What a code stands for: the first who asks gets it, within a minute. @param {string} code */
  redeem(code) {
    return this.#codes.take(code)
  }

  /**
   * Notes a token, and what it is refreshed with: by its hash, so that who reads the storage can't use it.
   * @param {AccessToken} token @param {number} seconds how long it counts
   * @param {{ hash: string, seconds: number }} [refresh]
   */
  async issue(token, seconds, refresh) {
    if (refresh) {
      const { jti, user, clientId } = token
      const record = { hash: refresh.hash, jti, user, clientId }
      await this.#refresh.create(record, { ttlSeconds: refresh.seconds })
    }
    return this.#tokens.create(token, { ttlSeconds: seconds })
  }

  /** A token that was issued, has not ended and was not revoked. @param {string} jti */
  token(jti) {
    return this.#tokens.get(jti)
  }

  /** Exchanges what a token is refreshed with: once. @param {string} hash */
  async refresh(hash) {
    const used = await this.#refresh.take(hash)
    if (used) await this.#tokens.delete(used.jti)
    return used
  }

  /** Every token of a user that counts. @param {string} user */
  async tokensOf(user) {
    const { items } = await this.#tokens.in('user', user, { limit: 1_000 })
    return items.map((token) => token.jti)
  }

  /** @param {string} jti */
  async revoke(jti) {
    const refresh = await this.#refresh.getBy('jti', jti)
    if (refresh) await this.#refresh.delete(refresh.hash)
    await this.#tokens.delete(jti)
  }

  /** Ends all that a user is logged in with; gives how many tokens that were. @param {string} user */
  async revokeAll(user) {
    const tokens = await this.tokensOf(user)
    const { items } = await this.#refresh.in('user', user, { limit: 1_000 })
    await Promise.all([
      ...tokens.map((jti) => this.#tokens.delete(jti)),
      ...items.map(({ hash }) => this.#refresh.delete(hash)),
    ])
    return tokens.length
  }
}
