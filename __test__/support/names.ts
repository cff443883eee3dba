const PARTS = [
  'a',
  'b',
  ':',
  '/',
  '%',
  '{',
  '}',
  '*',
  '?',
  '[',
  '%2F',
  '%25',
  'history',
  'n',
  '\u{1F600}',
  ' ',
  '.',
  '\0',
]

/** Names that try to be parts of other names, of keys, of patterns, of objects: so many, no two of them equal. */
export function adversarialNames(count: number): string[] {
  const names = new Set([
    '__proto__',
    'constructor',
    'a',
    'a:b',
    'b',
    'a/b',
    'a%2Fb',
    '{a}',
    'history',
    'l',
    'n',
  ])
  for (let n = 0; names.size < count; n++) {
    names.add(
      [n, n * 7, Math.floor(n / 18) * 5].map((place) => PARTS[place % PARTS.length]).join('') +
        (n > 900 ? n : ''),
    )
  }
  return [...names].slice(0, count)
}
