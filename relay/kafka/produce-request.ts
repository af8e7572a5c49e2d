// Batches of partitions in a Produce request (https://kafka.apache.org/protocol#The_Messages_Produce):
//
//   transactional_id · acks · timeout_ms · [ name · [ index · records · tags ] · tags ] · tags
//
// From version 9 on lengths are varints one higher than they are, and tags stand at the end of each level.

/** A batch as it goes to its partition. */
export interface EncodedBatch {
  readonly topic: string
  readonly partition: number
  readonly bytes: Buffer
}

const ALL_REPLICAS = -1
/** More than lengths, index and tags of one batch, its topic and the request take together, without the topic's name. */
const FRAME_BYTES = 48

/** Whether a version has tags; its response then has them in its header, too. */
export function isFlexibleProduce(version: number): boolean {
  return version >= 9
}

/** The request's body in pieces; the batches among them are not copied. At most one batch for a partition. */
export function frameProduce(version: number, batches: readonly EncodedBatch[], timeoutMs: number): Buffer[] {
  const flexible = isFlexibleProduce(version)
  const topics = new Map<string, EncodedBatch[]>()
  for (const batch of batches) {
    const others = topics.get(batch.topic)
    if (others) others.push(batch)
    else topics.set(batch.topic, [batch])
  }
  const names = [...topics.keys()].map((topic) => Buffer.from(topic))
  const nameBytes = names.reduce((sum, name) => sum + name.length, 0)
  const frame = Buffer.allocUnsafe(FRAME_BYTES * (1 + batches.length) + nameBytes)
  const pieces: Buffer[] = []
  let from = 0
  let at = flexible ? frame.writeInt8(0, 0) : frame.writeInt16BE(-1, 0)
  at = frame.writeInt16BE(ALL_REPLICAS, at)
  at = frame.writeInt32BE(timeoutMs, at)
  at = writeLength(frame, at, topics.size, flexible)
  for (const [index, ofTopic] of [...topics.values()].entries()) {
    const name = names[index] as Buffer
    at = flexible ? writeLength(frame, at, name.length, true) : frame.writeInt16BE(name.length, at)
    at += name.copy(frame, at)
    at = writeLength(frame, at, ofTopic.length, flexible)
    for (const { partition, bytes } of ofTopic) {
      at = frame.writeInt32BE(partition, at)
      at = writeLength(frame, at, bytes.length, flexible)
      pieces.push(frame.subarray(from, at), bytes)
      from = at
      if (flexible) frame[at++] = 0
    }
    if (flexible) frame[at++] = 0
  }
  if (flexible) frame[at++] = 0
  if (at > from) pieces.push(frame.subarray(from, at))
  return pieces
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
