import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'

/** PostgreSQL's own default of `scram_iterations`. */
const ITERATIONS = 4_096

/**
 * The SCRAM-SHA-256 verifier that PostgreSQL stores for a password (RFC 5803), so that the password itself never travels
 * in a statement and is in no log of the server.
 *
 * @example `ALTER ROLE relay PASSWORD '${scramVerifier('secret')}'`
 */
export function scramVerifier(password: string, salt: Buffer = randomBytes(16)): string {
  // As PostgreSQL does with SASLprep: text that cannot be normalised is taken as it is.
  const salted = pbkdf2Sync(password.normalize('NFKC'), salt, ITERATIONS, 32, 'sha256')
  const key = (name: string) => createHmac('sha256', salted).update(name).digest()
  const storedKey = createHash('sha256').update(key('Client Key')).digest('base64')
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString('base64')}$${storedKey}:${key('Server Key').toString('base64')}`
}
