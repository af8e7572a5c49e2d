import { CliError } from '../../../relay/cli/cli-error.ts'
import type { Terminal } from '../../../relay/cli/terminal.ts'

export interface CapturedTerminal extends Terminal {
  /** Standard output so far. */
  readonly output: string
  /** Standard error so far. */
  readonly notes: string
  readonly questions: readonly string[]
  /** Standard output as one JSON value. */
  json<T = Record<string, unknown>>(): T
  /** Standard output as a JSON value a line. */
  jsonLines<T = Record<string, unknown>>(): T[]
}

/** A terminal without colours that keeps what it is given; `answer` undefined: nobody is there. */
export function captureTerminal(answer?: boolean, onWrite: (text: string) => void = () => {}): CapturedTerminal {
  const plain = (text: string) => text
  const written = { output: '', notes: '' }
  const questions: string[] = []
  return {
    isLive: false,
    width: 100,
    paint: { bold: plain, dim: plain, red: plain, green: plain, yellow: plain },
    write(text) {
      written.output += text
      onWrite(text)
    },
    note(text) {
      written.notes += text
    },
    async confirm(question) {
      questions.push(question)
      if (answer === undefined) throw new CliError('nobody is here to answer: give --yes')
      return answer
    },
    get output() {
      return written.output
    },
    get notes() {
      return written.notes
    },
    questions,
    json: () => JSON.parse(written.output),
    jsonLines: () =>
      written.output
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line)),
  }
}
