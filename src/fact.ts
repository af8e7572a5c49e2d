import { defaultsButPrefix } from './config.ts'
import { publishTraceFailed } from './diagnostics.ts'
import { InvalidFactError } from './errors.ts'
import { createFactId } from './fact-id.ts'
import * as rules from './fact-rules.ts'
import { type MetadataValue, metadataText } from './metadata.ts'
import { dateFromMicros, microsFromAnyUnit, microsNow } from './micros.ts'
import { type JsonValue, kindOf, type Payload, payloadBytes, type Serialize } from './payload.ts'
import { NO_TRACE, type Trace, type TraceSource } from './trace/trace.ts'

export type { JsonValue, MetadataValue, Payload, Serialize }

/** What a fact is built from. */
export interface FactInput {
  /** The kind of thing the fact is about, and the second half of the topic: letters, digits, `.`, `_`, `-`. */
  readonly aggregateType: string
  /** Which one; facts with the same one keep their order. Numbers (safe integers) and bigints become text. At most 8,192 bytes. */
  readonly aggregateId: string | number | bigint
  /** What happened, such as `order.created`. At most 8,192 bytes. */
  readonly eventType: string
  /** Bytes go out as they are, a string as UTF-8, everything else as JSON (null is `null`). Default: empty. */
  readonly payload?: Payload
  /** Text for the consumer; numbers and bigints by `String()`, booleans `True` and `False` and null as '' as Django's. Default: none. */
  readonly metadata?: { readonly [name: string]: MetadataValue } | null | undefined
  /** A UUID in text form. Default: a new UUIDv7. */
  readonly id?: string | undefined
  /** When it happened. Default: now. Not together with `createdAtMicros`. */
  readonly createdAt?: Date | undefined
  /** Microseconds since 1970. Default: now. Not together with `createdAt`. */
  readonly createdAtMicros?: bigint | undefined
  /** WAL prefix, first half of the topic. Default: the emitter's, then `configure()`'s, then `FACTLIB_PREFIX`. */
  readonly prefix?: string | undefined
  /** Default: what the trace source gives. */
  readonly trace?: Trace | undefined
  /** Makes the payload's bytes. Default: the emitter's, then `configure()`'s, then JSON. */
  readonly serialize?: Serialize | undefined
}

/** What a fact takes from its surroundings where its input says nothing. Default: `configure()`'s. */
export interface FactOptions {
  readonly trace?: TraceSource | undefined
  readonly serialize?: Serialize | undefined
}

/** A field of an envelope that this version does not know; kept, so that decoding and encoding loses nothing. */
export interface UnknownField {
  readonly no: number
  readonly wireType: number
  readonly data: Uint8Array
}

/** Everything a fact is made of. `wireCreatedAt`: the created-at as it stands in the envelope, in whatever unit its producer uses. */
export interface FactParts {
  readonly id: string
  readonly aggregateType: string
  readonly aggregateId: string
  readonly eventType: string
  readonly payload: Uint8Array
  readonly metadata: Readonly<Record<string, string>>
  readonly wireCreatedAt: bigint
  readonly trace: Trace | undefined
  readonly prefix: string | undefined
  readonly unknownFields: readonly UnknownField[]
  readonly unknownTraceFields: readonly UnknownField[]
}

const BRAND = Symbol.for('factlib.Fact')

/**
 * One event about one aggregate, fixed when it is built: id, created-at and trace stay, so that a transaction that is
 * tried again emits the same bytes again. A subclass may have fields and methods of its own; they are not sent.
 *
 * @example
 * ```ts
 * const fact = new Fact({ aggregateType: 'order', aggregateId: 42, eventType: 'order.created', payload: { total: 12 } })
 * await emitFact(tx, fact) // resolves to fact.id
 * ```
 * @throws InvalidFactError that lists every problem.
 */
