import { createHash, timingSafeEqual } from 'node:crypto'
import { isIP } from 'node:net'

// Who may ask the console, and for what: pure.

/** On every answer. No inline script or style, nothing from elsewhere, no frame around the page. */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'cache-control': 'no-store',
}

/**
 * Whether a `Host` header is one by which the console is meant to be called. A page of another site whose name was
 * pointed at this address (DNS rebinding) comes with that name: only addresses, `localhost` and named hosts pass.
 *
 * @example isAllowedHost('127.0.0.1:3080', []) // true
 */
export function isAllowedHost(header: string | undefined, names: readonly string[]): boolean {
  const host = hostOf(header)
  if (host === undefined) return false
  return isIP(host) !== 0 || host === 'localhost' || names.some((name) => name.toLowerCase() === host)
}

function hostOf(header: string | undefined): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?$/i.exec(header ?? '')
  return (match?.[1] ?? match?.[2])?.toLowerCase()
}

/** What a browser says of where a request comes from. */
export interface RequestOrigin {
  readonly host: string | undefined
  readonly origin: string | undefined
  readonly fetchSite: string | undefined
  readonly fetchMode: string | undefined
}

/**
 * Whether another site is behind a request. A link to the console is fine; what its page asks for is its own.
 *
 * @param isAction it changes something: then the browser must have named this origin.
 */
export function isForeign({ host, origin, fetchSite, fetchMode }: RequestOrigin, isAction: boolean): boolean {
  if (origin !== undefined && !/^https?:\/\//.test(origin)) return true
  if (origin !== undefined && origin.replace(/^https?:\/\//, '').toLowerCase() !== host?.toLowerCase()) return true
  if (fetchSite !== undefined && fetchSite !== 'same-origin' && fetchSite !== 'none' && fetchMode !== 'navigate')
    return true
  return isAction && origin === undefined
}

/** Compares in a time that tells nothing of where they differ, or of the token's length. */
export function isToken(given: string | undefined, token: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(given ?? ''), digest(token))
}

/** The token of an `Authorization: Bearer …` header. */
export function bearerOf(header: string | undefined): string | undefined {
  return /^Bearer (\S{1,1000})$/.exec(header ?? '')?.[1]
}

/** At most `most` times within `windowMs`, counted over all callers: guessing is slow however many guess. */
export class RateLimit {
  readonly #most: number
  readonly #windowMs: number
  #atMs: number[] = []

  constructor(most: number, windowMs: number) {
    this.#most = most
    this.#windowMs = windowMs
  }

  /** Seconds until the next is allowed; 0: now. */
  waitSeconds(nowMs: number): number {
    this.#atMs = this.#atMs.filter((at) => nowMs - at < this.#windowMs)
    const oldest = this.#atMs.at(-this.#most)
    return oldest === undefined ? 0 : Math.ceil((oldest + this.#windowMs - nowMs) / 1_000)
  }

  count(nowMs: number): void {
    this.#atMs.push(nowMs)
  }
}
