// How users spread over partitions and over a Cluster's masters: simulated, with the functions that the library itself uses.
//   node benchmark/scaling.mjs             10^3 to 10^7 users, some 20 s

const PARTITIONS = 1024
const SLOTS = 16_384
const USERS = [1e3, 1e4, 1e5, 1e6, 1e7]
const MASTERS = [3, 6, 12, 24, 48]

/** FNV-1a of 64 bits, in two halves, folded to 10 bits: `Partition::of` of core/src/key.rs. @param {string} owner */
function partitionOf(owner) {
  let [high, low] = [0xcbf29ce4, 0x84222325]
  for (let at = 0; at < owner.length; at++) {
    low = (low ^ owner.charCodeAt(at)) >>> 0
    // Times 0x100000001b3, modulo 2^64: 0x1b3 times both halves, and the low half once more 40 bits higher.
    const product = low * 0x1b3
    high = (Math.imul(high, 0x1b3) + Math.floor(product / 2 ** 32) + (low << 8)) >>> 0
    low = (product % 2 ** 32) >>> 0
  }
  const folded = (low ^ high) >>> 0
  return ((folded ^ (folded >>> 16)) >>> 0) % PARTITIONS
}

/** CRC-16/XMODEM, as a Cluster hashes a tag. @param {string} tag */
function slotOf(tag) {
  let crc = 0
  for (let at = 0; at < tag.length; at++) {
    crc ^= tag.charCodeAt(at) << 8
    for (let bit = 0; bit < 8; bit++) crc = ((crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1) & 0xffff) >>> 0
  }
  return crc % SLOTS
}

const slots = Array.from({ length: PARTITIONS }, (_, partition) => slotOf(`${partition}`))

/** The fullest by the mean, of partitions and of masters. @param {Float64Array} load @param {number} masters */
function imbalance(load, masters) {
  const parts = new Float64Array(masters)
  load.forEach((weight, partition) => {
    parts[Math.floor(((slots[partition] ?? 0) * masters) / SLOTS)] += weight
  })
  return (Math.max(...parts) * masters) / parts.reduce((sum, part) => sum + part, 0)
}

// What is known of both functions, so that a slip here does not become a figure.
if (slotOf('123456789') !== 0x31c3 % SLOTS || partitionOf('') !== 17 || partitionOf('demo') !== 867) {
  throw new Error('one of the two hashes is wrong')
}

console.log(
  `| users | load | ${MASTERS.map((count) => `${count} masters`).join(' | ')} | the heaviest user |`,
)
console.log(`| --- | --- | ${MASTERS.map(() => '---').join(' | ')} | --- |`)
for (const users of USERS) {
  const [equal, zipf] = [new Float64Array(PARTITIONS), new Float64Array(PARTITIONS)]
  let sum = 0
  for (let user = 1; user <= users; user++) {
    const partition = partitionOf(`user-${user}`)
    equal[partition] += 1
    zipf[partition] += 1 / user
    sum += 1 / user
  }
  for (const [name, load, share] of /** @type {const} */ ([
    ['equal', equal, 1 / users],
    ['Zipf, s = 1', zipf, 1 / sum],
  ])) {
    const cells = MASTERS.map((masters) => imbalance(load, masters).toFixed(2)).join(' | ')
    console.log(`| ${users.toLocaleString('en')} | ${name} | ${cells} | ${(100 * share).toFixed(4)} % |`)
  }
}
