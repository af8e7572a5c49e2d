// The wire format read by hand, independently of src/envelope: the tests' view of what bytes say.

export type WireField = readonly [no: number, type: number, value: string]

/** The fields of an envelope as text, in wire order, but entries of maps sorted: their order is anyone's. */
export function canonicalWire(bytes: Uint8Array): WireField[] {
  return sortEntries(
    fields(Buffer.from(bytes)).map(([no, type, value]): WireField => {
      if (typeof value === 'bigint') return [no, type, String(value)]
      if (no !== 8) return [no, type, value.toString('hex')]
      const inner = fields(value).map(
        ([n, t, v]): WireField => [n, t, typeof v === 'bigint' ? String(v) : v.toString('hex')],
      )
      return [no, type, JSON.stringify(sortEntries(inner))]
    }),
  )
}

/** Whether a map of the envelope has several entries, so that an encoder may write them in another order. */
export function hasMapOrder(decoded: { metadata: object; trace_info?: { metadata: object } | null }): boolean {
  return Object.keys(decoded.metadata).length > 1 || Object.keys(decoded.trace_info?.metadata ?? {}).length > 1
}

function sortEntries(list: WireField[]): WireField[] {
  return list
    .map((field, index) => ({ field, index }))
    .sort((a, b) => (a.field[0] === b.field[0] ? (a.field[2] < b.field[2] ? -1 : 1) : a.index - b.index))
    .map(({ field }) => field)
}

function fields(bytes: Buffer): [number, number, bigint | Buffer][] {
  const list: [number, number, bigint | Buffer][] = []
  let at = 0
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]!
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }
  while (at < bytes.length) {
    const tag = Number(varint())
    if ((tag & 7) === 0) list.push([tag >>> 3, 0, varint()])
    else {
      const length = Number(varint())
      list.push([tag >>> 3, tag & 7, bytes.subarray(at, at + length)])
      at += length
    }
  }
  return list
}
