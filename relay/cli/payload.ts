const ROW = 16
/** More of it fills the screen and helps nobody. */
const MOST_BYTES = 4_096

/** A payload for reading: JSON indented, other text as it is, anything else as a hex dump. */
export function showPayload(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (buffer.length === 0) return '(empty)'
  const text = textOf(buffer)
  if (text !== undefined) {
    // A number that JavaScript cannot hold would be changed by parsing it: such a text stays as it was sent.
    if (/\d{16}/.test(text)) return text
    try {
      return JSON.stringify(JSON.parse(text), null, 2)
    } catch {
      return text
    }
  }
  return hexDump(buffer)
}

/** UTF-8 without control characters, which could steer a terminal; undefined otherwise. */
function textOf(buffer: Buffer): string | undefined {
  const text = buffer.toString('utf8')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.includes('\ufffd') || /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/.test(text) ? undefined : text
}

/** @example hexDump(Buffer.from('hi')) // '00000000  68 69 …  |hi|' */
export function hexDump(buffer: Buffer): string {
  const lines: string[] = []
  for (let at = 0; at < Math.min(buffer.length, MOST_BYTES); at += ROW) {
    const row = buffer.subarray(at, Math.min(at + ROW, MOST_BYTES))
    const hex = [...row].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
    const text = [...row].map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.')).join('')
    lines.push(`${at.toString(16).padStart(8, '0')}  ${hex.padEnd(ROW * 3 - 1)}  |${text}|`)
  }
  if (buffer.length > MOST_BYTES) lines.push(`… ${buffer.length - MOST_BYTES} bytes more`)
  return lines.join('\n')
}
