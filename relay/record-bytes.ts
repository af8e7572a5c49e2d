// The small parts of Kafka's record format (https://kafka.apache.org/documentation/#record):
//
//   varint   zigzag, 7 bits a byte, the lowest first
//   text     its length in UTF-8 as a varint, its bytes

/** How many bytes `writeVarint` takes for a number that is not negative. */
export function varintBytes(value: number): number {
  if (value < 64) return 1
  if (value < 8_192) return 2
  if (value < 1_048_576) return 3
  return value < 134_217_728 ? 4 : 5
}

/** Zigzag varint of a safe integer; returns the position after it. */
export function writeVarint(target: Buffer, at: number, value: number): number {
  let pos = at
  let rest = value < 0 ? -2 * value - 1 : 2 * value
  while (rest > 0x7fffffff) {
    target[pos++] = (rest % 128) | 0x80
    rest = Math.floor(rest / 128)
  }
  while (rest > 0x7f) {
    target[pos++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  target[pos++] = rest
  return pos
}

/** Length and UTF-8 of a text. The loop beats `Buffer.write` for the short ASCII that headers are. */
export function writeText(target: Buffer, at: number, text: string): number {
  const { length } = text
  if (length < 64) {
    let pos = at + 1
    let i = 0
    for (; i < length; i++) {
      const code = text.charCodeAt(i)
      if (code > 0x7f) break
      target[pos++] = code
    }
    if (i === length) {
      target[at] = 2 * length
      return pos
    }
  }
  const bytes = Buffer.byteLength(text)
  const pos = writeVarint(target, at, bytes)
  return pos + target.write(text, pos)
}

/** Length and bytes of a range; the loop beats `Buffer.copy` for keys and ids. */
export function writeRange(target: Buffer, at: number, source: Buffer, start: number, end: number): number {
  const length = end - start
  let pos = writeVarint(target, at, length)
  if (length > 64) return pos + source.copy(target, pos, start, end)
  for (let i = start; i < end; i++) target[pos++] = source[i] as number
  return pos
}

/** Reads what `writeVarint` wrote of a number that is not negative and has at most 31 bits. */
export function readVarint(source: Buffer, at: number): { readonly value: number; readonly next: number } {
  let value = 0
  let next = at
  for (let shift = 0; ; shift += 7) {
    const byte = source[next++] as number
    value += (byte & 0x7f) * 2 ** shift
    if (byte < 0x80) return { value: value / 2, next }
  }
}
