/** @param {number[]} values @param {number} part 0 to 1 @returns {number} linear between neighbours */
function quantile(values, part) {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (sorted.length - 1) * part
  const low = sorted[Math.floor(at)] ?? Number.NaN
  const high = sorted[Math.ceil(at)] ?? Number.NaN
  return low + (high - low) * (at % 1)
}

/** @param {number[]} values */
export const median = (values) => quantile(values, 0.5)

/** Half the distance between the quartiles, as a part of the median. @param {number[]} values */
export const spread = (values) => (quantile(values, 0.75) - quantile(values, 0.25)) / 2 / median(values)