export class Fact {
  /** UUID text; empty only in decoded facts of producers that set none. */
  declare readonly id: string
  declare readonly aggregateType: string
  declare readonly aggregateId: string
  declare readonly eventType: string
  /** Its own copy of the bytes; do not write into it. */
  declare readonly payload: Uint8Array
  /** Without a prototype: `metadata['__proto__']` is an entry like any other. */
  declare readonly metadata: Readonly<Record<string, string>>
  /** Microseconds since 1970, whatever the unit in the envelope was; 0n when it had none. */
  declare readonly createdAtMicros: bigint
  /** Empty ids when there was no span; undefined only in decoded facts whose envelope has no trace. */
  declare readonly trace: Trace | undefined
  /** Undefined: the emitter's default holds. */
  declare readonly prefix: string | undefined
  /** The created-at as it stands in the envelope: microseconds, or what another producer uses. */
  declare readonly wireCreatedAt: bigint
  declare readonly unknownFields: readonly UnknownField[]
  declare readonly unknownTraceFields: readonly UnknownField[]

  constructor(input: FactInput, options: FactOptions = {}) {
    const problems: string[] = []
    const parts = buildParts(input, options, problems)
    if (problems.length > 0) throw new InvalidFactError(problems)
    seal(this, parts, new.target !== Fact)
  }

  /** When it happened, to the millisecond. */
  get createdAt(): Date {
    return dateFromMicros(this.createdAtMicros)
  }

  /** The same fact (id, created-at, trace) under another prefix. */
  withPrefix(prefix: string): Fact {
    const problems: string[] = []
    const checked = rules.checkPrefix(prefix, problems)
    if (checked === undefined && problems.length === 0)
      problems.push('prefix is empty: give the prefix that the fact shall have')
    if (checked !== undefined) rules.checkTopic(checked, this.aggregateType, problems)
    if (problems.length > 0) throw new InvalidFactError(problems)
    return factFromParts({ ...partsOf(this), prefix: checked })
  }

  /** The payload as UTF-8 text. */
  text(): string {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(this.payload)
  }

  /** The payload as JSON; the type is the caller's word, nothing checks it. Throws a SyntaxError when it is none. */
  json<T = JsonValue>(): T {
    return JSON.parse(this.text()) as T
  }

  /** For logs: everything but the payload and the metadata's values. */
  toJSON(): object {
    return {
      id: this.id,
      aggregateType: this.aggregateType,
      aggregateId: this.aggregateId,
      eventType: this.eventType,
      prefix: this.prefix,
      createdAtMicros: String(this.createdAtMicros),
      payloadBytes: this.payload.byteLength,
      metadataNames: Object.keys(this.metadata),
      traceId: this.trace?.traceId,
    }
  }

  static [Symbol.hasInstance](value: unknown): boolean {
    return isFact(value)
  }
}

Object.defineProperty(Fact.prototype, BRAND, { value: true })

/** Whether `value` is a `Fact`, of any copy of the package in this process. */
export function isFact(value: unknown): value is Fact {
  return typeof value === 'object' && value !== null && (value as { readonly [BRAND]?: true })[BRAND] === true
}

/** A fact of parts that are taken as they are; the way of decoded facts, which may be what `new Fact` refuses. */
export function factFromParts(parts: FactParts): Fact {
  const fact: Fact = Object.create(Fact.prototype)
  seal(fact, parts, false)
  return fact
}

/** Adds what `new Fact` would have refused; only facts that were decoded can have it. */
export function factProblems(fact: Fact, problems: string[]): void {
  rules.checkId(fact.id, problems)
  rules.checkAggregateType(fact.aggregateType, problems)
  rules.checkAggregateId(fact.aggregateId, problems)
  rules.checkEventType(fact.eventType, problems)
}

/** Adds the reasons why a fact cannot be emitted under this prefix. */
export function prefixProblems(fact: Fact, prefix: string | undefined, problems: string[]): void {
  if (prefix === undefined) {
    problems.push(rules.MISSING_PREFIX)
    return
  }
  rules.checkPrefix(prefix, problems)
  rules.checkTopic(prefix, fact.aggregateType, problems)
}

