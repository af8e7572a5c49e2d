import { readFileSync } from 'node:fs'

// The commands of docs/operations.md, and what it says that they print. A block of the guide that is run reads
//
//   ```console run=failover-look
//   $ factlib-relay status        a command; what follows up to the next one is what it prints
//   slot factlib_slot: reserved
//   …                             any number of lines
//     lag         … of WAL …      any text
//   ^C                            the command goes on until it is told to end
//   ```
//
// What differs each time (positions, times, ids, sizes, process ids) is shown as an example, and compared by its kind.

export interface GuideStep {
  readonly command: string
  readonly expected: readonly string[]
  readonly line: number
}

export interface GuideBlock {
  readonly name: string
  readonly steps: readonly GuideStep[]
}

const GUIDE = new URL('../../../docs/operations.md', import.meta.url)

export const INTERRUPT = '^C'

/** The blocks that are run, in their order. @throws for a block that is not well-formed */
export function readGuide(text = readFileSync(GUIDE, 'utf8')): GuideBlock[] {
  const blocks: GuideBlock[] = []
  let name: string | undefined
  let steps: { command: string; expected: string[]; line: number }[] = []
  for (const [index, line] of text.split('\n').entries()) {
    const opening = /^```console run=([a-z0-9-]+)$/.exec(line)
    if (opening) {
      name = opening[1] as string
      steps = []
      if (blocks.some((block) => block.name === name)) throw new Error(`line ${index + 1}: ${name} is there twice`)
    } else if (/^```console/.test(line)) throw new Error(`line ${index + 1}: a console block that nobody runs`)
    else if (name !== undefined && line === '```') {
      if (steps.length === 0) throw new Error(`line ${index + 1}: ${name} has no command`)
      blocks.push({ name, steps })
      name = undefined
    } else if (name !== undefined && line.startsWith('$ '))
      steps.push({ command: line.slice(2), expected: [], line: index + 1 })
    else if (name !== undefined) {
      const step = steps.at(-1)
      if (!step) throw new Error(`line ${index + 1}: output before the first command`)
      step.expected.push(line)
    }
  }
  return blocks
}

/** What is shown as an example, by its kind. */
const KINDS: readonly (readonly [RegExp, string])[] = [
  [
    /\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00)?/,
    String.raw`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00)?`,
  ],
  [/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/, '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'],
  [/\b[0-9A-F]{1,8}\/[0-9A-F]{1,8}\b/, String.raw`[0-9A-F]{1,8}\/[0-9A-F]{1,8}`],
  [/\b\d+(?:\.\d+)? (?:B|KiB|MiB|GiB)(?![a-zA-Z])/, String.raw`\d+(?:\.\d+)? (?:B|KiB|MiB|GiB)`],
  [
    /\b\d+(?:\.\d+)? (?:ms|s|min|h|d)\b(?: \d+ (?:s|min|h)\b)?/,
    String.raw`\d+(?:\.\d+)? (?:ms|s|min|h|d)(?: \d+ (?:s|min|h))?`,
  ],
  [/\b\d{19}\b/, String.raw`\d{19}`],
  [/\bpid \d+/, String.raw`pid \d+`],
  [/\d@\d+/, String.raw`\d@\d+`],
  [/…/, '.*'],
  // Columns are as wide as what stands in them.
  [/ {2,}/, ' {1,}'],
]

/** One line of the guide as a pattern for what was printed. */
export function linePattern(line: string): RegExp {
  const anyKind = new RegExp(KINDS.map(([kind]) => `(${kind.source})`).join('|'), 'g')
  let source = ''
  let last = 0
  for (const found of line.matchAll(anyKind)) {
    source += escapeText(line.slice(last, found.index))
    source += KINDS[found.slice(1).findIndex((group) => group !== undefined)]?.[1]
    last = found.index + found[0].length
  }
  return new RegExp(`^${source}${escapeText(line.slice(last))}$`)
}

function escapeText(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')
}

/** Where what was printed differs from what the guide shows; undefined: it does not. */
export function findDifference(expected: readonly string[], printed: readonly string[]): string | undefined {
  let at = 0
  let maySkip = false
  for (const line of expected) {
    if (line === '…') {
      maySkip = true
      continue
    }
    const pattern = linePattern(line)
    const found = maySkip
      ? printed.slice(at).findIndex((one) => pattern.test(one))
      : pattern.test(printed[at] ?? '')
        ? 0
        : -1
    if (found < 0) return `${maySkip ? 'no line' : `line ${at + 1} is not`} like ${JSON.stringify(line)}`
    at += found + 1
    maySkip = false
  }
  return maySkip || at >= printed.length ? undefined : `more than the guide shows, from ${JSON.stringify(printed[at])}`
}
