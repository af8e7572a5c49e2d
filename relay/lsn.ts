declare const lsnBrand: unique symbol

/** A position in PostgreSQL's write-ahead log. Variables say which one: `messageLsn`, `commitEndLsn`, `confirmedLsn`. */
export type Lsn = bigint & { readonly [lsnBrand]: true }

/** "No position": PostgreSQL's InvalidXLogRecPtr. */
export const ZERO_LSN = 0n as Lsn

/** Brands 64 bits that came off the wire. */
export function toLsn(value: bigint): Lsn {
  return value as Lsn
}

/**
 * Reads PostgreSQL's text form of an LSN: two hexadecimal halves, not padded, so never compare LSNs as text.
 *
 * @example parseLsn('0/A08B0D8') // 168341720n
 * @throws RangeError when the text is not an LSN.
 */
export function parseLsn(text: string): Lsn {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text)
  if (!match) throw new RangeError(`not an LSN: "${text.slice(0, 40)}" (expected e.g. "16/B374D848")`)
  return ((BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`)) as Lsn
}

/**
 * Writes an LSN as PostgreSQL does (`%X/%X`).
 *
 * @example formatLsn(parseLsn('16/B374D848')) // '16/B374D848'
 */
export function formatLsn(lsn: Lsn): string {
  const low = Number(lsn & 0xffffffffn)
  const high = Number(lsn >> 32n)
  return `${high.toString(16).toUpperCase()}/${low.toString(16).toUpperCase()}`
}