function partsOf(fact: Fact): FactParts {
  const { id, aggregateType, aggregateId, eventType, payload, metadata, wireCreatedAt, trace, prefix } = fact
  const { unknownFields, unknownTraceFields } = fact
  return {
    id,
    aggregateType,
    aggregateId,
    eventType,
    payload,
    metadata,
    wireCreatedAt,
    trace,
    prefix,
    unknownFields,
    unknownTraceFields,
  }
}

type Writable<T> = { -readonly [Name in keyof T]: T[Name] }

/** `forSubclass`: its own fields come after, so that the object stays open for them; what makes the fact does not. */
function seal(fact: Fact, parts: FactParts, forSubclass: boolean): void {
  const own: Writable<FactParts & Pick<Fact, 'createdAtMicros'>> = fact
  own.id = parts.id
  own.aggregateType = parts.aggregateType
  own.aggregateId = parts.aggregateId
  own.eventType = parts.eventType
  own.payload = parts.payload
  own.metadata = parts.metadata
  own.wireCreatedAt = parts.wireCreatedAt
  own.trace = parts.trace
  own.prefix = parts.prefix
  own.unknownFields = parts.unknownFields
  own.unknownTraceFields = parts.unknownTraceFields
  own.createdAtMicros = microsFromAnyUnit(parts.wireCreatedAt)
  if (!forSubclass) {
    Object.freeze(fact)
    return
  }
  for (const name of Object.keys(fact)) Object.defineProperty(fact, name, { writable: false, configurable: false })
}

function buildParts(input: FactInput, options: FactOptions, problems: string[]): FactParts {
  if (typeof input !== 'object' || input === null) {
    throw new InvalidFactError([
      `the fact is ${kindOf(input)}: give { aggregateType, aggregateId, eventType, payload }`,
    ])
  }
  const defaults = defaultsButPrefix()
  const aggregateType = rules.checkAggregateType(input.aggregateType, problems)
  const aggregateId = rules.checkAggregateId(input.aggregateId, problems)
  const eventType = rules.checkEventType(input.eventType, problems)
  const prefix = rules.checkPrefix(input.prefix, problems)
  if (prefix !== undefined) rules.checkTopic(prefix, aggregateType, problems)
  const serialize = input.serialize ?? options.serialize ?? defaults.serialize
  if (serialize !== undefined && typeof serialize !== 'function') {
    problems.push(`serialize is ${kindOf(serialize)}: give a function`)
  }
  const payload = payloadBytes(input.payload, typeof serialize === 'function' ? serialize : undefined, problems)
  const metadata = metadataText(input.metadata, 'metadata', problems)
  const createdAt = rules.checkCreatedAt(input.createdAt, input.createdAtMicros, problems)
  const id = input.id === undefined ? undefined : rules.checkId(input.id, problems)
  const trace = input.trace === undefined ? undefined : rules.checkTrace(input.trace, problems)
  return {
    id: id ?? createFactId(),
    aggregateType,
    aggregateId,
    eventType,
    payload,
    metadata,
    wireCreatedAt: createdAt ?? microsNow(),
    trace: trace ?? traceFrom(options.trace ?? defaults.trace),
    prefix,
    unknownFields: NOTHING_UNKNOWN,
    unknownTraceFields: NOTHING_UNKNOWN,
  }
}

const NOTHING_UNKNOWN: readonly UnknownField[] = Object.freeze([])

/** A fact is worth more than its trace: whatever the source does, the fact goes out. */
function traceFrom(source: TraceSource | undefined): Trace {
  if (source === undefined) return NO_TRACE
  try {
    const trace = source()
    if (trace === undefined || trace === null) return NO_TRACE
    const problems: string[] = []
    const checked = rules.checkTrace(trace, problems)
    if (problems.length === 0) return checked
    publishTraceFailed({ error: new InvalidFactError(problems) })
  } catch (error) {
    publishTraceFailed({ error })
  }
  return NO_TRACE
}
