// One batch for one partition in a Produce request (https://kafka.apache.org/protocol#The_Messages_Produce):
//
//   transactional_id · acks · timeout_ms · [ name · [ index · records · tags ] · tags ] · tags
//
// From version 9 on lengths are varints one higher than they are, and tags stand at the end of each level.

/** What stands before and after the batch; `after` is empty in old versions. */
export interface ProduceFrame {
  readonly before: Buffer
  readonly after: Buffer
}

const NO_TAGS = Buffer.from([0, 0, 0])
const NOTHING = Buffer.alloc(0)
const ALL_REPLICAS = -1

/** Whether a version has tags; its response then has them in its header, too. */
export function isFlexibleProduce(version: number): boolean {
  return version >= 9
}

export function frameProduce(
  version: number,
  target: { readonly topic: string; readonly partition: number; readonly timeoutMs: number },
  batchBytes: number,
): ProduceFrame {
  const flexible = isFlexibleProduce(version)
  const name = Buffer.from(target.topic)
  const head = Buffer.alloc(40 + name.length)
  let at = flexible ? head.writeInt8(0, 0) : head.writeInt16BE(-1, 0)
  at = head.writeInt16BE(ALL_REPLICAS, at)
  at = head.writeInt32BE(target.timeoutMs, at)
  at = writeLength(head, at, 1, flexible)
  at = flexible ? writeLength(head, at, name.length, true) : head.writeInt16BE(name.length, at)
  at += name.copy(head, at)
  at = writeLength(head, at, 1, flexible)
  at = head.writeInt32BE(target.partition, at)
  at = writeLength(head, at, batchBytes, flexible)
  return { before: head.subarray(0, at), after: flexible ? NO_TAGS : NOTHING }
}

function writeLength(target: Buffer, at: number, length: number, flexible: boolean): number {
  if (!flexible) return target.writeInt32BE(length, at)
  let pos = at
  let rest = length + 1
  while (rest > 0x7f) {
    target[pos++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  target[pos++] = rest
  return pos
}
